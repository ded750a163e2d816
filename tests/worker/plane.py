"""A plane as small as the worker needs: the real socket, fleet and registry around a store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from zeroidle.endpoint import Endpoint
from zeroidle.fleet.local import LocalFleet
from zeroidle.fleet.protocol import Exit
from zeroidle.gateway.worker_env import worker_env
from zeroidle.gateway.worker_socket import WorkerSocket
from zeroidle.job import Job, Payload, new_job_id, read_payload
from zeroidle.store.sqlite import SqliteStore
from zeroidle.worker import Registry, Worker, WorkerState

NAME = "echo"


#: How long after its end what a worker has said may still be on its way.
LAST_WORDS_S = 0.5


class Plane:
    """Runs workers of one endpoint whose handler is `text`."""

    def __init__(self, folder: Path, text: str, **settings: Any) -> None:
        self.folder = folder
        root = folder / "app"
        root.mkdir()
        handler = root / "handler.py"
        handler.write_text(text)
        self.endpoint = Endpoint(NAME, handler, root, **{"python": sys.executable, **settings})
        self.endpoints = {NAME: self.endpoint}
        self.store = SqliteStore(folder, self.endpoints)
        self.registry = Registry()
        self.fleet = LocalFleet(folder)
        self.socket = WorkerSocket(folder / "worker.sock", self.store, self.registry, self.endpoints)
        self.exits: dict[str, Exit] = {}
        self.fleet.on_exit(self._on_exit)
        self._number = 0
        self._leaving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        await self.store.open()
        await self.socket.start()

    async def close(self) -> None:
        await self.fleet.close()
        await self.socket.close()
        await self.store.close()

    def _on_exit(self, exit: Exit) -> None:
        task = asyncio.ensure_future(self._leave(exit))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, exit: Exit) -> None:
        """Like the real plane, lets a worker whose start failed say why before it is forgotten."""
        worker, end = self.registry.get(exit.worker_id), time.monotonic() + LAST_WORDS_S
        while worker is not None and worker.ready_at is None and worker.error is None and time.monotonic() < end:
            if worker.last_seen_at is not None and not worker.connected:
                break  # it has come and gone
            await asyncio.sleep(0.002)
        self.exits[exit.worker_id] = exit
        self.registry.remove(exit.worker_id)

    async def start(self, **env: str) -> Worker:
        """Starts a worker; does not wait for it."""
        self._number += 1
        # Ids must differ between planes too: a fleet kills whatever carries the mark of an ended worker.
        worker = Worker(f"w{self._number}-{secrets.token_hex(4)}", NAME, time.time())
        self.registry.add(worker)
        given = worker_env("http://127.0.0.1:9", self.endpoint, worker) | {
            "ZEROIDLE_SOCKET": str(self.socket.path),
            "ZEROIDLE_WORKER_ID": worker.id,
            "ZEROIDLE_WORKER_TOKEN": worker.token,
            "ZEROIDLE_SPOOL": str(self.store.spool),
        }
        running = await self.fleet.start(self.endpoint, worker.id, given | env)
        worker.log_path = str(running.log_path)
        return worker

    async def ready(self, **env: str) -> Worker:
        """Starts a worker and waits until it may take jobs."""
        worker = await self.start(**env)
        await until(lambda: worker.state is WorkerState.READY or worker.error or worker.id in self.exits)
        assert worker.state is WorkerState.READY, f"{worker.error} {self.exits}\n{self.log(worker)}"
        return worker

    async def exited(self, worker: Worker) -> Exit:
        """Waits until a worker has ended."""
        await until(lambda: worker.id in self.exits and not worker.connected)
        return self.exits[worker.id]

    async def submit(self, value: Any, **fields: Any) -> str:
        """Puts a job in the queue; answers its id."""
        job = Job(new_job_id(), NAME, json.dumps(value).encode(), **fields)
        return (await self.store.put(job)).id

    async def result(self, job_id: str) -> Job:
        """Waits for the end of a job."""
        job = await self.store.wait(NAME, job_id, 30)
        assert job is not None and job.final, f"{job_id} has not ended: {job}"
        return job

    async def run(self, value: Any) -> Job:
        """Submits and waits."""
        return await self.result(await self.submit(value))

    def value(self, payload: Payload | None) -> Any:
        """The Python value of an output."""
        return None if payload is None else json.loads(read_payload(payload, self.store.spool))

    def log(self, worker: Worker) -> str:
        """Everything that a worker wrote."""
        return Path(worker.log_path or "").read_text()


async def until(condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """Waits for a condition; answers its value."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.005)
    return found


@contextlib.asynccontextmanager
async def plane(folder: Path, text: str, **settings: Any) -> AsyncIterator[Plane]:
    """A plane that is open inside the block."""
    made = Plane(folder, text, **settings)
    await made.open()
    try:
        yield made
    finally:
        await made.close()
