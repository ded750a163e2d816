"""`zeroidle up --reload`: takes over changed code and settings; waiting jobs stay, running ones end on the old code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from zeroidle.cli.output import note, style
from zeroidle.endpoint import Endpoint
from zeroidle.errors import Error
from zeroidle.serve import Plane

#: How often the files are looked at. A save is many changes: what is still changing is looked at once more.
EVERY_S = 0.25

#: Code and settings. Other kinds of files are also what a handler writes itself, as results, caches or state, and who
#: wrote one cannot be seen: watching them would restart the worker that has just written one, for ever.
_SUFFIXES = (".py", ".toml", ".env")
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist", "build"})
_MAX_FILES = 5000

Stamps = dict[str, tuple[int, int]]


class Reloader:
    """Watches the folders of the endpoints and `cwd` from now on. `load` reads the project anew and raises Error."""

    def __init__(self, plane: Plane, load: Callable[[], dict[str, Endpoint]], cwd: Path) -> None:
        self._plane = plane
        self._load = load
        self._cwd = cwd
        self._seen = self._look()

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            now = await asyncio.to_thread(self._look)
            if now == self._seen:
                continue
            await asyncio.sleep(EVERY_S / 5)
            settled = await asyncio.to_thread(self._look)
            before, self._seen = self._seen, settled
            changed = sorted(path for path in {*before, *settled} if before.get(path) != settled.get(path))
            if changed:
                await self._take_over(changed)

    def _look(self) -> Stamps:
        roots = {str(endpoint.root) for endpoint in self._plane.endpoints.values()}
        return stamps([*roots, str(self._cwd)])

    async def _take_over(self, changed: list[str]) -> None:
        what = self._named(changed)
        try:
            fresh = await asyncio.to_thread(self._load)
        except Error as exc:
            note(style(f"{what} changed. {exc.message}", "31", sys.stderr))
            note("The endpoints go on as they were; save again when it is corrected.")
            return
        reloaded = self._apply(fresh, changed)
        note(f"{what} changed; reloaded {', '.join(reloaded) or 'nothing'}.")

    def _named(self, changed: list[str]) -> str:
        names = ", ".join(os.path.relpath(path, self._cwd) for path in changed[:3])
        return names + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")

    def _apply(self, fresh: dict[str, Endpoint], changed: list[str]) -> list[str]:
        """Puts the new endpoints in the place of the old; answers the names of those that are new or begin anew."""
        old = dict(self._plane.endpoints)
        roots = [endpoint.root for endpoint in old.values()]
        # What belongs to no endpoint's folder is shared: all of them may import it.
        shared = any(not any(Path(path).is_relative_to(root) for root in roots) for path in changed)
        reloaded = []
        for name in old.keys() - fresh.keys():
            del self._plane.endpoints[name]
            self._plane.scaling.reload(name)
        for name, endpoint in fresh.items():
            self._plane.endpoints[name] = endpoint
            mine = any(Path(path).is_relative_to(endpoint.root) for path in changed)
            if shared or mine or endpoint != old.get(name):
                self._plane.scaling.reload(name)
                reloaded.append(name)
        return reloaded


def stamps(roots: Iterable[str]) -> Stamps:
    """Modification time (ns) and size of every file of code or settings below the folders; hidden folders,
    environments and the data folders of planes are left out."""
    found: Stamps = {}
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if not _skipped(folder, name)]
            for name in files:
                if name.endswith(_SUFFIXES):
                    path = os.path.join(folder, name)
                    try:
                        status = os.stat(path)
                    except OSError:  # removed in between
                        continue
                    found[path] = (status.st_mtime_ns, status.st_size)
            if len(found) > _MAX_FILES:
                return found
    return found


def _skipped(folder: str, name: str) -> bool:
    if name.startswith(".") or name in _SKIPPED:
        return True
    # An environment, or the data folder of a plane, which that writes to all the time.
    return any(os.path.exists(f"{folder}/{name}/{mark}") for mark in ("pyvenv.cfg", "zeroidle.lock"))
