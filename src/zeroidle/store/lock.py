"""Lets only one plane use a data folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path

from zeroidle.errors import StoreError
from zeroidle.store.database import explain

#: How long a killed plane's last commit may take: its writing process holds the lock until then. A process that is
#: still there has most likely not been killed, but it may be one that nobody has waited for.
_LAST_COMMIT_S, _LAST_COMMIT_OF_THE_LIVING_S = 10.0, 0.5
_LOOK_AGAIN_S = 0.005


class FolderLock:
    """A lock on a file of the folder, held by the plane and by the process that writes for it; the system takes it
    off when both have ended, however they end."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "zeroidle.lock"
        self.fd = -1

    async def take(self) -> None:
        """Waits for the last commit of a plane that was killed. Raises StoreError when another process, or another
        store of this one, has the lock."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise explain(exc, self._path) from exc
        try:
            await self._lock(fd)
        except BaseException:
            os.close(fd)
            raise
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        except OSError:
            pass  # only for those who ask who has it; a full disk must not keep the plane from starting
        self.fd = fd

    async def _lock(self, fd: int) -> None:
        began = time.monotonic()
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as exc:
                holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
                patience_s = _LAST_COMMIT_OF_THE_LIVING_S if _lives(holder) else _LAST_COMMIT_S
                if time.monotonic() - began > patience_s:
                    raise StoreError(
                        f"Another ZeroIdle (process {holder or 'unknown'}) uses the data folder {self._path.parent}; "
                        "stop it, or choose another folder with --data."
                    ) from exc
            await asyncio.sleep(_LOOK_AGAIN_S)

    def free(self) -> None:
        """Lets others use the folder."""
        if self.fd >= 0:
            fcntl.flock(self.fd, fcntl.LOCK_UN)  # a process that was forked meanwhile may have a copy
            os.close(self.fd)
            self.fd = -1


def _lives(holder: str) -> bool:
    """Whether a process has this number."""
    try:
        os.kill(int(holder), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        pass
    return True
