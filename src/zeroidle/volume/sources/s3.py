"""A prefix of an S3 bucket: listed and signed by obstore, read like any other address."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from zeroidle.errors import SourceError
from zeroidle.volume.http import Location
from zeroidle.volume.manifest import File, Manifest, select
from zeroidle.volume.retry import Backoff
from zeroidle.volume.weights import Source, Weights

if TYPE_CHECKING:
    from obstore.store import S3Store

_SIGNED_FOR = timedelta(minutes=30)
_KEYS = "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, away from AWS, AWS_ENDPOINT_URL; "
_PUBLIC = "for a public bucket set AWS_SKIP_SIGNATURE=true."


class S3Origin:
    """Everything below a prefix, or one object. Access is by the usual AWS variables of the environment. The
    revision is a digest of the listing (names, sizes, ETags)."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._bucket, _, self._prefix = source.name.removeprefix("s3://").partition("/")
        self._store: S3Store | None = None

    def resolve(self, weights: Weights, backoff: Backoff) -> Manifest:
        """Lists the objects. SourceError when that is refused."""
        try:
            found = self._list()
        except SourceError:
            raise
        except Exception as exc:  # obstore maps every store's failures to its own classes
            first = str(exc).strip().splitlines()[0][:200] if str(exc).strip() else type(exc).__name__
            raise SourceError(f"{weights.source!r} cannot be listed: {first}. {_KEYS}{_PUBLIC}") from exc
        listing = json.dumps(sorted([f.path, f.size, f.etag] for f in found))
        return select(weights, f"list-{hashlib.sha256(listing.encode()).hexdigest()[:16]}", found)

    def _list(self) -> list[File]:
        import obstore

        store = self._open()
        files = []
        for chunk in obstore.list(store, prefix=self._prefix or None, chunk_size=1000):
            for entry in chunk:
                name = entry["path"].removeprefix(self._prefix).lstrip("/")
                if name:
                    files.append(File(name, entry["size"], etag=entry["e_tag"], url=entry["path"]))
        if not files and self._prefix:
            entry = obstore.head(store, self._prefix)
            files.append(File(self._prefix.rpartition("/")[2], entry["size"], etag=entry["e_tag"], url=entry["path"]))
        return files

    def _open(self) -> S3Store:
        if self._store is None:
            try:
                from obstore.store import S3Store
            except ImportError as exc:
                raise SourceError('s3: sources need one more package: pip install "zeroidle[volume]"') from exc
            options: dict[str, Any] = {"client_options": {"allow_http": True}} if _plain_http() else {}
            self._store = S3Store(self._bucket, **options)
        return self._store

    def locate(self, manifest: Manifest, file: File) -> Location:
        """A signed address, good for half an hour."""
        import obstore

        key = str(file.url)
        if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true"):
            return Location(f"{_endpoint()}/{self._bucket}/{quote(key)}")
        return Location(obstore.sign(self._open(), "GET", key, _SIGNED_FOR))

    def advice(self, status_text: str) -> str:
        """What a refusal most often means."""
        return _KEYS + _PUBLIC if any(code in status_text for code in ("401", "403")) else ""


def _endpoint() -> str:
    given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return (given or f"https://s3.{region}.amazonaws.com").rstrip("/")


def _plain_http() -> bool:
    return _endpoint().startswith("http://")
