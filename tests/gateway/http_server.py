"""The bare HTTP server with a handler that says what it got, and a client that sends bytes as it is told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.plane import DEADLINE_S, Answer, Loop, on_a_loop
from zeroidle.gateway.http_limits import HttpLimits
from zeroidle.gateway.message import Request, Response, Spliced
from zeroidle.gateway.server import Server
from zeroidle.job import Spooled


class HttpServer:
    """Answers every request with what it was; a few paths answer with something special."""

    def __init__(self, loop: Loop, folder: Path, limits: HttpLimits) -> None:
        self.loop = loop
        self.spool = folder / "spool"
        self.folder = folder
        self.server = Server(self._handle, self.spool, max_body_bytes=4 * 1024 * 1024, limits=limits)
        self.port = loop.run(self.server.start("127.0.0.1", 0))
        self.waiting = asyncio.Event()
        self.ended: list[str] = []

    async def _handle(self, request: Request) -> Response:
        if request.path == "/wait":
            return await self._wait()
        if request.path == "/crash":
            raise ValueError("a mistake in a handler")
        if request.path == "/stream":
            return Response(200, _chunks(int(request.query or 3)), "text/plain")
        if request.path == "/broken-stream":
            return Response(200, _broken(), "text/plain")
        if request.path == "/file":
            return Response(200, Spliced((b"<", self.folder / request.query, b">")), "text/plain")
        body = request.body
        data = (self.spool / body.path).read_bytes() if isinstance(body, Spooled) else body
        if isinstance(body, Spooled):
            (self.spool / body.path).unlink()
        seen = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "spooled": isinstance(body, Spooled),
            "headers": request.headers,
        }
        return Response(200, json.dumps(seen).encode())

    async def _wait(self) -> Response:
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return Response(200)

    def connect(self) -> Client:
        """A new connection."""
        return Client(self.port)


async def _chunks(n: int) -> AsyncIterator[bytes]:
    for i in range(n):
        yield b"chunk %d\n" % i
        await asyncio.sleep(0)


async def _broken() -> AsyncIterator[bytes]:
    yield b"first"
    raise ValueError("a mistake in a stream")


class Client:
    """One connection, its bytes as they are."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, *pieces: bytes) -> None:
        """Each piece by itself."""
        for piece in pieces:
            self.socket.sendall(piece)

    def answer(self, method: str = "GET") -> Answer:
        """Reads one answer; 100 Continue counts as one."""
        line = self.file.readline()
        match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [A-Za-z0-9 '-]+\r\n", line)
        assert match, line
        headers = {}
        while (line := self.file.readline()) != b"\r\n":
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(": ")
            headers[name] = value
        status = int(match[1])
        return Answer(status, headers, b"" if method == "HEAD" or status in (100, 204) else self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                assert self.file.read(2) == b"\r\n"
            assert self.file.read(2) == b"\r\n"
            return body
        if "content-length" in headers:
            return self.file.read(int(headers["content-length"]))
        return self.file.read()

    def ended(self) -> bool:
        """Whether the server sends nothing more and has closed its side; waits for that."""
        return self.file.read(1) == b""

    def close(self) -> None:
        """Ends it."""
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


@contextmanager
def serving(folder: Path, **limits: Any) -> Iterator[HttpServer]:
    """A server for the time of a test; `limits` are fields of HttpLimits."""
    with on_a_loop() as loop:
        server = HttpServer(loop, folder, HttpLimits(**limits))
        try:
            yield server
        finally:
            loop.run(server.server.close(0.5))
