"""What clients ask of the SQLite store: put, wait, get, cancel, retry, stream, list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from zeroidle.errors import Conflict, NotFound, StoreError
from zeroidle.job import Job, Spooled, Status
from zeroidle.store.base import Base
from zeroidle.store.commits import again
from zeroidle.store.spool import LARGE_BYTES
from zeroidle.store.waits import Wait

#: One answer of `read_stream` holds at most this much, but at least one chunk.
_STREAM_BYTES = 4 << 20
_MAX_SEQ = 2**63 - 1


class ClientSide(Base):
    """Implements `store.protocol.ClientStore`."""

    async def put(self, job: Job) -> Job:
        """Takes a new job. With a known idempotency key of the endpoint, answers the earlier job instead."""
        self._check_open()
        given = job.input
        if isinstance(given, Spooled) or len(given) >= LARGE_BYTES:
            job.input = await asyncio.to_thread(self._keep, given)
        try:
            earlier = await self._earlier(job) if job.idempotency_key is not None else None
            if earlier is not None:
                self._discard(given, job.input)
                return earlier
            self._state.put(job, time.time())
            self._changes.enlist(job)
            self._hatch.serve(job.endpoint)
            await self._changes.durable()
        except Exception as exc:
            self._discard(given, job.input)
            if isinstance(exc, StoreError) and self._reader.taken(job.endpoint, job.id):
                raise Conflict(f"There is a job with the id {job.id} already.") from exc
            raise
        return job

    def put_soon(self, job: Job, done: Callable[[StoreError | None], None]) -> None:
        """`put` of a small job without a key, without a coroutine: `done` hears when it is durable."""
        self._check_open()
        self._state.put(job, time.time())
        self._changes.enlist(job)
        self._hatch.serve(job.endpoint)
        self._changes.when_durable(done)

    async def put_and_wait(self, job: Job, timeout_s: float) -> Job | None:
        """`put` and `wait` in one. What it answers is durable; a job that ends soon is written once, with its end."""
        if job.idempotency_key is not None or isinstance(job.input, Spooled) or len(job.input) >= LARGE_BYTES:
            kept = await self.put(job)
            return await self.wait(kept.endpoint, kept.id, timeout_s)
        future: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        self.put_and_tell(job, timeout_s, partial(_resolve, future))
        return await future or await self.put_told(job)

    def put_and_tell(self, job: Job, timeout_s: float, tell: Callable[[Job | None], None]) -> None:
        """`put_and_wait` of a small job without a key, without a coroutine: `tell` gets the job when it has ended and
        that is durable. It gets None when it has not within `timeout_s`: then ask `put_told`."""
        self._check_open()
        self._state.put(job, time.time())
        self._hatch.serve(job.endpoint)
        self._changes.waits.add(job.seq, Wait(tell, asyncio.get_running_loop().time() + timeout_s))

    async def put_told(self, job: Job) -> Job:
        """What to answer about a job of `put_and_tell` that has not ended in time: as it is, made durable."""
        if not job.final:
            await self._changes.durable(everything=True)
        found = await self.get(job.endpoint, job.id)
        if found is None:
            raise again(self._changes.error)
        return found

    def look(self, endpoint: str, job_id: str) -> Job | None:
        """The job, when memory alone can tell; None says nothing, ask `get`."""
        job = self._state.find(endpoint, job_id)
        if job is not None:
            return None if job.final else job  # an end that is not durable may be taken back
        return self._changes.recent.get(endpoint, job_id, time.time())

    async def _earlier(self, job: Job) -> Job | None:
        """The job that came with the same idempotency key."""
        endpoint, key = job.endpoint, job.idempotency_key
        assert key is not None
        while (earlier := self._changes.keys.get((endpoint, key))) is not None:
            with suppress(StoreError):  # then it is gone, or was durable before
                await self._changes.durable()
            if not earlier.final and self._changes.keys.get((endpoint, key)) is earlier:
                return earlier
        found = self._reader.id_of_key(endpoint, key)
        if found is None:
            return None
        seq, job_id, forget_at, files = found
        if forget_at is not None and forget_at <= time.time():
            self._changes.forget([seq], files)  # its time is over, its row still there
            return None
        return await self.get(endpoint, job_id)

    async def get(self, endpoint: str, job_id: str) -> Job | None:
        """The job, or None when there is none or its time is over."""
        while (job := self._state.find(endpoint, job_id)) is not None:
            if not job.final:
                return job
            with suppress(StoreError):  # then the end was taken back
                await self._changes.durable()
        now = time.time()
        job = self._changes.recent.get(endpoint, job_id, now) or self._reader.job(endpoint, job_id, now)
        if job is None or job.batch not in self._loading:
            return job
        await self._loaded(job.batch)
        return await self.get(endpoint, job_id)

    async def wait(self, endpoint: str, job_id: str, timeout_s: float) -> Job | None:
        """Like `get`, but first waits until the job is final, at most `timeout_s`."""
        end = time.monotonic() + timeout_s
        job = await self.get(endpoint, job_id)
        while job is not None and not job.final and self._open and (left_s := end - time.monotonic()) > 0:
            job = await self._changes.watch(job, left_s) or await self.get(endpoint, job_id)
        return job

    async def cancel(self, endpoint: str, job_id: str) -> Job | None:
        """Ends a job that is not final as CANCELLED; answers the job as it then is (None: no such job)."""
        self._check_open()
        job = await self.get(endpoint, job_id)
        if job is not None and not job.final:
            self._state.cancel(job, time.time())
            await self._changes.durable()
        return job

    async def retry(self, endpoint: str, job_id: str) -> Job:
        """Puts a FAILED or TIMED_OUT job back in the queue, its output removed. Raises NotFound, Conflict."""
        self._check_open()
        job = await self.get(endpoint, job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id} here; it may have expired.")
        output = job.output
        self._state.revive(job, time.time())
        if isinstance(output, Spooled):
            self._changes.remove_files([output.path])
        self._hatch.serve(endpoint)
        await self._changes.durable()
        return job

    async def purge(self, endpoint: str) -> int:
        """Cancels every queued job of the endpoint; answers how many."""
        self._check_open()
        await self._loaded()
        ended = await self._cancel_all(self._state.waiting(endpoint))
        if ended:
            await self._changes.durable()
        return ended

    async def read_stream(
        self, endpoint: str, job_id: str, start: int | None = None, wait_s: float = 0.0
    ) -> tuple[Job, list[bytes]] | None:
        """The chunks (raw JSON) from `start`, or those not read yet, which then count as read. Waits up to `wait_s`
        for the first one or the job's end. One answer holds at most 4 MiB; ask again for the rest."""
        end = time.monotonic() + wait_s
        while (job := await self.get(endpoint, job_id)) is not None:
            if job.final:
                job.chunks_read = self._changes.read_before(job)
            first = job.chunks_read if start is None else start
            if job.chunks > first and self._changes.has_chunks(job):
                await self._changes.durable()
            elif job.chunks > first:
                return job, await self._take_chunks(job, first, counts=start is None)
            elif job.final or not self._open or (left_s := end - time.monotonic()) <= 0:
                return job, []
            else:
                await self._changes.watch(job, left_s)
        return None

    async def _take_chunks(self, job: Job, first: int, counts: bool) -> list[bytes]:
        chunks = self._reader.chunks(job.seq, first, job.chunks, _STREAM_BYTES)
        if counts and chunks:
            job.chunks_read = first + len(chunks)
            self._changes.count_read(job)
            await self._changes.durable()
        return chunks

    async def list_jobs(
        self, endpoint: str, status: Status | None = None, limit: int = 100, before_seq: int | None = None
    ) -> list[Job]:
        """Jobs, newest first, without their input."""
        with suppress(StoreError):  # a full disk does not hide what there is
            await self._changes.durable(everything=True)
        before = _MAX_SEQ if before_seq is None else before_seq
        jobs = await asyncio.to_thread(self._reader.newest, endpoint, before, status, time.time(), limit)
        live = self._state.live
        jobs = [replace(live[job.seq].copy(), input=b"null") if job.seq in live else job for job in jobs]
        return [job for job in jobs if status is None or job.status is status]


def _resolve(future: asyncio.Future[Job | None], job: Job | None) -> None:
    if not future.done():
        future.set_result(job)
