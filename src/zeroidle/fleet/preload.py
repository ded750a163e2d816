"""What a handler imported on its first run, kept so that a fork server can import it before the next."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from msgspec import Struct

from zeroidle.endpoint import Endpoint

_VERSION = 1


class Record(Struct, frozen=True):
    """A note of one first run: the file with the list, or the sentence that says why there is none."""

    path: Path
    digest: str
    reason: str | None


class Records:
    """The notes of a plane, one file per handler and interpreter, in `folder`.

    A note is void when the handler's file or the interpreter's environment has changed since.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, endpoint: Endpoint, python: str) -> Path:
        """Where the note of this handler is, or will be written by its first worker."""
        self._folder.mkdir(parents=True, exist_ok=True)
        key = json.dumps([str(endpoint.handler), _stamp(endpoint.handler), python, _installed(python)])
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"

    def find(self, endpoint: Endpoint, python: str) -> Record | None:
        """The note, or None when this handler has not run yet."""
        path = self.path(endpoint, python)
        try:
            raw = path.read_bytes()
            content = json.loads(raw)
        except (OSError, ValueError):
            return None
        if content.get("version") != _VERSION:
            return None
        # Two handlers that import the same share one fork server: their lists have the same digest.
        return Record(path, hashlib.sha256(raw).hexdigest()[:16], content.get("reason"))


def _stamp(path: Path) -> list[int]:
    with contextlib.suppress(OSError):
        found = path.stat()
        return [found.st_mtime_ns, found.st_size]
    return []


def _installed(python: str) -> list[str]:
    """The names and versions of what is installed beside an interpreter. (The folder's time says less: the first
    import of a module writes into it.)"""
    root = Path(python).parent.parent
    with contextlib.suppress(OSError):
        return sorted(path.name for path in root.glob("lib/python*/site-packages/*-info"))
    return []
