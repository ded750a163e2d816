"""A small HTTP client that does not cost much: keep-alive connections, one request at a time on each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, cast


class Connection(asyncio.Protocol):
    """One keep-alive connection. `ask` waits for the answer."""

    def __init__(self, host: str, key: str | None) -> None:
        auth = f"authorization: Bearer {key}\r\n" if key else ""
        self._head = f"host: {host}\r\n{auth}content-type: application/json\r\n"
        self._transport: asyncio.Transport
        self._data = b""
        self._wanted = 0  # bytes of the answer that comes, once its head tells
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Ends the request whose answer is complete."""
        self._data = self._data + data if self._data else data
        if len(self._data) < self._wanted:
            return
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        self._wanted = len(head) + 4 + length
        if len(body) >= length and self._answer is not None:
            self._wanted = 0
            self._data = body[length:]
            answer, self._answer = self._answer, None
            answer.set_result((int(head[9:12]), body[:length]))

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that hangs up in the middle fails the benchmark."""
        if self._answer is not None:
            self._answer.set_exception(ConnectionError(f"The server closed the connection: {exc}."))

    async def ask(self, method: str, path: str, body: bytes = b"") -> Any:
        """The JSON of the answer. Raises RuntimeError when it is not a 200."""
        self._answer = asyncio.get_running_loop().create_future()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        status, answer = await self._answer
        if status != 200:
            raise RuntimeError(f"{method} {path} answered {status}: {answer[:300]!r}")
        return json.loads(answer)

    def close(self) -> None:
        """Hangs up."""
        self._transport.close()


async def connect(url: str, key: str | None, n: int) -> list[Connection]:
    """`n` connections to a URL like http://127.0.0.1:8000."""
    host, _, port = url.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(host, key), host, int(port)) for _ in range(n)]
    return [connection for _, connection in made]


def close(connections: Iterable[Connection]) -> None:
    """Hangs up on all."""
    for connection in connections:
        connection.close()
