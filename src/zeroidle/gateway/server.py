"""The HTTP server: listens, keeps the connections' time and closes gracefully."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from pathlib import Path

from zeroidle.errors import ConfigError
from zeroidle.gateway.connection import Connection
from zeroidle.gateway.heads import Heads
from zeroidle.gateway.http_limits import HttpLimits
from zeroidle.gateway.message import Handler, Quick, Request
from zeroidle.gateway.reply import Clock

log = logging.getLogger(__name__)

_BACKLOG = 2048
_SWEEP_S = 1.0


class Server:
    """Hosts one handler over HTTP/1.1.

    `quick` is asked before `handler` and may leave a request to it. `spool` is the folder for large bodies. `admit` is
    asked before a body goes there: it answers how many bytes this request may have (None: `max_body_bytes`) or raises
    RequestError.
    """

    def __init__(
        self,
        handler: Handler,
        spool: Path,
        *,
        max_body_bytes: int,
        admit: Callable[[Request], int | None] | None = None,
        limits: HttpLimits | None = None,
        quick: Quick | None = None,
    ) -> None:
        self.handler = handler
        self.quick = quick
        self.heads = Heads()
        self.spool = spool
        self.limits = limits or HttpLimits()
        self.clock = Clock()
        self.closing = False
        self.loop: asyncio.AbstractEventLoop
        self._admit = admit
        self._max_body_bytes = max_body_bytes
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self, host: str, port: int) -> int:
        """Listens on every address of `host`; answers the port, which is a free one when 0 was asked for.

        Raises ConfigError when the address cannot be had.
        """
        self.loop = asyncio.get_running_loop()
        self.spool.mkdir(parents=True, exist_ok=True)
        try:
            found = await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for address in dict.fromkeys(info[4][0] for info in found):
                server = await self.loop.create_server(lambda: Connection(self), str(address), port, backlog=_BACKLOG)
                self._servers.append(server)
                # All addresses share the port that the first one was given.
                port = port or server.sockets[0].getsockname()[1]
        except OSError as exc:
            await self.close(0)
            raise ConfigError(_cannot_listen(host, port, exc)) from exc
        return port

    async def close(self, grace_s: float) -> None:
        """Takes no more connections, ends idle ones, gives running requests `grace_s` seconds, then ends them."""
        self.closing = True
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.shut()
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            log.warning("http.closing_with_open_requests n=%d", len(self._connections))
            for connection in list(self._connections):
                connection.abort()
            await self._empty.wait()
        self._servers.clear()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def admit(self, request: Request) -> int:
        """The longest body this request may have, in bytes."""
        limit = self._admit(request) if self._admit is not None else None
        return self._max_body_bytes if limit is None else min(limit, self._max_body_bytes)

    def opened(self, connection: Connection) -> None:
        """A connection was made."""
        self._connections.add(connection)
        self._empty.clear()
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        """Ends what is overdue; sleeps while there is no connection."""
        now = self.loop.time()
        for connection in list(self._connections):
            if connection.overdue(now):
                connection.expire()
        self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep) if self._connections else None


def _cannot_listen(host: str, port: int, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use by another program; choose another one with --port."
    if exc.errno == errno.EACCES:
        return f"This user may not listen on port {port}; choose one from 1024 up with --port."
    return f"Cannot listen on {host}, port {port}: {exc.strerror or exc}."
