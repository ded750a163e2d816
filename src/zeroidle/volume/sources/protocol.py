"""What a source of weights must be able to do."""

from __future__ import annotations

import json
import time
from typing import Any, Protocol

from zeroidle.errors import SourceError
from zeroidle.volume.http import Client, Location, Wanted
from zeroidle.volume.manifest import File, Manifest
from zeroidle.volume.retry import Backoff, TransferError
from zeroidle.volume.weights import Weights


class Origin(Protocol):
    """Lists the files of a source, and says where each is read."""

    def resolve(self, weights: Weights, backoff: Backoff) -> Manifest:
        """The exact files at the asked revision, by the network. Raises SourceError with one sentence."""

    def locate(self, manifest: Manifest, file: File) -> Location:
        """A fresh address of one file; called again when the last one has expired."""

    def advice(self, status_text: str) -> str:
        """What the user may do about an answer that refuses, as one sentence; empty when nothing is known."""


def get_json(location: Location, what: str, backoff: Backoff, advice: str = "") -> Any:
    """A JSON answer, tried again on passing failures. Raises SourceError."""
    client = Client()
    try:
        while True:
            try:
                return json.loads(_read(client, location))
            except TransferError as exc:
                wait_s = backoff.next_s(exc)
                if wait_s is None:
                    raise SourceError(f"{what} cannot be read: {exc}.{' ' + advice if advice else ''}") from exc
                time.sleep(wait_s)
            except ValueError as exc:
                raise SourceError(f"{what} cannot be read: the answer is not JSON.") from exc
    finally:
        client.close()


def _read(client: Client, location: Location, most: int = 64 * 1024 * 1024) -> bytes:
    body = client.get(location, Wanted())
    data, view = bytearray(), memoryview(bytearray(65536))
    while (body.length is None or len(data) < body.length) and len(data) < most:
        size = body.read_into(view)
        if size == 0:
            break
        data += view[:size]
    body.close()
    return bytes(data)
