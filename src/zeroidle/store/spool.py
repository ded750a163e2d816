"""Large payloads as files: written and made durable before the commit that refers to them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from zeroidle.errors import StoreError
from zeroidle.job import Payload, Spooled
from zeroidle.store.database import explain, sync_folder

#: Payloads of this size and up become files, in bytes.
LARGE_BYTES = 256 * 1024

_BLOCK_BYTES = 1 << 20


class Spool:
    """The folder of large payloads. Every method blocks on the disk: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> None:
        """Makes the folder. Raises StoreError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            sync_folder(self.folder.parent)
        except OSError as exc:
            raise explain(exc, self.folder) from exc

    def write(self, parts: Sequence[Payload]) -> Spooled:
        """A new durable file of these parts, one after the other. Raises StoreError, StoreFull."""
        name = f"{secrets.token_hex(16)}.json"
        path = self.folder / name
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
                for part in parts:
                    if isinstance(part, Spooled):
                        self._append(out.fileno(), part)
                    else:
                        _write_all(out.fileno(), part)
                os.fsync(out.fileno())
                size_bytes = os.fstat(out.fileno()).st_size
            sync_folder(self.folder)
        except OSError as exc:
            path.unlink(missing_ok=True)
            raise explain(exc, path) from exc
        return Spooled(name, size_bytes)

    def _append(self, out: int, payload: Spooled) -> None:
        with (self.folder / payload.path).open("rb", buffering=0) as source:
            while block := source.read(_BLOCK_BYTES):
                _write_all(out, block)

    def sync(self, payload: Spooled) -> None:
        """Makes a file that somebody else wrote here durable. Raises StoreError, StoreFull."""
        path = self.folder / payload.path
        try:
            with path.open("rb") as file:
                os.fsync(file.fileno())
                size_bytes = os.fstat(file.fileno()).st_size
            sync_folder(path.parent)
        except FileNotFoundError as exc:
            raise StoreError(f"The file {payload.path} of a large payload is not in the spool.") from exc
        except OSError as exc:
            raise explain(exc, path) from exc
        if size_bytes != payload.size_bytes:
            raise StoreError(
                f"The file {payload.path} of a large payload has {size_bytes} bytes instead of {payload.size_bytes}."
            )

    def remove(self, paths: Iterable[str]) -> None:
        """Removes files that nothing refers to any more; one that cannot be removed is swept at the next start."""
        for path in paths:
            with suppress(OSError):
                (self.folder / path).unlink(missing_ok=True)

    def sweep(self, known: Collection[str]) -> int:
        """Removes every file that is not known: what a crash left. Answers how many."""
        gone = [entry.name for entry in os.scandir(self.folder) if entry.is_file() and entry.name not in known]
        self.remove(gone)
        return len(gone)

    def size_bytes(self) -> int:
        """What all files have together."""
        total = 0
        for entry in os.scandir(self.folder):
            with suppress(OSError):  # removed meanwhile
                total += entry.stat().st_size
        return total


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
