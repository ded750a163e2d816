"""Who uses which tree now, so that nothing is evicted under a live worker."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import msgspec

from zeroidle.volume.beat import Beater, read_beat
from zeroidle.volume.layout import Layout
from zeroidle.volume.markers import touch_used
from zeroidle.volume.owner import Owner

_ENDING = ".use"


class Use:
    """A tree is in use until `release`, or until its process has ended."""

    def __init__(self, path: Path, beater: Beater) -> None:
        self._path = path
        self._beater = beater

    def release(self) -> None:
        """The tree may be evicted."""
        self._beater.remove(self._beat)
        for path in (self._path, self._beat):
            path.unlink(missing_ok=True)

    @property
    def _beat(self) -> Path:
        return self._path.with_suffix(".beat")


def hold(layout: Layout, tree_key: str, owner: Owner, beater: Beater) -> Use:
    """Begins a use. To be called before looking whether the tree is complete: an evictor takes the marker away before
    it looks for uses, so one of the two sees the other."""
    touch_used(layout, tree_key)
    path = layout.uses / tree_key / f"{owner.id}{_ENDING}"
    path.write_bytes(msgspec.json.encode(owner))
    use = Use(path, beater)
    beater.add(path.with_suffix(".beat"), lambda: {})
    return use


def seen(layout: Layout, tree_key: str) -> int:
    """How many processes use a tree, as far as can be told at once; those of other hosts count as live."""
    owners = [_owner(path) for path in (layout.uses / tree_key).glob(f"*{_ENDING}")]
    return sum(owner is not None and owner.alive() is not False for owner in owners)


def live(layout: Layout, tree_key: str, wait_s: float) -> list[Owner]:
    """The processes that use a tree. Of a process on another host only its heartbeat tells; so this may take
    `wait_s`, and only then. What dead processes left is removed."""
    found: list[Owner] = []
    doubtful: dict[Path, tuple[Owner, bytes]] = {}
    for path in (layout.uses / tree_key).glob(f"*{_ENDING}"):
        owner = _owner(path)
        alive = owner.alive() if owner is not None else None
        if owner is not None and alive:
            found.append(owner)
        elif alive is False:
            _forget(path)
        else:
            unknown = owner or Owner(path.stem, "?", 0, "?")
            doubtful[path] = (unknown, read_beat(path.with_suffix(".beat")))
    if found or not doubtful:
        return found
    return _watch(doubtful, wait_s)


def _watch(doubtful: dict[Path, tuple[Owner, bytes]], wait_s: float) -> list[Owner]:
    """Waits for a heartbeat of any of them."""
    until = time.monotonic() + wait_s
    while True:
        for path, (owner, beat) in doubtful.items():
            now = read_beat(path.with_suffix(".beat"))
            if now != beat and path.exists():
                return [owner]
        if time.monotonic() >= until:
            break
        time.sleep(min(0.2, max(0.01, wait_s / 20)))
    for path in doubtful:
        _forget(path)
    return []


def _owner(path: Path) -> Owner | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    return None


def _forget(path: Path) -> None:
    for name in (path, path.with_suffix(".beat")):
        with contextlib.suppress(OSError):
            name.unlink()
