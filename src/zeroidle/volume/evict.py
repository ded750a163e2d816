"""Making room: what nobody needs, and with a limit the trees that are worth least; never what a live worker uses."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from zeroidle.volume import markers, tree, uses
from zeroidle.volume.layout import Layout, walk_files
from zeroidle.volume.lease import highest, look
from zeroidle.volume.manifest import Marker
from zeroidle.volume.store import Volume
from zeroidle.volume.usage import blob_sizes, contents_of

#: Unfinished downloads that nobody goes on with are kept this long, because the next pull could use them.
PARTS_KEPT_S = 86_400.0
_TMP_KEPT_S = 3600.0


@dataclass(slots=True)
class Eviction:
    """What was removed (or would be, in a dry run) and what could not be. Sizes in bytes."""

    trees: list[Marker] = field(default_factory=list)
    freed_bytes: int = 0
    orphan_bytes: int = 0
    parts_bytes: int = 0
    left_bytes: int = 0
    over_bytes: int = 0
    in_use: list[Marker] = field(default_factory=list)


def gc(volume: Volume, max_bytes: int | None = None, dry_run: bool = False, parts: bool = False) -> Eviction:
    """Removes contents that no tree has, left-over parts and temporary files; with `max_bytes` also trees, those
    first that are large and were not used for long, until the contents fit. `parts` removes unfinished downloads
    of any age."""
    found = Eviction()
    if max_bytes is not None:
        _evict(volume, max_bytes, dry_run, found)
    _sweep(volume, dry_run, found)
    _sweep_parts(volume, dry_run, 0.0 if parts else PARTS_KEPT_S, found)
    if not dry_run:
        _sweep_tmp(volume.layout)
        _sweep_uses(volume)
    found.left_bytes = sum(blob_sizes(volume).values()) - (found.freed_bytes + found.orphan_bytes if dry_run else 0)
    found.over_bytes = max(0, found.left_bytes - max_bytes) if max_bytes is not None else 0
    return found


def _evict(volume: Volume, max_bytes: int, dry_run: bool, found: Eviction) -> None:
    layout = volume.layout
    sizes = blob_sizes(volume)
    kept = markers.all_of(layout)
    counts = Counter(sha256 for marker in kept for sha256 in contents_of(marker))
    total = sum(sizes.get(sha256, 0) for sha256 in counts)
    now = time.time()
    candidates = list(kept)
    while total > max_bytes and candidates:
        marker = max(candidates, key=lambda m: _worthless(layout, m, counts, sizes, now))
        candidates.remove(marker)
        if uses.live(layout, marker.manifest.key, volume.options.ttl_s):
            found.in_use.append(marker)
            continue
        if not dry_run and not _remove(volume, marker, [m for m in kept if m is not marker]):
            found.in_use.append(marker)
            continue
        kept.remove(marker)
        found.trees.append(marker)
        for sha256 in contents_of(marker):
            counts[sha256] -= 1
            if counts[sha256] == 0:
                total -= sizes.get(sha256, 0)
                found.freed_bytes += sizes.get(sha256, 0)
                if not dry_run:
                    _remove_blob(layout, sha256)


def _worthless(layout: Layout, marker: Marker, counts: Counter[str], sizes: dict[str, int], now: float) -> float:
    """How much room a tree wastes: the bytes that it alone holds, times how long it was not used."""
    own = sum(sizes.get(sha256, 0) for sha256 in contents_of(marker) if counts[sha256] == 1)
    return own * max(1.0, now - markers.last_used(layout, marker))


def _remove(volume: Volume, marker: Marker, kept: list[Marker]) -> bool:
    """Takes a tree away, unless somebody began to use it meanwhile."""
    layout, key = volume.layout, marker.manifest.key
    aside = layout.temporary("marker")
    try:
        os.rename(layout.marker(key), aside)
    except FileNotFoundError:
        return True
    if uses.live(layout, key, 0.0) or _fetched(volume, marker.manifest.lease_key):
        os.rename(aside, layout.marker(key))
        return False
    tree.remove(layout, marker.manifest, [m.manifest for m in kept])
    aside.unlink()
    shutil.rmtree(layout.uses / key, ignore_errors=True)
    return True


def _fetched(volume: Volume, lease_key: str) -> bool:
    """Whether somebody holds that lease, as far as can be told; one who cannot be seen counts as alive."""
    folder = volume.layout.leases / lease_key
    holder = look(folder, highest(folder), volume.watch)
    if holder is None:
        return False
    return holder.owner is None or holder.owner.alive() is not False


def _remove_blob(layout: Layout, sha256: str) -> None:
    for path in (layout.blob(sha256), layout.mark(sha256)):
        path.unlink(missing_ok=True)


def _sweep(volume: Volume, dry_run: bool, found: Eviction) -> None:
    layout = volume.layout
    # Looked at before the markers: a blob that is published later than this is not in the list.
    busy = any(_fetched(volume, folder.name) for folder in layout.leases.iterdir())
    fresh = _now(layout) - _TMP_KEPT_S if busy else float("inf")
    sizes = {p.name: s.st_size for p, s in walk_files(layout.blobs) if s.st_mtime < fresh}
    needed = {sha256 for marker in markers.all_of(layout) for sha256 in contents_of(marker)}
    needed |= {str(f.sha256) for m in markers.wanted(layout) for f in m.files if f.sha256}
    for path in layout.parts.glob("*/*/published.log"):
        with contextlib.suppress(OSError):
            needed |= {line.split(" ")[1] for line in path.read_text().splitlines() if line.count(" ") == 3}
    gone = {str(f) for marker in found.trees for f in contents_of(marker)} if dry_run else set()
    for sha256, size in sizes.items():
        if sha256 not in needed and sha256 not in gone:
            found.orphan_bytes += size
            if not dry_run:
                _remove_blob(layout, sha256)


def _sweep_parts(volume: Volume, dry_run: bool, kept_s: float, found: Eviction) -> None:
    layout, now = volume.layout, _now(volume.layout)
    for home in layout.parts.glob("*"):
        files = list(walk_files(home))
        newest = max((status.st_mtime for _, status in files), default=0.0)
        if now - newest < kept_s or _fetched(volume, home.name):
            continue
        found.parts_bytes += sum(status.st_blocks * 512 for _, status in files)
        if not dry_run:
            shutil.rmtree(home, ignore_errors=True)
            for manifest in markers.wanted(layout):
                if manifest.lease_key == home.name:
                    markers.unwant(layout, manifest)


def _sweep_tmp(layout: Layout) -> None:
    now = _now(layout)
    for path in layout.tmp.iterdir():
        with contextlib.suppress(OSError):
            if now - path.lstat().st_mtime > _TMP_KEPT_S:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _sweep_uses(volume: Volume) -> None:
    layout = volume.layout
    for folder in layout.uses.iterdir():
        if folder.is_dir() and not layout.marker(folder.name).exists() and not uses.seen(layout, folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _now(layout: Layout) -> float:
    """The time by the clock that stamps files here, which on a network file system is not ours."""
    path: Path = layout.temporary("clock")
    path.touch()
    try:
        return path.stat().st_mtime
    finally:
        path.unlink()
