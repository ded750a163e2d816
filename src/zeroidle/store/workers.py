"""What workers ask of the SQLite store: jobs, leases, progress, chunks, and that results are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from msgspec.structs import replace

from zeroidle.job import Job, Payload, Spooled
from zeroidle.store.base import Base
from zeroidle.store.notice import body_parts
from zeroidle.store.protocol import Lease, Outcome, Waiter
from zeroidle.store.rows import sound_outcome, text
from zeroidle.store.spool import LARGE_BYTES

#: Jobs handed to a waiter, each with the attempt that it was handed out as.
_Handed = list[tuple[Job, int]]


class WorkerSide(Base):
    """Implements `store.protocol.WorkerStore`."""

    async def claim(self, endpoint: str, worker_id: str, limit: int, lease_s: float, wait_s: float) -> list[Job]:
        """Hands out up to `limit` jobs (high priority first, then first in first out), waiting up to `wait_s` for the
        first. Among waiting callers the most recently arrived one is served first."""
        self._check_open()
        jobs = self._state.claim(endpoint, worker_id, limit, lease_s, time.time())
        if jobs or wait_s <= 0 or limit <= 0:
            return jobs
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Handed] = loop.create_future()

        def serve(jobs: list[Job]) -> bool:
            future.set_result([(job, job.attempt) for job in jobs])
            return True

        waiter = Waiter(worker_id, limit, lease_s, serve, future.done)
        self._hatch.offer(endpoint, waiter)
        self._claims.add(future)
        timer = loop.call_later(wait_s, _nothing, future)
        try:
            return [job for job, _ in await future]
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # served, and cancelled before it could take it
                for job, attempt in future.result():
                    self._state.unclaim(job, attempt)
                self._hatch.withdraw(endpoint, waiter)
                self._hatch.serve(endpoint)
            raise
        finally:
            timer.cancel()
            self._hatch.withdraw(endpoint, waiter)
            self._claims.discard(future)

    def offer(self, endpoint: str, waiter: Waiter) -> None:
        """A standing claim: `waiter.serve` is given jobs at once when there are some, one time; offer it again for
        more. Like those of `claim`, the hand-out is not durable then."""
        self._check_open()
        self._hatch.offer(endpoint, waiter)

    def withdraw(self, endpoint: str, waiter: Waiter) -> None:
        """Takes an offer back."""
        self._hatch.withdraw(endpoint, waiter)

    async def renew(self, endpoint: str, worker_id: str, job_ids: Sequence[str], lease_s: float) -> list[str]:
        """Extends the leases of these jobs; answers the ids that this worker does not hold (any more)."""
        return self._state.renew(endpoint, worker_id, job_ids, lease_s, time.time())

    async def progress(self, lease: Lease, payload: bytes) -> bool:
        """Records the latest progress (raw JSON). Never reopens an ended job. Does not wait for the disk."""
        job = self._state.held(lease)
        if job is None:
            return False
        job.progress = payload
        self._changes.touched(job)
        return True

    async def chunk(self, lease: Lease, payload: bytes) -> bool:
        """Appends one stream chunk (raw JSON). Does not wait for the disk."""
        job = self._state.held(lease)
        if job is None:
            return False
        self._changes.add_chunk(job, payload)
        return True

    async def finish(self, lease: Lease, outcome: Outcome) -> bool:
        """Records the result, once; answers whether it counted."""
        self._check_open()
        job = self._state.held(lease)
        if job is None:
            return False
        outcome, now = sound_outcome(outcome), time.time()
        output = outcome.output
        if output is not None and (isinstance(output, Spooled) or len(output) >= LARGE_BYTES):
            return await self._finish_large(replace(lease, attempt=job.attempt), job, outcome, output, now)
        self._state.finish(lease, outcome, output, now)
        await self._changes.durable()
        return True

    async def finish_many(self, results: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        """Like `finish` for each of several small results, with one wait for the disk."""
        counted, kept = self.finish_soon(results)
        await kept
        return counted

    def finish_soon(self, results: Sequence[tuple[Lease, Outcome]]) -> tuple[list[bool], asyncio.Future[None]]:
        """`finish_many` without waiting: which of them count, and when they are durable (or StoreError)."""
        self._check_open()
        if Spooled in {type(outcome.output) for _, outcome in results}:
            raise ValueError("finish_soon takes small results; a file must be made durable by finish.")
        now, finish = time.time(), self._state.finish
        counted = [finish(lease, sound_outcome(o), o.output, now) is not None for lease, o in results]
        return counted, self._changes.durable()

    async def _finish_large(self, lease: Lease, job: Job, outcome: Outcome, given: Payload, now: float) -> bool:
        output, body = given, None
        try:
            output = await asyncio.to_thread(self._keep, given)
            if job.webhook is not None:
                ended = replace(
                    job, status=outcome.status, output=output, error=outcome.error,
                    finished_at=max(now, job.started_at or 0.0),
                )  # fmt: skip
                body = await asyncio.to_thread(self._files.write, body_parts(ended))
            if self._state.held(lease) is None:  # ended otherwise meanwhile
                self._discard(given, output)
                self._discard(b"", body)
                return False
            if body is not None:
                self._changes.webhook_bodies[job.seq] = body
            self._state.finish(lease, outcome, output, now)
            await self._changes.durable()
        except Exception:
            self._discard(given, output)
            raise
        return True

    async def release(self, leases: Sequence[Lease], lost: bool, reason: str) -> list[Job]:
        """Gives jobs back. `lost` (the worker died) uses up one of the job's retries, and when none is left the job
        ends as FAILED with `reason`; otherwise it is queued again at the front. Answers the jobs that changed."""
        self._check_open()
        jobs = self._state.release(leases, lost, text(reason), time.time())
        for endpoint in {job.endpoint for job in jobs}:
            self._hatch.serve(endpoint)
        if jobs:
            await self._changes.durable(everything=True)
        return jobs


def _nothing(future: asyncio.Future[_Handed]) -> None:
    if not future.done():
        future.set_result([])
