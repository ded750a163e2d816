"""Writes answers to a connection: small ones at once, files by sendfile, streams in chunks, all at the peer's pace."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path

from zeroidle.gateway import reply
from zeroidle.gateway.message import Response, Spliced

log = logging.getLogger(__name__)

_FILE_BLOCK_BYTES = 1 << 20
_JOIN_BYTES = 64 * 1024  # below this, copying the body behind the head is cheaper than a second write

_CLOSE = b"connection: close\r\n"
_KEEP = b"connection: keep-alive\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"


class Writer:
    """The sending side of one connection. `deadline` (loop time) is when a peer that takes nothing is given up."""

    __slots__ = ("_clock", "_loop", "_waiter", "_write_s", "deadline", "lost", "paused", "transport")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, clock: reply.Clock, write_s: float
    ) -> None:
        self.transport = transport
        self.paused = False
        self.lost = False
        self.deadline = math.inf
        self._loop = loop
        self._clock = clock
        self._write_s = write_s
        self._waiter: asyncio.Future[None] | None = None

    def pause(self) -> None:
        """The peer reads slower than we write."""
        self.paused = True
        self.deadline = self._loop.time() + self._write_s

    def resume(self) -> None:
        """The peer has caught up, or is gone."""
        self.paused = False
        self.deadline = math.inf
        if self._waiter is not None:
            _resolve(self._waiter)

    async def drain(self) -> None:
        """Waits while the peer reads slower than we write."""
        if self.paused and not self.lost:
            self._waiter = self._loop.create_future()
            await self._waiter

    def write(self, method: str, response: Response, body: bytes, *, keep_alive: bool, old: bool) -> None:
        """Writes a complete answer at once. `old` says that the peer speaks HTTP/1.0."""
        usual = response.status == 200 and keep_alive and not old and not response.headers and method != "HEAD"
        if usual and len(body) < _JOIN_BYTES:
            plain = self._clock.plain_head(200, response.content_type)
            self.transport.write(b"%b%d\r\n\r\n%b" % (plain, len(body), body))
            return
        connection = (_KEEP if old else b"") if keep_alive else _CLOSE
        head = reply.head(response, b"content-length: %d\r\n" % len(body), connection, self._clock.date_line())
        if not reply.has_body(method, response.status):
            self.transport.write(head)
        elif len(body) < _JOIN_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))

    async def send(self, method: str, response: Response, *, keep_alive: bool, old: bool) -> bool:
        """Sends an answer of files or a stream; False when it broke off, so that the connection must end."""
        body = response.body
        try:
            if isinstance(body, (bytes, Path, Spliced)):
                sources = body.parts if isinstance(body, Spliced) else (body,)
                return await self._send_parts(method, response, sources, keep_alive=keep_alive, old=old)
            return await self._send_stream(method, response, body, keep_alive=keep_alive, old=old)
        except OSError as exc:
            log.info("http.send_failed error=%s", exc)
            return False
        except Exception:
            log.exception("http.stream_failed")
            return False

    async def _send_parts(
        self, method: str, response: Response, sources: tuple[bytes | Path, ...], *, keep_alive: bool, old: bool
    ) -> bool:
        try:
            parts = reply.open_parts(sources)
        except FileNotFoundError:
            gone = reply.failure(404, "What was asked for is no longer there; its time is over.")
            assert isinstance(gone.body, bytes)
            self.write(method, gone, gone.body, keep_alive=keep_alive, old=old)
            return True
        try:
            connection = (_KEEP if old else b"") if keep_alive else _CLOSE
            framing = b"content-length: %d\r\n" % sum(part.size_bytes for part in parts)
            self.transport.write(reply.head(response, framing, connection, self._clock.date_line()))
            if reply.has_body(method, response.status):
                for part in parts:
                    if part.fd < 0:
                        self.transport.write(part.data)
                        await self.drain()
                    else:
                        await self._send_file(part.fd, part.size_bytes)
        finally:
            for part in parts:
                part.close()
        return True

    async def _send_stream(
        self, method: str, response: Response, body: AsyncIterator[bytes], *, keep_alive: bool, old: bool
    ) -> bool:
        # HTTP/1.0 knows no chunks: the end of the connection ends the body.
        connection = _CLOSE if old or not keep_alive else b""
        self.transport.write(reply.head(response, b"" if old else _CHUNKED, connection, self._clock.date_line()))
        try:
            if reply.has_body(method, response.status):
                async for chunk in body:
                    if chunk:
                        self.transport.write(chunk if old else b"%x\r\n%b\r\n" % (len(chunk), chunk))
                        await self.drain()
                if not old:
                    self.transport.write(b"0\r\n\r\n")
        finally:
            aclose = getattr(body, "aclose", None)
            if aclose is not None:
                await aclose()
        return True

    async def _flush(self) -> None:
        """Waits until everything written has left for the kernel."""
        self.transport.set_write_buffer_limits(high=0)
        try:
            while self.transport.get_write_buffer_size() > 0 and not self.lost:
                await (self.drain() if self.paused else asyncio.sleep(0))
        finally:
            self.transport.set_write_buffer_limits()

    async def _send_file(self, fd: int, size_bytes: int) -> None:
        """Sends a file by sendfile, past the transport, whose buffer is empty meanwhile.

        uvloop has no `loop.sendfile` and guards the transport's own descriptor, hence the duplicate.
        """
        await self._flush()
        out = os.dup(self.transport.get_extra_info("socket").fileno())
        try:
            offset = 0
            while offset < size_bytes:
                try:
                    sent = os.sendfile(out, fd, offset, min(_FILE_BLOCK_BYTES, size_bytes - offset))
                except BlockingIOError:
                    await self._writable(out)
                    continue
                if sent == 0:
                    raise OSError("The file became shorter while it was sent.")
                offset += sent
        finally:
            self.deadline = math.inf
            os.close(out)

    async def _writable(self, fd: int) -> None:
        self.deadline = self._loop.time() + self._write_s
        ready = self._loop.create_future()
        self._loop.add_writer(fd, _resolve, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(fd)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
