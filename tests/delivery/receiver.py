"""A receiver of webhooks on this machine, that answers as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(slots=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answer` may be changed at any time."""

    answer: Callable[[Got], Awaitable[web.Response]]
    got: list[Got] = field(default_factory=list)
    port: int = 0
    active: int = 0
    most: int = 0
    runner: web.AppRunner | None = None
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def start(self) -> None:
        """Listens on a free port, or on the one that it had before."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    async def until(self, count: int, deadline_s: float = 60.0) -> None:
        """Waits until so many requests have come."""
        async with asyncio.timeout(deadline_s):
            while len(self.got) < count:
                self.came.clear()
                await self.came.wait()

    async def _handle(self, request: web.Request) -> web.Response:
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            got = Got(request.path_qs, {k.lower(): v for k, v in request.headers.items()}, await request.read())
            self.got.append(got)
            self.came.set()
            return await self.answer(got)
        finally:
            self.active -= 1


async def fine(got: Got) -> web.Response:
    """Takes everything."""
    return web.Response()


def statuses(*codes: int) -> Callable[[Got], Awaitable[web.Response]]:
    """Answers these one after another, the last one for ever."""
    left = list(codes)

    async def answer(got: Got) -> web.Response:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0])

    return answer


def gate() -> tuple[asyncio.Event, Callable[[Got], Awaitable[web.Response]]]:
    """Answers when the event is set."""
    event = asyncio.Event()

    async def answer(got: Got) -> web.Response:
        await event.wait()
        return web.Response()

    return event, answer
