"""A folder or file on this machine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from zeroidle.errors import SourceError
from zeroidle.volume.http import Location
from zeroidle.volume.manifest import File, Manifest, select
from zeroidle.volume.retry import Backoff
from zeroidle.volume.weights import Source, Weights


class LocalOrigin:
    """Files that are copied in. The revision is a digest of names, sizes and times of change."""

    def __init__(self, source: Source) -> None:
        self._root = Path(source.name)

    def resolve(self, weights: Weights, backoff: Backoff) -> Manifest:
        """Lists the files; links are followed. SourceError when the folder is not there."""
        if not self._root.exists():
            raise SourceError(f"{weights.source!r} is not there: no file or folder {self._root}.")
        files, listing = [], []
        for name, path in self._walk():
            status = path.stat()
            files.append(File(name, status.st_size, etag=str(status.st_mtime_ns), url=path.as_uri()))
            listing.append([name, status.st_size, status.st_mtime_ns])
        digest = hashlib.sha256(json.dumps(sorted(listing)).encode()).hexdigest()[:16]
        return select(weights, f"seen-{digest}", files)

    def _walk(self) -> list[tuple[str, Path]]:
        if self._root.is_file():
            return [(self._root.name, self._root)]
        found = []
        for base, folders, names in os.walk(self._root, followlinks=True):
            folders[:] = sorted(f for f in folders if f != ".git")
            for name in names:
                path = Path(base, name)
                if path.is_file():
                    found.append((path.relative_to(self._root).as_posix(), path))
        return found

    def locate(self, manifest: Manifest, file: File) -> Location:
        """A file: address, which the fetcher reads without a network."""
        return Location(str(file.url))

    def advice(self, status_text: str) -> str:
        """Nothing more is known."""
        return ""
