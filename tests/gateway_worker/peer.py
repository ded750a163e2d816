"""A plane's worker socket with a real store, and a peer that can say anything to it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from zeroidle.endpoint import Endpoint
from zeroidle.gateway.worker_socket import WorkerSocket
from zeroidle.job import Job, Status, new_job_id, read_payload
from zeroidle.store.sqlite import SqliteStore
from zeroidle.worker import Registry, Worker, WorkerState
from zeroidle_worker import wire


class Plane:
    """A store and its worker socket; no fleet: a worker lives as long as it is in the registry."""

    def __init__(self, folder: Path, hello_s: float = 30.0, **settings: Any) -> None:
        self.folder = folder
        self.endpoints = {"e": Endpoint("e", folder / "h.py", folder, "python", **{"lease_s": 30.0, **settings})}
        self.store = SqliteStore(folder, self.endpoints)
        self.registry = Registry()
        self.socket = WorkerSocket(
            folder / "worker.sock", self.store, self.registry, self.endpoints, hello_s=hello_s, exit_s=0.02
        )

    def worker(self, worker_id: str = "w1") -> Worker:
        worker = Worker(worker_id, "e", time.time())
        self.registry.add(worker)
        return worker

    async def submit(self, input: bytes = b"{}") -> str:
        return (await self.store.put(Job(new_job_id(), "e", input))).id

    async def job(self, job_id: str) -> Job:
        job = await self.store.get("e", job_id)
        assert job is not None
        return job

    async def ended(self, job_id: str) -> Job:
        job = await self.store.wait("e", job_id, 20)
        assert job is not None and job.final, job
        return job

    async def value(self, job_id: str) -> Any:
        job = await self.ended(job_id)
        assert job.status is Status.COMPLETED and job.output is not None, job.error
        return json.loads(read_payload(job.output, self.store.spool))

    async def peer(self, worker: Worker | None = None, concurrency: int | None = None) -> Peer:
        """A connection; of `worker`, when given, and ready for jobs when `concurrency` is."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket.path))
        peer = Peer(reader, writer)
        if worker is not None:
            peer.hello(worker)
        if concurrency is not None:
            peer.send(wire.READY, {"concurrency": concurrency, "cooperative": False})
            assert worker is not None
            await until(lambda: worker.state is WorkerState.READY, "it is ready")
        return peer


class Peer:
    """One end of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._unpacker = wire.Unpacker()
        self._frames: list[wire.Frame] = []

    def hello(self, worker: Worker, **changes: Any) -> None:
        head = {"worker_id": worker.id, "token": worker.token, "pid": os.getpid(), "python": "3", "sdk": "shim"}
        self.send(wire.HELLO, head | changes)

    def send(self, kind: int, head: dict[str, Any] | None = None, body: bytes = b"") -> None:
        self.writer.write(wire.pack(kind, head, body))

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    def done(self, job: wire.Frame, value: Any = 1, **changes: Any) -> None:
        head = {"id": job.header["id"], "attempt": job.header["attempt"], "run_s": 0.001} | changes
        self.send(wire.DONE, head, json.dumps({"output": value}).encode())

    async def receive(self, timeout_s: float = 20) -> wire.Frame:
        """The next frame. Raises EOFError when the plane has cut the connection."""
        async with asyncio.timeout(timeout_s):
            while not self._frames:
                try:
                    data = await self._reader.read(65536)
                except ConnectionError:
                    data = b""
                if not data:
                    raise EOFError
                self._frames += self._unpacker.feed(data)
        return self._frames.pop(0)

    async def take(self, kind: int = wire.JOB) -> wire.Frame:
        """The next frame, which must be of this kind."""
        frame = await self.receive()
        assert frame.kind == kind, frame
        return frame

    async def cut(self, timeout_s: float = 20) -> bool:
        """Whether the plane cuts the connection before it says anything more."""
        try:
            await self.receive(timeout_s)
        except EOFError:
            return True
        return False

    def close(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def plane(folder: Path, **settings: Any) -> AsyncIterator[Plane]:
    made = Plane(folder, **settings)
    await made.store.open()
    await made.socket.start()
    try:
        yield made
    finally:
        await made.socket.close()
        await made.store.close()


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {timeout_s:g} s: {what}")
        await asyncio.sleep(0.005)
