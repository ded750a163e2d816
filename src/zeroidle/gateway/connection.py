"""One HTTP/1.1 connection: parses requests and runs the handler on them, one after the other."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from pathlib import Path
from typing import Protocol

import httptools
from msgspec import Struct

from zeroidle.errors import RequestError, TooLarge
from zeroidle.gateway import reply
from zeroidle.gateway.body import LARGE_BYTES, Body, remove_file
from zeroidle.gateway.heads import Heads, header_name, target
from zeroidle.gateway.http_limits import HttpLimits
from zeroidle.gateway.message import Handler, Later, Quick, Request, Response
from zeroidle.gateway.writer import Writer
from zeroidle.job import Spooled

log = logging.getLogger(__name__)

_METHODS = {b"GET": "GET", b"POST": "POST"}


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


class _Exchange(Struct, eq=False):
    """A complete request; or the answer to one that was refused, after which nothing follows."""

    request: Request
    keep_alive: bool
    old: bool = False
    refusal: Response | None = None


class Connection(asyncio.Protocol):
    """Between the parser's callbacks (`on_*`) and the writer.

    What was received completely and not begun waits in `_queue`; at most one exchange is being answered (`_current`),
    by a task unless the answer needs none. The server asks once a second whether the `deadline` (loop time) is over.
    """

    _writer: Writer

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[_Exchange] = deque()
        self._current: _Exchange | None = None
        self._begins = False
        self._task: asyncio.Task[None] | None = None
        self._lines: bytes | None = None  # of the head that is being parsed, when it may be remembered
        self._reading = True
        self._deaf = False  # what still arrives is dropped: after a refusal or an upgrade
        self._dropped_bytes = 0
        self._deadline = math.inf
        self._peer = ""
        self._receiving = ""  # "head", "body", or "" between requests
        self._shared = 0  # requests that have a part in what is being parsed
        self._head_bytes = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._headers_bytes = 0
        self._head_max_bytes, self._headers_max = host.limits.head_bytes, host.limits.header_count
        self._request = Request("", "")
        self._keep_alive = True
        self._body: Body | None = None
        self._body_began = 0.0
        self._limit_bytes: int | None = None
        self._wants_continue = False

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers the peer and starts its time."""
        host = self._host
        self._writer = Writer(transport, host.loop, host.clock, host.limits.write_s)  # type: ignore[arg-type]
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._deadline = host.loop.time() + host.limits.idle_s
        host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the running handler: nobody will read its answer."""
        self._writer.lost = True
        self._writer.resume()
        self._deaf = True
        self._forget_body()
        for exchange in self._queue:
            self._drop(exchange.request)
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()
        self._host.closed(self)

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._writer.resume()
        if self._current is None:
            self._next()

    def alive(self) -> bool:
        """Whether the peer is still there."""
        return not self._writer.lost and not self._writer.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser."""
        if self._deaf:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > self._host.limits.linger_bytes:
                self._writer.transport.abort()
            return
        if not self._receiving:
            if self._current is None and not self._queue:
                known = self._host.heads.match(data)
                if known is not None and self._reading:
                    method, path, head, body = known
                    self._queue.append(
                        _Exchange(Request(method, path, "", head.headers, body, self._peer, self.alive), True)
                    )
                    self._next()
                    return
            self._lines = self._host.heads.lines(data)
        self._shared = 1 if self._receiving else 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True
        except httptools.HttpParserCallbackError as exc:
            log.error("http.parser_callback_failed", exc_info=exc)
            self._refuse(500, "The server could not read the request.")
        except httptools.HttpParserError as exc:
            self._refuse(400, f"This is not a valid HTTP/1.1 request: {exc}.")
        if self._receiving:
            self._check_receiving(len(data))
        if self._queue and self._reading and self.alive():
            self._reading = False
            self._writer.transport.pause_reading()

    def _check_receiving(self, size_bytes: int) -> None:
        """Bounds a head that does not end (the parser keeps its unfinished line); renews the time of a body."""
        limits = self._host.limits
        if self._receiving == "body":
            now = self._host.loop.time()
            self._body_began = self._body_began or now
            received = self._body.size_bytes if self._body is not None else 0
            slowest = self._body_began + received / limits.body_bytes_per_s
            self._deadline = min(now, slowest) + limits.body_s
            return
        if self._shared == 1:
            self._head_bytes += size_bytes
        # Separators and line ends come on top of what on_url and on_header count exactly.
        if self._head_bytes > limits.head_bytes + limits.url_bytes + 8 * limits.header_count:
            self._refuse(431, f"The request's headers are larger than {limits.head_bytes} bytes.")

    def overdue(self, now: float) -> bool:
        """Whether the peer's time is over; what it waits for itself has no limit here."""
        if self._writer.deadline <= now:
            return True
        return self._current is None and self._deadline <= now

    def expire(self) -> None:
        """Ends a connection whose time is over: with a sentence where the peer may read one."""
        if self._receiving and not self._writer.paused:
            limits = self._host.limits
            wait_s = limits.head_s if self._receiving == "head" else limits.body_s
            self._refuse(408, f"The request's {self._receiving} came too slowly; the server waits {wait_s:g} seconds.")
        elif self._deaf or self._writer.deadline < math.inf:
            self._writer.transport.abort()
        else:
            self._writer.transport.close()

    def shut(self) -> None:
        """Ends an idle connection; a busy one ends by itself after its answer, as the server is closing."""
        if self._current is None and not self._queue and not self._receiving:
            self._writer.transport.close()

    def abort(self) -> None:
        """Ends it now, whatever it does."""
        self._writer.transport.abort()

    # The parser

    def on_message_begin(self) -> None:
        """A request begins."""
        self._receiving = "head"
        self._shared += 1
        self._head_bytes = 0
        self._url = b""
        self._headers = {}
        self._headers_bytes = 0
        self._body_began = 0.0
        self._limit_bytes = None
        self._deadline = self._host.loop.time() + self._host.limits.head_s

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url
        if len(self._url) > self._host.limits.url_bytes:
            self._refuse(414, f"The URL is longer than {self._host.limits.url_bytes} bytes.")

    def on_header(self, raw_name: bytes, raw_value: bytes) -> None:
        """One complete header."""
        name = header_name(raw_name)
        headers, value = self._headers, raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self._headers_bytes += len(raw_name) + len(raw_value)
        if self._headers_bytes > self._head_max_bytes:
            self._refuse(431, f"The request's headers are larger than {self._head_max_bytes} bytes.")
        elif len(headers) > self._headers_max:
            self._refuse(431, f"The request has more than {self._headers_max} headers.")

    def on_headers_complete(self) -> None:
        """The head is complete: decides whether the body may come."""
        if self._deaf:
            return
        self._receiving = "body"
        path, query = target(self._url)
        parser, headers = self._parser, self._headers
        self._keep_alive = parser.should_keep_alive()
        method = parser.get_method()
        method_text = _METHODS.get(method) or method.decode()
        self._request = Request(method_text, path, query, headers, b"", self._peer, self.alive)
        name = headers.get("host")
        if (name is None and parser.get_http_version() == "1.1") or (name is not None and "," in name):
            self._refuse(400, "A request needs one Host header.")
            return
        length = int(headers.get("content-length") or 0)
        if parser.should_upgrade():
            self._keep_alive = False
            if length or "transfer-encoding" in headers or self._request.method == "CONNECT":
                self._refuse(400, "This server does not switch protocols; send the request without Upgrade.")
                return
        self._wants_continue = "expect" in headers and headers["expect"].lower() == "100-continue"
        if (length >= LARGE_BYTES or self._wants_continue) and not self._admit(length):
            return
        self._send_continue()

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._deaf:
            return
        if self._body is None:
            self._body = Body(self._host.spool)
        length = self._body.size_bytes + len(data)
        if length >= LARGE_BYTES and not self._admit(length):
            return
        try:
            self._body.add(data)
        except OSError as exc:
            log.error("http.spool_failed error=%s", exc)
            self._refuse(503, f"The server cannot store the body ({exc.strerror}); send it again later.")

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._deaf:
            return
        self._receiving = ""
        if self._body is not None:
            self._request.body = self._body.finish()
            self._body = None
        self._queue.append(_Exchange(self._request, self._keep_alive, self._parser.get_http_version() == "1.0"))
        if self._lines is not None and self._keep_alive:
            self._host.heads.learn(self._lines, self._headers)
        self._lines = None
        if self._current is None:
            self._next()

    def _admit(self, length: int) -> bool:
        """Asks once how long a large body may be; `length` is what is known of it so far."""
        try:
            if self._limit_bytes is None:
                self._limit_bytes = self._host.admit(self._request)
            if length > self._limit_bytes:
                path, limit = self._request.path, self._limit_bytes
                raise TooLarge(f"The body is larger than {limit} bytes, the most that {path} takes.")
        except RequestError as exc:
            self._refuse(exc.http_status, exc.message)
            return False
        return True

    def _send_continue(self) -> None:
        # In order: not before the answers to earlier requests, and not when the body came unasked.
        if self._wants_continue and self._receiving == "body" and self._current is None and not self._queue:
            self._wants_continue = False
            if self._body is None and self._parser.get_http_version() != "1.0":
                self._writer.transport.write(reply.CONTINUE)

    def _refuse(self, status: int, text: str) -> None:
        """Answers with an error and closes: what follows on this connection cannot be understood."""
        if self._deaf:
            return
        self._deaf = True
        self._receiving = ""
        self._forget_body()
        self._queue.append(_Exchange(self._request, False, refusal=reply.failure(status, text)))
        if self._current is None:
            self._next()

    # The exchanges

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

    def _begin(self, exchange: _Exchange) -> None:
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
        exchange, body = self._current, response.body
        if exchange is None or self._writer.lost:
            return
        if response.status >= 400:
            self._drop(exchange.request)
        if isinstance(body, bytes):
            keep_alive = exchange.keep_alive and not self._host.closing
            self._writer.write(exchange.request.method, response, body, keep_alive=keep_alive, old=exchange.old)
            self._finish(keep_alive)
        else:
            self._task = self._host.loop.create_task(self._send(exchange, response))

    def _finish(self, keep_alive: bool) -> None:
        self._current = self._task = None
        if keep_alive:
            self._next()
        else:
            self._writer.transport.close()

    async def _run(self, exchange: _Exchange) -> None:
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

    async def _send(self, exchange: _Exchange, response: Response) -> None:
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

    def _linger(self, exchange: _Exchange, refusal: Response) -> None:
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
