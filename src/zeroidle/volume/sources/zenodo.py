"""A record of Zenodo."""

from __future__ import annotations

import os
from typing import Any

from zeroidle.errors import SourceError
from zeroidle.volume.http import Location
from zeroidle.volume.manifest import File, Manifest, select
from zeroidle.volume.retry import Backoff
from zeroidle.volume.sources.protocol import get_json
from zeroidle.volume.weights import Source, Weights

ZENODO_ENV = "ZEROIDLE_ZENODO_URL"
_RESTRICTED = "If the record is restricted, set ZENODO_TOKEN in the environment."


class ZenodoOrigin:
    """A record; a number that stands for all versions resolves to the newest. Zenodo promises MD5 sums."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._site = os.environ.get(ZENODO_ENV, "https://zenodo.org").rstrip("/")

    def resolve(self, weights: Weights, backoff: Backoff) -> Manifest:
        """Asks for the files of the record. SourceError when it cannot be had."""
        what = f"The Zenodo record {self._source.name}"
        found = get_json(self._at(f"{self._site}/api/records/{self._source.name}"), what, backoff, _RESTRICTED)
        try:
            files = [_file(entry) for entry in found["files"]]
            return select(weights, str(found["id"]), files)
        except (KeyError, TypeError, ValueError) as exc:
            raise SourceError(f"{what} has an answer without id and files; it may have no public files.") from exc

    def locate(self, manifest: Manifest, file: File) -> Location:
        """The address that the record gave."""
        return self._at(str(file.url))

    def advice(self, status_text: str) -> str:
        """What a refusal most often means."""
        return _RESTRICTED if any(code in status_text for code in ("401", "403")) else ""

    def _at(self, url: str) -> Location:
        token = os.environ.get("ZENODO_TOKEN")
        mine = token and url.startswith(f"{self._site}/")
        return Location(url, {"Authorization": f"Bearer {token}"} if mine else {})


def _file(entry: dict[str, Any]) -> File:
    check = str(entry.get("checksum") or "")
    known = check if check.startswith("md5:") else None
    return File(str(entry["key"]), int(entry["size"]), check=known, url=str(entry["links"]["self"]))
