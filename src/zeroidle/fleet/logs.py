"""The log files of workers: one for each, bounded in size, the oldest removed by count."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

_PUNCH_HOLE_KEEP_SIZE = 0x03
_BLOCK_BYTES = 4096


class LogFolder:
    """Keeps the newest `keep` logs; a live log takes at most about `max_bytes` of disk.

    A worker writes to its file directly, and byte ranges of it belong to jobs. So a log that grows too large is
    not rotated: its beginning is given back to the file system as a hole, and all offsets stay valid.
    """

    def __init__(self, folder: Path, keep: int, max_bytes: int) -> None:
        self._folder = folder
        self._keep = keep
        self._max_bytes = max_bytes
        self._live: dict[str, Path] = {}
        self._opened = 0

    def open(self, worker_id: str) -> tuple[Path, int]:
        """The path and a descriptor to append to; the caller closes it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._opened % 16 == 0:
            self._prune()
        self._opened += 1
        path = self._folder / f"{worker_id}.log"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._live[worker_id] = path
        return path, fd

    def ended(self, worker_id: str) -> None:
        """The worker writes no more."""
        path = self._live.pop(worker_id, None)
        if path is not None:
            self._bound(path)

    def bound(self) -> None:
        """Frees the beginning of every live log that is too large."""
        for path in self._live.values():
            self._bound(path)

    def _bound(self, path: Path) -> None:
        try:
            status = path.stat()
        except OSError:
            return
        if status.st_blocks * 512 <= self._max_bytes:
            return
        # Half is kept, so that a busy log is not punched at every look.
        length = (status.st_size - self._max_bytes // 2) // _BLOCK_BYTES * _BLOCK_BYTES
        with contextlib.suppress(OSError):
            _punch(path, length)

    def _prune(self) -> None:
        def age(path: Path) -> float:
            try:
                return path.stat().st_mtime
            except OSError:
                return 0.0

        live = set(self._live.values())
        old = sorted((p for p in self._folder.glob("*.log") if p not in live), key=age, reverse=True)
        for path in old[self._keep :]:
            path.unlink(missing_ok=True)


def _punch(path: Path, length: int) -> None:
    """Frees the first `length` bytes. Raises OSError where the file system cannot."""
    if length <= 0:
        return
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, 0, length) != 0:
            raise OSError(ctypes.get_errno(), f"cannot free the beginning of {path}")
    finally:
        os.close(fd)
