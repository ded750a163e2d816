"""One HTTP/1.1 connection: what the transport and the parser say becomes requests, or refusals."""

from __future__ import annotations

import asyncio
import logging
import math

import httptools

from zeroidle.errors import RequestError, TooLarge
from zeroidle.gateway import reply
from zeroidle.gateway.body import LARGE_BYTES, Body
from zeroidle.gateway.exchanges import Exchange, Exchanges, Host
from zeroidle.gateway.heads import header_name, target
from zeroidle.gateway.message import Request
from zeroidle.gateway.writer import Writer

log = logging.getLogger(__name__)

_METHODS = {b"GET": "GET", b"POST": "POST"}


class Connection(Exchanges):
    """Between the parser's callbacks (`on_*`) and the exchanges. The server asks once a second whether the `deadline`
    (loop time) is over."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._parser = httptools.HttpRequestParser(self)
        self._lines: bytes | None = None  # of the head that is being parsed, when it may be remembered
        self._deaf = False  # what still arrives is dropped: after a refusal or an upgrade
        self._dropped_bytes = 0
        self._peer = ""
        self._shared = 0  # requests that have a part in what is being parsed
        self._head_bytes = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._headers_bytes = 0
        self._head_max_bytes, self._headers_max = host.limits.head_bytes, host.limits.header_count
        self._request = Request("", "")
        self._keep_alive = True
        self._limit_bytes: int | None = None

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

    def data_received(self, data: bytes) -> None:
        """Feeds the parser."""
        if self._deaf:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > self._host.limits.linger_bytes:
                self._writer.transport.abort()
            return
        if not self._receiving:
            if self._current is None and not self._queue and self._reading:
                head = self._host.heads.match(data)
                if head is not None:
                    body = data[head.body_at :]
                    request = Request(head.method, head.path, "", head.headers, body, self._peer, self.alive)
                    self._at_once(Exchange(request, True))
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
        self._queue.append(Exchange(self._request, self._keep_alive, self._parser.get_http_version() == "1.0"))
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

    def _refuse(self, status: int, text: str) -> None:
        """Answers with an error and closes: what follows on this connection cannot be understood."""
        if self._deaf:
            return
        self._deaf = True
        self._receiving = ""
        self._forget_body()
        self._queue.append(Exchange(self._request, False, refusal=reply.failure(status, text)))
        if self._current is None:
            self._next()
