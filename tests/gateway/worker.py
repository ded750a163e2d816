"""A worker inside the test's plane: takes jobs through the store and does what their input says."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from zeroidle.job import Job, Status, read_payload
from zeroidle.store.protocol import Lease, Outcome
from zeroidle.worker import Held, Registry, Worker, WorkerState


class InProcessWorker:
    """Echoes the input. An object as input may ask for more:

    `{"fail": "why"}` ends as FAILED, `{"chunks": [...]}` yields them and gives the list, `{"progress": x}` reports x
    and holds the job, `{"hold": true}` holds it until it is cancelled.
    """

    def __init__(self, store: Any, registry: Registry, endpoint: str) -> None:
        self.worker = Worker(f"worker-{endpoint}", endpoint, time.time())
        self._store = store
        self._registry = registry
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Becomes ready and begins to take."""
        self._registry.add(self.worker)
        self.worker.state = WorkerState.READY
        self.worker.ready_at = time.time()
        self._registry.tell("ready", self.worker)
        self._loop = asyncio.get_running_loop().create_task(self._take())

    async def stop(self) -> None:
        """Ends at once."""
        tasks = [t for t in (self._loop, *self._running) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._registry.remove(self.worker.id)

    async def _take(self) -> None:
        while True:
            jobs = await self._store.claim(self.worker.endpoint, self.worker.id, 100, 60.0, 5.0)
            for job in jobs:
                task = asyncio.create_task(self._run(job))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _run(self, job: Job) -> None:
        lease = Lease(job.endpoint, job.id, self.worker.id, job.attempt)
        self.worker.jobs[job.id] = Held(job.id, job.attempt, time.time())
        try:
            outcome = await self._do(lease, read_payload(job.input, self._store.spool))
            if outcome is not None:
                await self._store.finish(lease, outcome)
                self.worker.jobs_done += 1
        finally:
            self.worker.jobs.pop(job.id, None)

    async def _do(self, lease: Lease, text: bytes) -> Outcome | None:
        asked = json.loads(text) if text.lstrip().startswith(b"{") and len(text) < 10_000 else {}
        if "fail" in asked:
            return Outcome(Status.FAILED, error=str(asked["fail"]))
        if isinstance(asked.get("chunks"), list):
            for chunk in asked["chunks"]:
                await self._store.chunk(lease, json.dumps(chunk).encode())
            return Outcome(Status.COMPLETED, json.dumps(asked["chunks"]).encode())
        if "progress" in asked:
            await self._store.progress(lease, json.dumps(asked["progress"]).encode())
        if "progress" in asked or "hold" in asked:
            await self._store.wait(lease.endpoint, lease.job_id, 60.0)
            return None
        return Outcome(Status.COMPLETED, text)
