"""One downloader at a time, on any file system: numbered lease files, heartbeats, take-over."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from zeroidle.volume.beat import Beater, Payload, Watch, beat_payload, read_beat
from zeroidle.volume.layout import NO_LINKS, Layout, same_file
from zeroidle.volume.owner import Owner

#: How many times the time to live a silent holder is waited for that can be seen to live.
_PATIENCE = 5


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody else holds the lease. `says` is the content of the last heartbeat, `silent_s` for how long it has
    not changed."""

    fence: int
    owner: Owner | None
    says: Mapping[str, Any]
    silent_s: float


class Lease:
    """The right to fetch one source; `fence` is higher than that of every holder before.

    A lease is a file named by its number, made by a link that only one can make. The holder is the owner of the
    highest number. It has ended when its `.done` is there, when its process is seen to be gone, or when its heartbeat
    has not changed for the time to live by the watcher's own clock: no two clocks are compared. A holder that was
    taken for dead and wakes up loses nothing but its work: it writes into files of its own number only.
    """

    def __init__(self, folder: Path, fence: int, beater: Beater) -> None:
        self.folder = folder
        self.fence = fence
        self._beater = beater
        self._released = threading.Event()

    @property
    def beat(self) -> Path:
        """The file of the heartbeat."""
        return self.folder / f"{self.fence:08d}.beat"

    def lost(self) -> bool:
        """Whether somebody has taken over."""
        return highest(self.folder) > self.fence

    def release(self) -> None:
        """Gives it back; the next one need not wait."""
        if self._released.is_set():
            return
        self._released.set()
        self._beater.remove(self.beat)
        with contextlib.suppress(OSError):
            (self.folder / f"{self.fence:08d}.done").touch()
        for path in self.folder.glob("*"):
            if _number(path.name) < self.fence:
                path.unlink(missing_ok=True)


def _number(name: str) -> int:
    head = name.split(".")[0]
    return int(head) if head.isdigit() else 1 << 60


def highest(folder: Path) -> int:
    """The highest number that was given out; 0 when none was."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    found = max((int(name) for name in names if name.isdigit()), default=0)
    # A listing may be older than what a name that is asked for directly gives.
    while (folder / f"{found + 1:08d}").exists():
        found += 1
    return found


def acquire(
    layout: Layout, key: str, owner: Owner, beater: Beater, watch: Watch, ttl_s: float, payload: Payload
) -> Lease | Holder:
    """Takes the lease, or says who holds it. Ask again to see whether the holder still lives: a `Watch` must have
    seen it silent for `ttl_s` before it is taken over, unless its process is visibly gone."""
    folder = layout.leases / key
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        fence = highest(folder)
        holder = look(folder, fence, watch)
        if holder is not None and not _dead(holder, ttl_s):
            return holder
        lease = Lease(folder, fence + 1, beater)
        if _make(layout, folder / f"{fence + 1:08d}", owner):
            beater.add(lease.beat, payload)
            return lease
        time.sleep(0.01)  # somebody else was first


def look(folder: Path, fence: int, watch: Watch) -> Holder | None:
    """Who holds the lease of that number; None when it is free or was given back."""
    name = f"{fence:08d}"
    if fence == 0 or (folder / f"{name}.done").exists():
        return None
    beat = read_beat(folder / f"{name}.beat")
    return Holder(fence, read_owner(folder / name), beat_payload(beat), watch.silent_s(folder / f"{name}.beat", beat))


def read_owner(path: Path) -> Owner | None:
    """The owner that a lease file names; None while it is half written."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    return None


def _dead(holder: Holder, ttl_s: float) -> bool:
    alive = holder.owner.alive() if holder.owner is not None else None
    if alive is False:
        return True
    # A process that can be seen to live may be slow; one that is silent for long hangs, or was stopped.
    return holder.silent_s > (ttl_s if alive is None else _PATIENCE * ttl_s)


def _make(layout: Layout, path: Path, owner: Owner) -> bool:
    data = msgspec.json.encode(owner)
    name = layout.temporary("lease")
    name.write_bytes(data)
    try:
        os.link(name, path)
        return True
    except FileExistsError:
        # A network file system may report failure for a link that it made, because the answer was lost.
        return same_file(name, path)
    except OSError as exc:
        if exc.errno not in NO_LINKS:
            raise
        return _make_exclusively(path, data)
    finally:
        name.unlink(missing_ok=True)


def _make_exclusively(path: Path, data: bytes) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    return True
