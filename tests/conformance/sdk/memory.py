"""A store in memory, in place of the durable one until that exists."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from zeroidle.job import Job, Status
from zeroidle.store.protocol import Counts, JobEvent


class MemoryStore:
    def __init__(self, folder: Path, endpoints) -> None:
        self.spool = folder / "spool"
        self.endpoints = endpoints
        self.jobs: dict[str, Job] = {}
        self.listeners = []
        self.waiters = {}
        self.changed = asyncio.Condition()
        self.chunks = {}

    async def open(self):
        (self.spool.parent / "workers").mkdir(parents=True, exist_ok=True)
        self.spool.mkdir(parents=True, exist_ok=True)

    async def close(self):
        pass

    def listen(self, f):
        self.listeners.append(f)

    async def _tell(self, kind, job, worker_id=None):
        for f in self.listeners:
            f(JobEvent(kind, job, worker_id))
        async with self.changed:
            self.changed.notify_all()

    async def put(self, job):
        job.created_at = job.queued_at = time.time()
        job.seq = len(self.jobs) + 1
        self.jobs[job.id] = job
        await self._tell("queued", job)
        return job

    async def get(self, endpoint, job_id):
        return self.jobs.get(job_id)

    async def wait(self, endpoint, job_id, timeout_s):
        try:
            async with asyncio.timeout(timeout_s), self.changed:
                await self.changed.wait_for(lambda: self.jobs[job_id].final)
        except TimeoutError:
            pass
        return self.jobs[job_id]

    async def cancel(self, endpoint, job_id):
        job = self.jobs[job_id]
        if not job.final:
            worker, job.worker_id = job.worker_id, None
            job.status = Status.CANCELLED
            await self._tell("ended", job, worker)
        return job

    def _queued(self, endpoint):
        jobs = [j for j in self.jobs.values() if j.endpoint == endpoint and j.status is Status.IN_QUEUE]
        return sorted(jobs, key=lambda j: j.seq)

    async def claim(self, endpoint, worker_id, limit, lease_s, wait_s):
        try:
            async with asyncio.timeout(wait_s), self.changed:
                await self.changed.wait_for(lambda: self._queued(endpoint))
                jobs = self._queued(endpoint)[:limit]
                now = time.time()
                for job in jobs:
                    job.status, job.worker_id, job.attempt = Status.IN_PROGRESS, worker_id, job.attempt + 1
                    job.started_at, job.lease_until = now, now + lease_s
        except TimeoutError:
            return []
        for job in jobs:
            await self._tell("taken", job)
        return jobs

    def _current(self, lease):
        job = self.jobs.get(lease.job_id)
        ok = job and job.status is Status.IN_PROGRESS and job.worker_id == lease.worker_id
        return job if ok and lease.attempt in (None, job.attempt) else None

    async def renew(self, endpoint, worker_id, job_ids, lease_s):
        out = []
        for i in job_ids:
            job = self.jobs.get(i)
            if job and job.status is Status.IN_PROGRESS and job.worker_id == worker_id:
                job.lease_until = time.time() + lease_s
            else:
                out.append(i)
        return out

    async def progress(self, lease, payload):
        job = self._current(lease)
        if job:
            job.progress = payload
        return bool(job)

    async def chunk(self, lease, payload):
        job = self._current(lease)
        if job:
            self.chunks.setdefault(job.id, []).append(payload)
            job.chunks += 1
        return bool(job)

    async def read_stream(self, endpoint, job_id, start=None, wait_s=0.0):
        return self.jobs[job_id], self.chunks.get(job_id, [])[start or 0 :]

    async def finish(self, lease, outcome):
        job = self._current(lease)
        if not job:
            return False
        job.status, job.output, job.error = outcome.status, outcome.output, outcome.error
        job.finished_at = time.time()
        await self._tell("ended", job, job.worker_id)
        return True

    async def release(self, leases, lost, reason):
        out = []
        for lease in leases:
            if job := self._current(lease):
                worker, job.worker_id = job.worker_id, None
                job.losses += lost
                if lost and job.losses > self.endpoints[job.endpoint].retries:
                    job.status, job.error = Status.FAILED, reason
                    await self._tell("ended", job, worker)
                else:
                    job.status = Status.IN_QUEUE
                    await self._tell("requeued", job, worker)
                out.append(job)
        return out

    def counts(self, endpoint):
        return Counts(len(self._queued(endpoint)), 0, 0, None, 0, 0, 0)

    async def expire(self, now):
        for job in list(self.jobs.values()):
            if job.status is not Status.IN_PROGRESS:
                continue
            limit = job.policy.execution_timeout_ms
            limit = limit / 1000 if limit else self.endpoints[job.endpoint].timeout_s
            if now > job.started_at + limit:
                worker, job.worker_id, job.status = job.worker_id, None, Status.TIMED_OUT
                await self._tell("ended", job, worker)
            elif now > job.lease_until:
                from zeroidle.store.protocol import Lease

                await self.release([Lease(job.endpoint, job.id, job.worker_id)], True, "The lease ran out.")
        return now + 0.2

    async def note(self, job, phases):
        job.phases.extend(phases)

    async def save_worker(self, record):
        pass

    async def list_workers(self, endpoint=None, limit=50):
        return []

    async def list_keys(self):
        return {}
