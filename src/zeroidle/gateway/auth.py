"""Who may call: API keys compared by their digests, and the open door of a loopback plane without keys."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from typing import Protocol
from urllib.parse import urlsplit

from zeroidle.errors import RequestError, Unauthorized
from zeroidle.gateway.message import Request

#: Keys made or removed elsewhere count after at most this time.
_FRESH_S = 2.0


class KeyStore(Protocol):
    """Where the keys are."""

    async def list_keys(self) -> dict[str, str]:
        """Name to SHA-256 hex digest."""


class Forbidden(RequestError):
    """This may not be called from a web page."""

    http_status = 403


def new_key() -> str:
    """A fresh API key: 256 random bits. It is shown once and kept as its digest only."""
    return "zi_" + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What is kept of a key: its SHA-256 in hex. A slow hash would add nothing to 256 random bits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class Auth:
    """Decides whether a request may come in. `loopback`: the plane listens on this machine only. `token` is a secret
    that counts as a key and is kept nowhere: the plane's own, for the commands of its user."""

    def __init__(self, store: KeyStore, loopback: bool, token: str | None = None) -> None:
        self._store = store
        self._loopback = loopback
        self._own = () if token is None else (digest(token).encode(),)
        self._digests: tuple[bytes, ...] | None = None
        self._read_at = 0.0
        self._welcome: set[str] = set()  # credentials that were found right since the keys were read

    async def refresh(self) -> None:
        """Reads the keys anew; call it after a change to have it count at once."""
        keys = await self._store.list_keys()
        self._digests = tuple(digest.encode() for digest in keys.values())
        self._welcome.clear()
        self._read_at = time.monotonic()

    @property
    def stale(self) -> bool:
        """Whether the keys must be read again before a check."""
        return self._digests is None or time.monotonic() - self._read_at > _FRESH_S

    async def check(self, request: Request) -> None:
        """Lets the request in or raises Unauthorized or Forbidden."""
        if self.stale:
            await self.refresh()
        self.check_now(request)

    def check_now(self, request: Request) -> None:
        """Like `check`, with the keys as they were last read; lets all in before they were ever read."""
        if self._digests is None:
            return
        if not self._digests and self._loopback:
            _refuse_foreign_page(request)
        elif not self._known(request.headers.get("authorization", "")):
            raise Unauthorized

    def _known(self, credentials: str) -> bool:
        """RunPod takes "Bearer KEY" and the bare key."""
        if credentials in self._welcome:
            return True
        scheme, _, rest = credentials.partition(" ")
        key = rest.strip() if scheme.lower() == "bearer" else credentials.strip()
        found = digest(key).encode()
        known = False
        for other in (*self._own, *(self._digests or ())):  # all of them, so that the time says nothing
            known |= hmac.compare_digest(found, other)
        if known:
            self._welcome.add(credentials)
        return known


def _refuse_foreign_page(request: Request) -> None:
    """Without a key, any web page in a browser on this machine could send jobs; those name themselves by Origin,
    or, when a foreign name was pointed at this machine, by Host."""
    origin = request.headers.get("origin")
    if origin is not None and not _local(urlsplit(origin).hostname if "://" in origin else origin):
        raise Forbidden(
            f"The page {origin} may not call this plane while it has no API key; make one with: "
            "zeroidle keys create NAME."
        )
    host = request.headers.get("host")
    if host and not (_local_hosts.get(host) or _remember(host)):
        raise Forbidden(
            f"This plane has no API key and therefore answers only to local names, not to {host}; "
            "make a key with: zeroidle keys create NAME."
        )


def _remember(host: str) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    local = _local(name)
    if local and len(_local_hosts) < 100:
        _local_hosts[host] = True
    return local


#: Values of Host headers that were found to be local.
_local_hosts: dict[str, bool] = {}


def _local(name: str | None) -> bool:
    if not name or name == "null":
        return False
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return "." not in name or name.lower().endswith((".localhost", ".local", ".internal"))
