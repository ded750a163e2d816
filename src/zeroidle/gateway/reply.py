"""The bytes of an HTTP answer: status line, headers and the parts of a body."""

from __future__ import annotations

import http
import os
import time
from pathlib import Path

import msgspec

from zeroidle.gateway.message import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in http.HTTPStatus}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BODYLESS = frozenset({204, 304})
_starts: dict[tuple[int, str], bytes] = {}


def failure(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """An error answer in our one shape: {"error": "a sentence"}."""
    return Response(status, msgspec.json.encode({"error": text}), headers=headers or {})


def has_body(method: str, status: int) -> bool:
    """Whether an answer with this status to this method carries a body."""
    return method != "HEAD" and status not in _BODYLESS


class Clock:
    """The Date header of now, formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""
        self._heads: dict[tuple[int, str], bytes] = {}

    def date_line(self) -> bytes:
        """`date: ...` with its line end."""
        now = int(time.time())
        if now != self._second:
            t = time.gmtime(now)
            self._second = now
            self._heads.clear()
            self._line = (
                f"date: {_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
                f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT\r\n"
            ).encode()
        return self._line

    def plain_head(self, status: int, content_type: str) -> bytes:
        """Status line, content type and date of an answer without headers of its own, up to the length's value."""
        if int(time.time()) != self._second:
            self.date_line()
        head = self._heads.get((status, content_type))
        if head is None:
            line = self.date_line()
            head = self._heads[status, content_type] = _start(status, content_type) + line + b"content-length: "
        return head


def _start(status: int, content_type: str) -> bytes:
    """Status line and content type; few combinations exist, so they are kept."""
    start = _starts.get((status, content_type))
    if start is None:
        line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n".encode()
        start = line if status in _BODYLESS else line + b"content-type: " + _safe(content_type) + b"\r\n"
        if len(_starts) < 1000:
            _starts[(status, content_type)] = start
    return start


def _safe(text: str) -> bytes:
    """A header's name or value as bytes; refuses line ends, with which a value could forge headers."""
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError(f"A response header holds a line end: {text!r}.")
    return text.encode("latin-1", "replace")


def head(response: Response, framing: bytes, connection: bytes, date: bytes) -> bytes:
    """Everything before the body. `framing` and `connection` are whole header lines, or empty."""
    parts = [_start(response.status, response.content_type), date, connection]
    if response.status not in _BODYLESS:
        parts.append(framing)
    for name, value in response.headers.items():
        parts += (_safe(name), b": ", _safe(value), b"\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


class Part:
    """A stretch of a body with a known length: bytes in memory or an open file."""

    __slots__ = ("data", "fd", "size_bytes")

    def __init__(self, source: bytes | Path) -> None:
        self.data = b""
        self.fd = -1
        if isinstance(source, bytes):
            self.data = source
            self.size_bytes = len(source)
        else:
            self.fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
            self.size_bytes = os.fstat(self.fd).st_size

    def close(self) -> None:
        """Closes the file, if it is one."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_parts(sources: tuple[bytes | Path, ...]) -> list[Part]:
    """Opens every file before the first byte is sent. Raises OSError with nothing left open."""
    parts: list[Part] = []
    try:
        for source in sources:
            parts.append(Part(source))
    except OSError:
        for part in parts:
            part.close()
        raise
    return parts
