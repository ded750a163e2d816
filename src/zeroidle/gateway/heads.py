"""Heads of requests: names and targets as handlers see them, and lines that were parsed before and come again."""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import unquote

from msgspec import Struct

from zeroidle.gateway.body import LARGE_BYTES

_T = TypeVar("_T")

#: The beginning of a plain request: method, a path without escapes or query, the version; up to its line end.
_LINE = re.compile(rb"(GET|POST) (/[A-Za-z0-9/_.-]{0,2000}) HTTP/1\.1\r\n").match

_PLAIN = re.compile(rb"/[A-Za-z0-9/_.-]*").fullmatch
_names: dict[bytes, str] = {}

#: Paths with more name a job, which is seldom asked for again with the same head.
_FEW_SLASHES = 3
_KEPT = 1024
_MAX_BYTES = 2048
_SPECIAL = ("transfer-encoding", "upgrade", "expect", "te", "trailer")


class _Lines(Struct, frozen=True, gc=False):
    """What the lines after the first one say."""

    headers: dict[str, str]
    length: int


class Head(Struct, frozen=True, gc=False):
    """What stands before the body: its length, and where the body begins. Nobody changes `headers`."""

    method: str
    path: str
    headers: dict[str, str]
    length: int
    body_at: int


class Heads:
    """Remembers header lines that the parser took, byte for byte, so that the same lines need no parsing.

    What the parser makes of the lines after the first does not depend on the first, for GET and POST. Only what is
    plain is kept (see `learn`); everything else is the parser's.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, _Lines] = {}
        self._whole: dict[bytes, Head] = {}  # with the first line, where that comes again too

    def match(self, data: bytes) -> Head | None:
        """The head, when `data` is exactly one request with known lines; else None."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._whole.get(data[:end]) or self._matched(data, end)
        return head if head is not None and len(data) == head.body_at + head.length else None

    def _matched(self, data: bytes, end: int) -> Head | None:
        line = _LINE(data)
        lines = self._known.get(data[line.end() : end]) if line is not None else None
        if line is None or lines is None:
            return None
        method, path = line.groups()
        head = Head(method.decode(), path.decode(), lines.headers, lines.length, end + 4)
        if method == b"POST" and path.count(b"/") <= _FEW_SLASHES and end <= _MAX_BYTES:
            _make_room(self._whole)
            self._whole[data[:end]] = head
        return head

    def lines(self, data: bytes) -> bytes | None:
        """The lines that `learn` may keep of a request whose first piece is `data`."""
        line = _LINE(data)
        if line is None:
            return None
        end = data.find(b"\r\n\r\n", line.end())
        return data[line.end() : end] if 0 < end - line.end() <= _MAX_BYTES else None

    def learn(self, lines: bytes, headers: dict[str, str]) -> None:
        """Keeps lines that the parser took, if they ask for nothing special: one host, a body of known length, a
        connection that stays."""
        host = headers.get("host")
        if host is None or "," in host or any(name in headers for name in _SPECIAL):
            return
        if headers.get("connection", "keep-alive").lower() != "keep-alive":
            return
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 7):
            return
        if int(length) < LARGE_BYTES:
            _make_room(self._known)
            self._known[lines] = _Lines(headers, int(length))


def _make_room(known: dict[bytes, _T]) -> None:
    if len(known) >= _KEPT:
        known.clear()


def header_name(raw: bytes) -> str:
    """Lower-case text; the few names that clients send are kept."""
    name = _names.get(raw)
    if name is not None:
        return name
    name = raw.decode("latin-1").lower()
    if len(_names) < 500:
        _names[raw] = name
    return name


def target(url: bytes) -> tuple[str, str]:
    """Path (percent-decoded) and query of a request's target, which may also be a whole URL or "*"."""
    if _PLAIN(url):
        return url.decode("ascii"), ""
    raw, _, query = url.partition(b"?")
    if not raw.startswith(b"/") and b"://" in raw:
        raw = b"/" + raw.partition(b"://")[2].partition(b"/")[2]
    path = raw.partition(b"#")[0].decode("latin-1")
    # Raw bytes beyond ASCII are UTF-8, as in percent-encoded ones.
    path = unquote(path) if "%" in path else path
    return path, query.partition(b"#")[0].decode("latin-1")
