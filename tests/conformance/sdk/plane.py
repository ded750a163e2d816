"""A plane made of the real parts that a worker of the real `runpod` package meets, run in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from tests.conformance.sdk import environments
from zeroidle.endpoint import Endpoint
from zeroidle.fleet.local import LocalFleet
from zeroidle.gateway.app import App
from zeroidle.gateway.auth import Auth
from zeroidle.gateway.body import MAX_RESULT_BYTES
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.server import Server
from zeroidle.gateway.worker_api import WorkerApi
from zeroidle.gateway.worker_env import worker_env
from zeroidle.gateway.worker_socket import WorkerSocket
from zeroidle.job import Job, Policy, Status, new_job_id, read_payload
from zeroidle.scaling.loop import ScalingLoop
from zeroidle.store.sqlite import SqliteStore
from zeroidle.worker import Registry, Worker

HANDLERS = Path(__file__).parent / "handlers"
ENTRY = Path(__file__).parent / "entry.py"
STUB = Path(__file__).parent / "stub"

T = TypeVar("T")


def sdk_endpoint(version: str, handler: str, root: Path, name: str | None = None, **settings: Any) -> Endpoint:
    """An endpoint whose worker is the unmodified package: `python handlers/<handler>.py`, cwd `root`."""
    root.mkdir(parents=True, exist_ok=True)
    env = {"PYTHONPATH": str(STUB), **settings.pop("env", {})}
    return Endpoint(
        name or handler, HANDLERS / f"{handler}.py", root, str(environments.python(version)),
        **{"idle_s": 600.0, "max_workers": 1, "env": env, "lease_s": 8.0, **settings},
    )  # fmt: skip


class Plane:
    """One plane in `folder`; `entry` is what the fleet starts for a worker, by default the handler itself."""

    def __init__(
        self, folder: Path, endpoints: list[Endpoint], entry: Path | None = ENTRY,
        env: Mapping[str, str | None] | None = None,
    ) -> None:  # fmt: skip
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self.registry = Registry()
        self.store = SqliteStore(folder, self.endpoints)
        self.fleet = LocalFleet(folder, entry=entry)
        self.scaling = ScalingLoop(self.store, self.fleet, self.registry, self.endpoints, self._env)
        self.api = WorkerApi(self.store, self.registry, self.endpoints)
        self.socket = WorkerSocket(folder / "worker.sock", self.store, self.registry, self.endpoints)
        app = App(Auth(self.store, loopback=True))
        app.mount("worker", self._worker, public=True, admit=self.api.admit)
        self._app = app
        self.server = self._new_server()
        self.port = 0
        self.requests: list[Request] = []
        self.intercept: Callable[[Request], Awaitable[Response | None]] | None = None
        self._extra = dict(env or {})

    def _new_server(self) -> Server:
        return Server(self._app.handle, self.store.spool, max_body_bytes=MAX_RESULT_BYTES, admit=self._app.admit)

    async def _worker(self, request: Request) -> Response:
        self.requests.append(request)
        if self.intercept is not None and (response := await self.intercept(request)) is not None:
            return response
        return await self.api.handle(request)

    def _env(self, endpoint: Endpoint, worker: Worker) -> dict[str, str]:
        env = {
            "ZEROIDLE_SOCKET": str(self.socket.path), "ZEROIDLE_WORKER_ID": worker.id,
            "ZEROIDLE_WORKER_TOKEN": worker.token, "ZEROIDLE_SPOOL": str(self.store.spool),
            **worker_env(f"http://127.0.0.1:{self.port}", endpoint, worker),
        }  # fmt: skip
        return {name: value for name, value in {**env, **self._extra}.items() if value is not None}

    async def start(self) -> None:
        await self.store.open()
        await self.socket.start()
        self.port = await self.server.start("127.0.0.1", self.port)
        await self.scaling.start()

    async def close(self) -> None:
        await self.fleet.close()
        await self.scaling.drain(0)
        self.api.close()
        await self.socket.close()
        await self.server.close(0)
        await self.store.close()

    async def cut(self) -> None:
        """No HTTP request gets through from now on: connections are closed, new ones refused."""
        await self.server.close(0)

    async def restore(self) -> None:
        """Listens again on the same port."""
        self.server = self._new_server()
        await self.server.start("127.0.0.1", self.port)

    # -- what a test does and sees

    async def submit(self, endpoint: str, input: Any, policy: Policy | None = None) -> str:
        data = json.dumps(input).encode()
        job = await self.store.put(Job(new_job_id(), endpoint, data, policy=policy or Policy()))
        return str(job.id)

    async def job(self, endpoint: str, job_id: str) -> Job:
        job = await self.store.get(endpoint, job_id)
        assert job is not None
        return job

    async def ended(self, endpoint: str, job_id: str, timeout_s: float = 60.0) -> Job:
        job = await self.store.wait(endpoint, job_id, timeout_s)
        assert job is not None and job.final, f"{job} did not end; {self.logs()}"
        return job.copy()

    async def run(self, endpoint: str, input: Any, timeout_s: float = 60.0) -> Job:
        return await self.ended(endpoint, await self.submit(endpoint, input), timeout_s)

    def output(self, job: Job) -> Any:
        assert job.status is Status.COMPLETED, f"{job.status}: {job.error}; {self.logs()}"
        return self.value(job)

    def value(self, job: Job) -> Any:
        assert job.output is not None
        return json.loads(read_payload(job.output, self.store.spool))

    def workers(self, endpoint: str | None = None) -> list[Worker]:
        return [w for name in self.endpoints if endpoint in (None, name) for w in self.registry.of(name)]

    def worker(self, endpoint: str) -> Worker:
        (worker,) = self.workers(endpoint)
        return worker

    async def ready(self, endpoint: str, timeout_s: float = 60.0) -> Worker:
        """The one worker of an endpoint that has min_workers=1, once it has asked for a job."""
        await self.until(lambda: [w for w in self.workers(endpoint) if w.ready_at], "a worker is ready", timeout_s)
        return self.worker(endpoint)

    def seen(self, verb: str) -> list[Request]:
        return [r for r in self.requests if f"/{verb}/" in r.path]

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((self.store.spool.parent / "logs").glob("*.log"))
        )

    async def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {timeout_s:g} s: {what}; {self.logs()}")
            await asyncio.sleep(0.01)


class Call:
    """Runs a coroutine in the plane's thread and waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __call__(self, coro: Coroutine[Any, Any, T], timeout_s: float = 100.0) -> T:
        return asyncio.run_coroutine_threadsafe(coro, self._loop).result(timeout_s)


@contextmanager
def running(make: Callable[[], Plane]) -> Iterator[tuple[Plane, Call]]:
    """A plane that several tests share."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    call = Call(loop)

    async def begin() -> Plane:
        plane = make()
        await plane.start()
        return plane

    plane = call(begin())
    try:
        yield plane, call
    finally:
        call(plane.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def with_plane(make: Callable[[], Plane], test: Callable[[Plane], Awaitable[None]]) -> None:
    """A plane of a test's own."""

    async def main() -> None:
        plane = make()
        await plane.start()
        try:
            await test(plane)
        finally:
            await plane.close()

    uvloop.run(main())
