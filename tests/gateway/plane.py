"""A plane without processes: the real server, app, API and store on a loop of its own, and a worker inside."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from tests.gateway.worker import InProcessWorker
from zeroidle.endpoint import Endpoint
from zeroidle.gateway.app import App
from zeroidle.gateway.auth import Auth
from zeroidle.gateway.http_limits import HttpLimits
from zeroidle.gateway.limits import Limits
from zeroidle.gateway.metrics import Metrics
from zeroidle.gateway.openapi import Openapi
from zeroidle.gateway.runpod_api import RunpodApi
from zeroidle.gateway.server import Server
from zeroidle.store.sqlite import SqliteStore
from zeroidle.worker import Registry

T = TypeVar("T")
DEADLINE_S = 20.0


class Loop:
    """An event loop in a thread, so that blocking clients can call what runs on it."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there and answers its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE_S)

    def close(self) -> None:
        """Ends the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE_S)
        self.loop.close()


def until(true: Callable[[], bool]) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def on_a_loop() -> Iterator[Loop]:
    """A loop for the time of a test."""
    loop = Loop()
    try:
        yield loop
    finally:
        loop.close()


def endpoint(name: str, **changes: Any) -> Endpoint:
    """An endpoint as the gateway sees one; its handler never runs here."""
    return Endpoint(name, Path("handler.py"), Path("."), "python3", **changes)


class GatewayPlane:
    """Endpoint `echo` has a worker, endpoint `idle` has none, so its jobs stay in the queue."""

    def __init__(self, loop: Loop, folder: Path, **options: Any) -> None:
        self.loop = loop
        self.endpoints = options.get("endpoints") or {name: endpoint(name) for name in ("echo", "idle")}
        self.registry = Registry()
        self.store = SqliteStore(folder, self.endpoints)
        self.auth = Auth(self.store, loopback=True)
        self.app = App(self.auth)
        self.api = RunpodApi(
            self.store,
            self.endpoints,
            self.registry,
            options.get("limits", Limits()),
            check=options.get("check"),
            upload=options.get("upload"),
        )
        self.app.mount("v2", self.api.handle, browser=True, admit=self.api.admit, quick=self.api.quick)
        self.app.mount("openapi.json", Openapi(self.endpoints).handle, browser=True)
        self.worker = InProcessWorker(self.store, self.registry, "echo")
        self._http_limits = options.get("http_limits", HttpLimits())
        self._quick = options.get("quick", True)
        self.port = 0

    async def start(self) -> None:
        """Opens the store and serves on a free port."""
        await self.store.open()
        metrics = Metrics(self.store, self.registry, self.endpoints)
        self.app.mount("metrics", metrics.handle)
        self.server = Server(
            self.app.handle,
            self.store.spool,
            max_body_bytes=20 * 1024 * 1024,
            admit=self.app.admit,
            limits=self._http_limits,
            quick=self.app.quick if self._quick else None,
        )
        self.port = await self.server.start("127.0.0.1", 0)
        self.worker.start()

    async def close(self) -> None:
        """Ends everything."""
        await self.worker.stop()
        await self.server.close(1.0)
        await self.store.close()

    @property
    def url(self) -> str:
        """The base of the client API."""
        return f"http://127.0.0.1:{self.port}/v2"

    def add_key(self, key: str) -> None:
        """From here on callers need a key."""
        self.loop.run(self.store.save_key("test", hashlib.sha256(key.encode()).hexdigest()))
        self.loop.run(self.auth.refresh())

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own. `body`: bytes as they are, anything else as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return Answer(response.status, dict((k.lower(), v) for k, v in response.getheaders()), response.read())
        finally:
            connection.close()

    def until(self, path: str, wanted: Callable[[Any], bool]) -> Any:
        """Asks until the JSON answer is as wanted."""
        deadline = time.monotonic() + DEADLINE_S
        while not wanted(found := self.call("GET", path).json):
            assert time.monotonic() < deadline, found
        return found


class Answer:
    """A status, headers with lower-case names, and a body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body as a value."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of an error answer."""
        return str(self.json["error"])


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[GatewayPlane]:
    """A plane for the time of a test. Options: endpoints, limits, check, upload, http_limits, quick."""
    with on_a_loop() as loop:
        plane = GatewayPlane(loop, folder, **options)
        loop.run(plane.start())
        try:
            yield plane
        finally:
            loop.run(plane.close())
