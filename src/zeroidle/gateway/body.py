"""The body of a request as it arrives: a small one in memory, a large one in a file of the spool."""

from __future__ import annotations

import os
from pathlib import Path

from zeroidle.job import Spooled

#: Bodies of this size and up become files.
LARGE_BYTES = 256 * 1024

#: A result may have any size that the disk takes: an SDK drops a result that is refused.
MAX_RESULT_BYTES = 16 * 1024**3


class Body:
    """Collects one body; holds less than LARGE_BYTES in memory, whatever its length."""

    __slots__ = ("_fd", "_name", "_parts", "_spool", "size_bytes")

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._parts: list[bytes] = []
        self._fd = -1
        self._name = ""
        self.size_bytes = 0

    def add(self, data: bytes) -> None:
        """Appends. Raises OSError when the disk does not take it."""
        self.size_bytes += len(data)
        if self._fd >= 0:
            self._write(data)
            return
        self._parts.append(data)
        if self.size_bytes >= LARGE_BYTES:
            self._name = f"body-{os.urandom(16).hex()}"
            self._fd = os.open(self._spool / self._name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            for part in self._parts:
                self._write(part)
            self._parts.clear()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def finish(self) -> bytes | Spooled:
        """The complete body."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            return Spooled(self._name, self.size_bytes)
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def discard(self) -> None:
        """Forgets it, the file too."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            remove_file(self._spool, self._name)
        self._parts.clear()


def remove_file(spool: Path, name: str) -> None:
    """Removes a spooled file, if it is there."""
    (spool / name).unlink(missing_ok=True)
