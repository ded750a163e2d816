"""One file at an address."""

from __future__ import annotations

import hashlib
import time
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from zeroidle.errors import SourceError
from zeroidle.volume.http import Body, Client, Location
from zeroidle.volume.manifest import File, Manifest, select
from zeroidle.volume.retry import Backoff, TransferError
from zeroidle.volume.weights import Source, Weights


class WebOrigin:
    """A file behind http(s). Its revision is the promised hash, else a digest of what the server says of it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def resolve(self, weights: Weights, backoff: Backoff) -> Manifest:
        """Asks for size and version of the file. SourceError when the server refuses."""
        body = self._probe(weights, backoff)
        size = _size(body)
        name = PurePosixPath(unquote(urlsplit(self._source.name).path)).name
        version = body.etag or body.headers.get("Last-Modified") or ""
        seen = hashlib.sha256(f"{version} {size}".encode()).hexdigest()[:16]
        revision = self._source.sha256 or f"seen-{seen}"
        etag = body.etag if self._source.sha256 is None else None
        return select(weights, revision, [File(name, size, self._source.sha256, etag=etag, url=self._source.name)])

    def _probe(self, weights: Weights, backoff: Backoff) -> Body:
        client = Client()
        try:
            while True:
                try:
                    body = client.probe(Location(self._source.name))
                    return body
                except TransferError as exc:
                    wait_s = backoff.next_s(exc)
                    if wait_s is None:
                        raise SourceError(f"{weights.source!r} cannot be read: {exc}.") from exc
                    time.sleep(wait_s)
        finally:
            client.close()

    def locate(self, manifest: Manifest, file: File) -> Location:
        """Its address."""
        return Location(self._source.name)

    def advice(self, status_text: str) -> str:
        """Nothing is known of the server."""
        return ""


def _size(body: Body) -> int | None:
    if body.status == 200:
        return body.length
    total = (body.headers.get("Content-Range") or "").rpartition("/")[2]
    return int(total) if total.isdigit() else None
