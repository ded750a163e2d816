"""What an earlier downloader of the same source left behind is taken over, so that no byte is fetched twice."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from zeroidle.volume.layout import Layout
from zeroidle.volume.lease import Lease, read_owner
from zeroidle.volume.part import copy_part, journal_of, read_journal

#: Which contents a download has published already, one a line: boot, SHA-256, other digest, a dot.
PUBLISHED = "published.log"


def inherit(layout: Layout, lease: Lease) -> Path:
    """The folder for the part files of this lease, with the best of every earlier one in it.

    Part files of a process that has certainly ended are moved. Those of one that may still write (on a host that
    cannot be seen) are copied, because what it writes must not reach ours.
    """
    home = layout.parts / lease.folder.name
    mine = home / f"{lease.fence:08d}"
    mine.mkdir(parents=True, exist_ok=True)
    for old in sorted((p for p in home.iterdir() if p != mine), reverse=True):
        if old.name.isdigit() and int(old.name) > lease.fence:
            continue  # somebody has taken over from us
        for part in sorted(old.glob("*.part")):
            _take(part, mine / part.name, _ended(lease.folder / old.name))
        with contextlib.suppress(FileNotFoundError):
            data = (old / PUBLISHED).read_bytes()
            with open(mine / PUBLISHED, "ab") as file:
                file.write(data)
        shutil.rmtree(old, ignore_errors=True)
    return mine


def _ended(lease_file: Path) -> bool:
    if lease_file.with_name(f"{lease_file.name}.done").exists():
        return True
    owner = read_owner(lease_file)
    return owner is not None and owner.alive() is False


def _take(part: Path, target: Path, ended: bool) -> None:
    if _amount(part) <= _amount(target):
        return
    if not ended:
        copy_part(part, target)
        return
    journal_of(target).unlink(missing_ok=True)  # killed between the two renames, the part counts as empty
    os.replace(part, target)
    os.replace(journal_of(part), journal_of(target))


def _amount(part: Path) -> int:
    with contextlib.suppress(OSError):
        done, _, _ = read_journal(journal_of(part))
        done.remove(part.stat().st_size, 1 << 62)
        return done.total
    return -1


def left_bytes(layout: Layout, lease_key: str, file_key: str) -> int:
    """How many bytes of a file earlier downloaders have left."""
    home = layout.parts / lease_key
    found = [_amount(p) for p in home.glob(f"*/{file_key}.part")] if home.is_dir() else []
    return max([0, *found])
