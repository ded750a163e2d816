"""Lets only one plane use a data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from zeroidle.errors import StoreError
from zeroidle.store.database import explain


class FolderLock:
    """A lock on a file of the folder; the system takes it off when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "zeroidle.lock"
        self._fd = -1

    def take(self) -> None:
        """Raises StoreError when another process, or another store of this one, has it."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise explain(exc, self._path) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise StoreError(
                f"Another ZeroIdle (process {holder or 'unknown'}) uses the data folder {self._path.parent}; "
                "stop it, or choose another folder with --data."
            ) from exc
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        except OSError:
            pass  # only for the message above; a full disk must not keep the plane from starting
        self._fd = fd

    def free(self) -> None:
        """Lets others use the folder."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
