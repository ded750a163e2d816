"""A plane without its client API: the real store, fleet, worker API and scaling loop, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

from zeroidle.endpoint import Endpoint
from zeroidle.fleet.local import LocalFleet
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.server import Server
from zeroidle.gateway.worker_api import WorkerApi
from zeroidle.gateway.worker_env import worker_env
from zeroidle.gateway.worker_socket import WorkerSocket
from zeroidle.job import Job, Policy, new_job_id, read_payload
from zeroidle.scaling.loop import ScalingLoop
from zeroidle.store.sqlite import SqliteStore
from zeroidle.worker import Registry, Worker, WorkerEventKind

DEADLINE_S = 60.0

ECHO = "import runpod\nrunpod.serverless.start({'handler': lambda job: job['input']})\n"

#: Does what its input says: {"ok"}, {"sleep": s}, {"exit": n}, {"kill": n}; {"mark": file} writes its pid there first.
ACT = """
import os, signal, time, runpod
def handler(job):
    act = job["input"]
    if "mark" in act:
        with open(act["mark"], "a") as file:
            file.write(f"{os.getpid()}\\n")
    if "wait" in act:
        while not os.path.exists(act["wait"]):
            time.sleep(0.005)
    time.sleep(act.get("sleep", 0))
    if "exit" in act:
        print("the handler leaves", flush=True)
        os._exit(act["exit"])
    if "kill" in act:
        os.kill(os.getpid(), act["kill"])
    return {"pid": os.getpid(), "ok": act.get("ok")}
runpod.serverless.start({"handler": handler})
"""


class Plane:
    """Serves endpoints from `folder`, which a later one can take over."""

    def __init__(self, folder: Path, endpoints: Iterable[Endpoint]) -> None:
        self.folder = folder / "data"
        self.folder.mkdir(exist_ok=True)
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self.store = SqliteStore(self.folder, self.endpoints)
        self.registry = Registry()
        self.fleet = LocalFleet(self.folder)
        self.socket = WorkerSocket(self.folder / "worker.sock", self.store, self.registry, self.endpoints)
        self.workers_api = WorkerApi(self.store, self.registry, self.endpoints)
        self.server = Server(self._handle, self.store.spool, max_body_bytes=64 << 20)
        self.port = 0
        self.scaling = ScalingLoop(self.store, self.fleet, self.registry, self.endpoints, self._env)
        self.events: list[tuple[WorkerEventKind, str]] = []
        self.most = 0
        self.registry.listen(self._on_worker)

    def _env(self, endpoint: Endpoint, worker: Worker) -> dict[str, str]:
        return {
            "ZEROIDLE_SOCKET": str(self.socket.path),
            "ZEROIDLE_WORKER_ID": worker.id,
            "ZEROIDLE_WORKER_TOKEN": worker.token,
            "ZEROIDLE_SPOOL": str(self.store.spool),
            **worker_env(f"http://127.0.0.1:{self.port}", endpoint, worker),
        }

    async def _handle(self, request: Request) -> Response:
        return await self.workers_api.handle(request)

    def _on_worker(self, kind: WorkerEventKind, worker: Worker) -> None:
        self.events.append((kind, worker.id))
        self.most = max(self.most, sum(len(list(self.registry.of(name))) for name in self.endpoints))

    async def open(self) -> None:
        await self.store.open()
        await self.fleet.reap_orphans()
        await self.socket.start()
        self.port = await self.server.start("127.0.0.1", 0)
        await self.scaling.start()

    async def close(self, grace_s: float = 30.0) -> None:
        await self.scaling.drain(grace_s)
        self.workers_api.close()
        await self.server.close(0.5)
        await self.fleet.close()
        await self.socket.close()
        await self.store.close()

    # -- asking

    async def put(self, value: object, name: str = "probe", **kw: Any) -> Job:
        """Submits a job."""
        policy = Policy(**kw.pop("policy", {}))
        return await self.store.put(Job(new_job_id(), name, json.dumps(value).encode(), policy=policy, **kw))

    async def end(self, job: Job) -> Job:
        """Waits until the job has ended."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            found = await self.store.wait(job.endpoint, job.id, 5.0)
            assert found is not None
            if found.final:
                return found
        raise AssertionError(f"{job.id} has not ended: {found}, {self.scaling.state(job.endpoint)}")

    async def run(self, value: object, name: str = "probe", **kw: Any) -> Job:
        """Submits a job and waits until it has ended."""
        return await self.end(await self.put(value, name, **kw))

    def output(self, job: Job) -> Any:
        """The decoded result."""
        assert job.output is not None, job
        return json.loads(read_payload(job.output, self.store.spool))

    def workers(self, name: str = "probe") -> list[Worker]:
        return list(self.registry.of(name))

    def count(self, kind: WorkerEventKind) -> int:
        """How many such events there were."""
        return sum(one == kind for one, _ in self.events)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Waits for a condition that nothing announces."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {DEADLINE_S} s: {what}; {self.events[-20:]}")
            await asyncio.sleep(0.005)


def endpoint(folder: Path, source: str = ACT, name: str = "probe", **settings: Any) -> Endpoint:
    """An endpoint whose handler is `source`."""
    root = folder / name
    root.mkdir(exist_ok=True)
    (root / "handler.py").write_text(source)
    return Endpoint(name, root / "handler.py", root, **({"python": sys.executable} | settings))


@contextlib.asynccontextmanager
async def serving(folder: Path, *endpoints: Endpoint, grace_s: float = 30.0) -> AsyncIterator[Plane]:
    """A plane for the time of a test."""
    plane = Plane(folder, endpoints)
    await plane.open()
    try:
        yield plane
    finally:
        await plane.close(grace_s)
        assert plane.fleet.list() == []
