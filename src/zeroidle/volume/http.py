"""Reading byte ranges over HTTP into a buffer: connections kept, redirects followed, tokens kept at home."""

from __future__ import annotations

import http.client
import os
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from zeroidle.volume.retry import RETRYABLE, Changed, NoRanges, TransferError, retry_after_s

_REDIRECTS = (301, 302, 303, 307, 308)
_AGENT = "zeroidle"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a file is read: `headers` (they may hold a token) are sent to the host of `url` only, not to where it
    redirects."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Wanted:
    """What is asked of one file: bytes [start, end), None for all of it; `etag` is what it must still have, if that
    is known; `size` the length it must have."""

    start: int = 0
    end: int | None = None
    etag: str | None = None
    size: int | None = None


class Reader(Protocol):
    """An open range; `length` is how many bytes it has, None when that shows only at the end."""

    length: int | None

    def read_into(self, view: memoryview) -> int:
        """Reads what there is, at most the view's length; 0 at the end. Raises TransferError when it breaks off."""

    def close(self) -> None:
        """Gives back what it holds."""


class LocalBody:
    """A range of a file on this machine."""

    def __init__(self, url: str, wanted: Wanted) -> None:
        path = urllib.request.url2pathname(urlsplit(url).path)
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            raise TransferError(f"{path} cannot be opened: {exc.strerror}", retryable=False) from exc
        status = os.fstat(self._fd)
        self._at = wanted.start
        self._end = status.st_size if wanted.end is None else wanted.end
        self.length: int | None = self._end - self._at
        if wanted.etag not in (None, str(status.st_mtime_ns)) or wanted.size not in (None, status.st_size):
            self.close()
            raise Changed(f"{path} has been changed")

    def read_into(self, view: memoryview) -> int:
        """As Reader says."""
        try:
            size = os.preadv(self._fd, [view[: max(0, self._end - self._at)]], self._at)
        except OSError as exc:
            raise TransferError(f"reading failed: {exc.strerror}") from exc
        self._at += size
        return size

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)


class Body:
    """The answer to one request, read in pieces."""

    def __init__(self, client: Client, origin: str, answer: http.client.HTTPResponse, url: str) -> None:
        self._client = client
        self._origin = origin
        self._answer = answer
        self.url = url
        self.status = answer.status
        self.headers = answer.headers
        self.length = answer.length
        self._left = answer.length

    @property
    def etag(self) -> str | None:
        """The strong ETag, if there is one: a weak one does not promise equal bytes."""
        value = self.headers.get("ETag")
        return None if value is None or value.startswith("W/") else value

    def read_into(self, view: memoryview) -> int:
        """Reads what has arrived, at most the view's length; 0 at the end. Raises TransferError when it breaks off."""
        try:
            if self._left is None or self._answer.chunked:
                return self._answer.readinto(view)
            if self._left == 0:
                return 0
            size: int = self._answer.fp.readinto1(view[: self._left])
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise TransferError(f"the connection broke: {type(exc).__name__} {exc}") from exc
        if size == 0:
            raise TransferError(f"the body ended {self._left} bytes early")
        self._left -= size
        self._answer.length = self._left
        return size

    def discard(self) -> None:
        """Reads a short body to its end, so that the connection can be used again."""
        try:
            self._answer.read(65536)
        except (OSError, http.client.HTTPException):
            self._client.drop(self._origin)

    def close(self) -> None:
        """Gives the connection back when all was read, else closes it."""
        if self._left == 0 and not self._answer.will_close:
            self._answer.read()  # of nothing: it only ends the answer
            return
        self._client.drop(self._origin)


class Client:
    """The connections of one thread. Not to be shared between threads; `targets`, where redirects led to, is."""

    def __init__(
        self, timeout_s: float = 20.0, tls: ssl.SSLContext | None = None, targets: dict[str, str] | None = None
    ) -> None:
        self.timeout_s = timeout_s
        self._tls = tls
        self._open: dict[str, http.client.HTTPConnection] = {}
        self._targets = {} if targets is None else targets

    def get(self, location: Location, wanted: Wanted) -> Reader:
        """Asks for a range. Raises TransferError (Changed when the file is another one by now)."""
        if location.url.startswith("file:"):
            return LocalBody(location.url, wanted)
        headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity", "Accept": "*/*"}
        whole = wanted.start == 0 and wanted.end is None
        if not whole:
            headers["Range"] = f"bytes={wanted.start}-{'' if wanted.end is None else wanted.end - 1}"
            if wanted.etag:
                headers["If-Match"] = wanted.etag
        body = self._follow("GET", location, headers)
        if body.status == 200 or body.status == 206:
            self._check_range(body, wanted, whole)
            return body
        raise self._refused(body, location)

    def probe(self, location: Location) -> Body:
        """Asks for the first byte, to learn size, ETag and whether ranges are served. TransferError as `get`."""
        headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity", "Range": "bytes=0-0"}
        body = self._follow("GET", location, headers)
        if body.status in (200, 206, 416):
            return body
        raise self._refused(body, location)

    def forget(self, location: Location) -> None:
        """Follows the redirect anew the next time: its target has expired."""
        self._targets.pop(location.url, None)

    def drop(self, origin: str) -> None:
        """Closes the connection to an origin."""
        connection = self._open.pop(origin, None)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Closes all connections."""
        for origin in list(self._open):
            self.drop(origin)

    def _follow(self, method: str, location: Location, headers: Mapping[str, str]) -> Body:
        home = urlsplit(location.url)
        url = self._targets.get(location.url, location.url)
        for _ in range(10):
            parts = urlsplit(url)
            at_home = (parts.scheme, parts.netloc) == (home.scheme, home.netloc)
            body = self._ask(method, url, parts, {**headers, **location.headers} if at_home else headers)
            target = body.headers.get("Location")
            if body.status not in _REDIRECTS or not target:
                if url != location.url and body.status in (200, 206):
                    self._targets[location.url] = url
                return body
            body.discard()
            url = urljoin(url, target)
            if parts.scheme == "https" and urlsplit(url).scheme != "https":
                raise TransferError(f"{parts.hostname} redirects from https to {urlsplit(url).scheme}", retryable=False)
        raise TransferError(f"{home.hostname} redirects more than 10 times", retryable=False)

    def _ask(self, method: str, url: str, parts: SplitResult, headers: Mapping[str, str]) -> Body:
        origin = f"{parts.scheme}://{parts.netloc}"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        for attempt in (1, 2):
            connection = self._open.get(origin)
            fresh = connection is None
            if connection is None:
                connection = self._open[origin] = self._connect(parts)
            try:
                connection.request(method, target, headers=dict(headers))
                return Body(self, origin, connection.getresponse(), url)
            except (OSError, http.client.HTTPException) as exc:
                self.drop(origin)
                # A kept connection may have been closed by the server meanwhile; that is no failure.
                if fresh or attempt == 2:
                    raise TransferError(f"{parts.hostname} does not answer: {type(exc).__name__} {exc}") from exc
        raise AssertionError("unreachable")

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TransferError(f"{parts.scheme}:// cannot be read", retryable=False)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if not proxy or urllib.request.proxy_bypass(parts.hostname):
            if parts.scheme == "http":
                return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.timeout_s)
            if self._tls is None:
                self._tls = ssl.create_default_context()
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self.timeout_s, context=self._tls)
        return self._through(urlsplit(proxy if "://" in proxy else f"http://{proxy}"), parts)

    def _through(self, proxy: SplitResult, parts: SplitResult) -> http.client.HTTPConnection:
        if not proxy.hostname:
            raise TransferError("the proxy in the environment has no host name", retryable=False)
        port = proxy.port or 80
        if parts.scheme == "https":
            tls = self._tls = self._tls or ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                proxy.hostname, port, timeout=self.timeout_s, context=tls
            )
        else:
            connection = http.client.HTTPConnection(proxy.hostname, port, timeout=self.timeout_s)
        connection.set_tunnel(str(parts.hostname), parts.port)
        return connection

    def _check_range(self, body: Body, wanted: Wanted, whole: bool) -> None:
        reason = range_fault(body, wanted, whole)
        if reason is not None:
            body.close()
            raise reason

    def _refused(self, body: Body, location: Location) -> TransferError:
        host = urlsplit(body.url).hostname
        elsewhere = urlsplit(body.url).netloc != urlsplit(location.url).netloc
        wait_s = retry_after_s(body.headers.get("Retry-After"))
        body.close()
        self.forget(location)
        if body.status == 412 or body.status == 416:
            return Changed(f"{host} has another file by now (HTTP {body.status})")
        if elsewhere and body.status in (400, 401, 403, 404, 410):
            return TransferError(f"{host} refuses the signed address (HTTP {body.status})", signed=True)
        return TransferError(f"{host} answers HTTP {body.status}", body.status in RETRYABLE, wait_s)


def range_fault(body: Body, wanted: Wanted, whole: bool) -> TransferError | None:
    """What is wrong with an answer's range, length or version; None when it is what was asked for."""
    host = urlsplit(body.url).hostname
    start, size = 0, body.length
    if body.status == 206:
        unit, _, rest = (body.headers.get("Content-Range") or "").partition(" ")
        span, _, total = rest.partition("/")
        first, _, _ = span.partition("-")
        if unit != "bytes" or not first.isdigit():
            return TransferError(f"{host} sends a range without saying which", retryable=False)
        start, size = int(first), int(total) if total.isdigit() else None
    elif not whole and wanted.start > 0:
        return NoRanges(f"{host} sends the whole file instead of a range")
    if start != wanted.start:
        return TransferError(f"{host} sends bytes from {start} on instead of {wanted.start}", retryable=False)
    if wanted.size is not None and size is not None and size != wanted.size:
        return Changed(f"{host} has {size} bytes, {wanted.size} were expected")
    if wanted.etag and body.etag and body.etag != wanted.etag:
        return Changed(f"{host} has another ETag by now")
    return None
