"""Request and Response: what the gateway's handlers take and give, whatever server carries them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

from msgspec import Struct, field

from zeroidle.errors import RequestError
from zeroidle.job import Spooled


class Request(Struct, eq=False):
    """One HTTP request, body complete. `path` is percent-decoded without the query; header names are lower case.

    A body of 256 KiB or more was received into a file of the spool and is a `Spooled`. A handler that answers below
    400 owns that file from then on; after an error, the server removes it, unless the handler has taken it by setting
    `body` to b"". `alive()` tells whether the client is still connected: ask it before handing something out that
    cannot be taken back.
    """

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Spooled = b""
    peer: str = ""
    alive: Callable[[], bool] = lambda: True

    def param(self, name: str) -> str | None:
        """The last value of a query parameter."""
        if not self.query:
            return None
        values = parse_qs(self.query, keep_blank_values=True).get(name)
        return values[-1] if values else None

    def integer(self, name: str, bounds: tuple[int, int]) -> int | None:
        """A whole number of the query, or None without it. Raises RequestError."""
        text = self.param(name)
        if text is None:
            return None
        low, high = bounds
        digits = text.removeprefix("-")
        value = int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
        if value is None or not low <= value <= high:
            raise RequestError(f"{name} is {text[:100]!r}; it must be a whole number from {low} to {high}.")
        return value


class Spliced(Struct, frozen=True):
    """A body made of bytes and whole files, in order: how a large result gets its JSON around it without a copy."""

    parts: tuple[bytes | Path, ...]


class Response(Struct, eq=False):
    """One HTTP answer. `body` is bytes, a file to send, both in a row, or an iterator of chunks (sent chunked)."""

    status: int = 200
    body: bytes | Path | Spliced | AsyncIterator[bytes] = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Later(Struct, eq=False):
    """An answer that is not there yet. Who makes it calls `give`, once; the server calls `then`, once."""

    _response: Response | None = None
    _take: Callable[[Response], None] | None = None

    def give(self, response: Response) -> None:
        """Here it is."""
        if self._take is None:
            self._response = response
        else:
            self._take(response)

    def then(self, take: Callable[[Response], None]) -> None:
        """Calls `take` with the answer, perhaps at once."""
        self._take = take
        if self._response is not None:
            take(self._response)


#: What a server hosts.
Handler = Callable[[Request], Awaitable[Response]]

#: Answers what can be answered without a coroutine, which costs more than the answer; None: ask the handler.
Quick = Callable[[Request], "Response | Later | None"]
