"""The exchanges of one HTTP connection: complete requests are answered one after the other."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import httptools
from msgspec import Struct

from zeroidle.gateway import reply
from zeroidle.gateway.body import Body, remove_file
from zeroidle.gateway.heads import Heads
from zeroidle.gateway.http_limits import HttpLimits
from zeroidle.gateway.message import Handler, Later, Quick, Request, Response
from zeroidle.gateway.writer import Writer
from zeroidle.job import Spooled

if TYPE_CHECKING:
    from zeroidle.gateway.connection import Connection

log = logging.getLogger(__name__)


class Host(Protocol):
    """What a connection needs of its server."""

    handler: Handler
    quick: Quick | None
    heads: Heads
    spool: Path
    limits: HttpLimits
    clock: reply.Clock
    closing: bool
    loop: asyncio.AbstractEventLoop

    def admit(self, request: Request) -> int:
        """The longest body this request may have, asked before one goes to disk. Raises RequestError to refuse it."""

    def opened(self, connection: Connection) -> None:
        """A connection was made."""

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""


class Exchange(Struct, eq=False):
    """A complete request; or the answer to one that was refused, after which nothing follows."""

    request: Request
    keep_alive: bool
    old: bool = False
    refusal: Response | None = None


class Exchanges(asyncio.Protocol):
    """What was received completely and not begun waits in `_queue`; at most one exchange is being answered
    (`_current`), by a task unless the answer needs none. `_receiving` is what comes meanwhile: "head", "body", or ""
    between requests.
    """

    _writer: Writer
    _parser: httptools.HttpRequestParser

    def __init__(self, host: Host) -> None:
        self._host = host
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._begins = False
        self._task: asyncio.Task[None] | None = None
        self._reading = True
        self._deadline = math.inf
        self._receiving = ""
        self._body: Body | None = None
        self._body_began = 0.0
        self._wants_continue = False

    def alive(self) -> bool:
        """Whether the peer is still there."""
        return not self._writer.lost and not self._writer.transport.is_closing()

    def _next(self) -> None:
        """Begins the next exchanges, as long as there are some and the peer reads. An answer that is there at once
        comes back here: then the loop that is under way goes on, so that a thousand of them are no thousand frames."""
        if self._begins:
            return
        self._begins = True
        writer, queue = self._writer, self._queue
        try:
            while queue:
                if writer.paused or self._current is not None or not self.alive():
                    return
                exchange = queue.popleft()
                if exchange.refusal is not None:
                    self._linger(exchange, exchange.refusal)
                    return
                self._begin(exchange)
        finally:
            self._begins = False
        if self._current is not None or writer.paused or writer.lost:
            return
        limits = self._host.limits
        receiving, now = self._receiving, self._host.loop.time()
        time_s = limits.idle_s if not receiving else limits.head_s if receiving == "head" else limits.body_s
        self._deadline = now + time_s
        self._body_began = now if receiving == "body" else 0.0  # we did not read meanwhile
        if not self._reading and self.alive():
            self._reading = True
            writer.transport.resume_reading()
        if self._wants_continue:
            self._send_continue()

    def _at_once(self, exchange: Exchange) -> None:
        """Begins the only exchange that there is, when nothing else is being received."""
        if self._begins or self._writer.paused or not self.alive():
            self._queue.append(exchange)
            self._next()
            return
        self._begins = True
        try:
            self._begin(exchange)
        finally:
            self._begins = False

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        host = self._host
        answer = host.quick(exchange.request) if host.quick is not None else None
        if isinstance(answer, Later):
            answer.then(self._answer)
        elif answer is not None:
            self._answer(answer)
        else:
            self._task = host.loop.create_task(self._run(exchange))

    def _answer(self, response: Response) -> None:
        """Sends an answer that needed no task."""
        exchange, body, writer = self._current, response.body, self._writer
        if exchange is None or writer.lost:
            return
        if response.status >= 400:
            self._drop(exchange.request)
        if type(body) is bytes:
            keep_alive = exchange.keep_alive and not self._host.closing
            writer.write(exchange.request.method, response, body, keep_alive=keep_alive, old=exchange.old)
            self._finish(keep_alive)
        else:
            self._task = self._host.loop.create_task(self._send(exchange, response))

    def _finish(self, keep_alive: bool) -> None:
        self._current = self._task = None
        if not keep_alive:
            self._writer.transport.close()
        elif self._queue or self._receiving or not self._reading or self._writer.paused:
            self._next()
        else:  # nothing else is there: what `_next` comes to
            self._deadline = self._host.loop.time() + self._host.limits.idle_s

    async def _run(self, exchange: Exchange) -> None:
        request = exchange.request
        taken = False
        try:
            response = await self._host.handler(request)
            taken = response.status < 400
        except Exception:
            log.exception("http.handler_failed method=%s path=%s", request.method, request.path)
            response = reply.failure(500, "The server failed at this request; its log says why.")
        finally:
            if not taken:
                self._drop(request)
        await self._send(exchange, response)

    async def _send(self, exchange: Exchange, response: Response) -> None:
        method, old, body = exchange.request.method, exchange.old, response.body
        keep_alive = exchange.keep_alive and not self._host.closing
        if isinstance(body, bytes):
            self._writer.write(method, response, body, keep_alive=keep_alive, old=old)
        else:
            whole = await self._writer.send(method, response, keep_alive=keep_alive, old=old)
            if not whole:
                self._writer.transport.abort()  # a polite end would look complete to HTTP/1.0
            keep_alive = keep_alive and not old
        self._finish(keep_alive)

    def _linger(self, exchange: Exchange, refusal: Response) -> None:
        """Answers, closes our side and reads on for a while: closing at once would reset the answer away."""
        assert isinstance(refusal.body, bytes)
        transport = self._writer.transport
        self._writer.write(exchange.request.method, refusal, refusal.body, keep_alive=False, old=False)
        self._deadline = self._host.loop.time() + self._host.limits.linger_s
        if not self._reading and self.alive():
            self._reading = True
            transport.resume_reading()
        if transport.can_write_eof() and self.alive():
            transport.write_eof()

    def _forget_body(self) -> None:
        if self._body is not None:
            self._body.discard()
            self._body = None

    def _drop(self, request: Request) -> None:
        if isinstance(request.body, Spooled):
            remove_file(self._host.spool, request.body.path)
            request.body = b""

    def _send_continue(self) -> None:
        # In order: not before the answers to earlier requests, and not when the body came unasked.
        if self._wants_continue and self._receiving == "body" and self._current is None and not self._queue:
            self._wants_continue = False
            if self._body is None and self._parser.get_http_version() != "1.0":
                self._writer.transport.write(reply.CONTINUE)
