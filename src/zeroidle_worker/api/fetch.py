"""Downloads what a caller's URL names, bounded in size and time, and never from an address inside the network."""

from __future__ import annotations

import http.client
import io
import ipaddress
import os
import socket
import tempfile
import time
from typing import Any, BinaryIO, Callable, List, NamedTuple, Optional, Tuple
from urllib.parse import urljoin, urlsplit

from zeroidle_worker import current

_CHUNK = 256 * 1024
_REDIRECTS = 5

#: A server may be silent for so long, in seconds.
_SILENCE_S = 30.0


class FetchError(Exception):
    """A download that failed, in words that continue "the URL ..."."""


class Bounds(NamedTuple):
    """Bounds of a download: its size, its whole duration, and whether private addresses may be asked."""

    max_bytes: int = 512 * 1024 * 1024
    timeout_s: float = 120.0
    allow_private: bool = False

    @classmethod
    def from_env(cls) -> "Bounds":
        """The worker's settings (zeroidle.toml: `file_limit`, `file_timeout`, `private_urls`)."""
        env = os.environ
        return cls(
            int(env.get("ZEROIDLE_FILE_LIMIT_BYTES", cls().max_bytes)),
            float(env.get("ZEROIDLE_FILE_TIMEOUT_S", cls().timeout_s)),
            env.get("ZEROIDLE_PRIVATE_URLS") == "1",
        )


class Fetched(NamedTuple):
    """A finished download: an unlinked-on-close temporary file, and what the server said of it."""

    path: str
    size_bytes: int
    content_type: Optional[str]
    name: str


def fetch(url: str, bounds: Optional[Bounds] = None, folder: Optional[str] = None) -> Fetched:
    """Downloads `url` into a new file in `folder`. Raises FetchError; then nothing is left behind."""
    bounds = bounds or Bounds.from_env()
    deadline = time.monotonic() + bounds.timeout_s
    for _ in range(_REDIRECTS + 1):
        connection, target = _connect(url, bounds, deadline)
        try:
            connection.request("GET", target, headers={"User-Agent": "zeroidle", "Accept-Encoding": "identity"})
            answer = connection.getresponse()
            if answer.status in (301, 302, 303, 307, 308) and answer.getheader("Location"):
                url = urljoin(url, answer.getheader("Location") or "")
                continue
            if answer.status != 200:
                raise FetchError("was answered with status %d" % answer.status)
            return _save(answer, url, bounds, folder)
        except socket.timeout as exc:
            if time.monotonic() >= deadline:
                raise FetchError("took longer than %g s" % bounds.timeout_s) from exc
            raise FetchError("is not answered: its server was silent for %g s" % _SILENCE_S) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise FetchError("could not be read: %s" % (exc or type(exc).__name__)) from exc
        finally:
            connection.close()
    raise FetchError("is redirected more than %d times" % _REDIRECTS)


def _connect(url: str, bounds: Bounds, deadline: float) -> Tuple[http.client.HTTPConnection, str]:
    """A connection to an address that was checked: the name is resolved once, so it cannot change in between."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError("must begin with http:// or https://")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as exc:
        raise FetchError("has no valid port") from exc
    sock = _open(parts.hostname, port, bounds, deadline)
    connection = http.client.HTTPConnection(parts.hostname, port)
    if parts.scheme == "https":
        import ssl

        try:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
        except OSError as exc:
            sock.close()
            raise FetchError("has no valid certificate: %s" % exc) from exc
        connection.default_port = 443
    connection.sock = _Deadline(sock, deadline, bounds.timeout_s)
    return connection, (parts.path or "/") + ("?" + parts.query if parts.query else "")


class _Deadline:
    """A socket, as far as http.client uses one, whose every read knows when the whole download must have ended.

    A time-out of the socket alone bounds each read: a server that sends a byte of its headers now and then would keep
    us for ever.
    """

    def __init__(self, sock: socket.socket, deadline: float, timeout_s: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._timeout_s = timeout_s
        self.sendall = sock.sendall
        self.close = sock.close

    def makefile(self, mode: str, *args: Any, **kwargs: Any) -> BinaryIO:
        """The reading end."""
        return io.BufferedReader(_Raw(self._sock, self._limit), _CHUNK)

    def _limit(self) -> None:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise FetchError("took longer than %g s" % self._timeout_s)
        running = current.running()
        if running is not None and running.cancelled:
            raise FetchError("is not needed any more: the job was stopped")
        self._sock.settimeout(min(_SILENCE_S, left_s))


class _Raw(io.RawIOBase):
    def __init__(self, sock: socket.socket, limit: Callable[[], None]) -> None:
        # Its own hold on the descriptor: http.client closes the socket of a last answer before it is read.
        self._file = sock.makefile("rb", buffering=0)
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        self._limit()
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _open(host: str, port: int, bounds: Bounds, deadline: float) -> Any:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise FetchError("names a host that is not found: %s" % host) from exc
    addresses: List[Any] = [entry for entry in found if bounds.allow_private or is_public(str(entry[4][0]))]
    if not addresses:
        raise FetchError("names an address inside a private network, which is not allowed: %s" % host)
    last: Optional[OSError] = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(max(0.001, min(10.0, deadline - time.monotonic())))
        try:
            sock.connect(address)
            return sock
        except OSError as exc:
            sock.close()
            last = exc
    raise FetchError("could not be reached: %s" % last)


def is_public(address: str) -> bool:
    """Whether an address is out on the internet, also when it is wrapped in an IPv6 one."""
    ip: Any = ipaddress.ip_address(address.split("%")[0])
    for inner in ("ipv4_mapped", "sixtofour"):
        if getattr(ip, inner, None) is not None:
            ip = getattr(ip, inner)
    if getattr(ip, "teredo", None) is not None or ip in ipaddress.ip_network("64:ff9b::/96"):
        return False
    return bool(ip.is_global and not ip.is_multicast)


def _save(answer: http.client.HTTPResponse, url: str, bounds: Bounds, folder: Optional[str]) -> Fetched:
    declared = answer.getheader("Content-Length")
    if declared and declared.isdigit() and int(declared) > bounds.max_bytes:
        raise FetchError("has %s bytes; at most %d are taken" % (declared, bounds.max_bytes))
    handle, path = tempfile.mkstemp(prefix="fetched-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            size = _copy(answer, file, bounds)
        if declared and declared.isdigit() and size != int(declared):
            raise FetchError("broke off after %d of %s bytes" % (size, declared))
    except BaseException:
        os.unlink(path)
        raise
    name = os.path.basename(urlsplit(url).path)
    return Fetched(path, size, (answer.getheader("Content-Type") or "").split(";")[0].strip() or None, name)


def _copy(answer: http.client.HTTPResponse, file: BinaryIO, bounds: Bounds) -> int:
    size = 0
    while True:
        chunk = answer.read1(_CHUNK)
        if not chunk:
            return size
        size += len(chunk)
        if size > bounds.max_bytes:
            raise FetchError("has more than %d bytes" % bounds.max_bytes)
        file.write(chunk)
