"""Batches of jobs in the SQLite store. Drafts lie in the file alone; memory knows how many a batch has."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from zeroidle.errors import Conflict, NotFound, StoreError
from zeroidle.job import Job, Phase, Spooled, Status
from zeroidle.job_batch import BatchStatus, JobBatch
from zeroidle.store.base import Base
from zeroidle.store.rows import phases_text
from zeroidle.store.spool import LARGE_BYTES
from zeroidle.store.transitions import BATCH_TTL_S

log = logging.getLogger(__name__)

#: So many jobs go from the file to the queue before the loop may do something else.
_AT_ONCE = 500
#: A batch that could not be read is tried again after this time, in seconds.
_AGAIN_S = 1.0


class BatchSide(Base):
    """Implements `store.batch_protocol.BatchStore`."""

    _editing: asyncio.Lock

    async def create_batch(self, batch: JobBatch, jobs: Sequence[Job]) -> JobBatch:
        """Takes a new batch with its first requests."""

        async def create() -> JobBatch:
            self._changes.batches.add(self._changes.draft(), batch)
            self._add(batch, jobs)
            answer = batch.copy()
            await self._changes.durable()
            return answer

        return await self._alone(self._with_inputs(jobs, create))

    async def add_to_batch(self, endpoint: str, batch_id: str, jobs: Sequence[Job]) -> JobBatch:
        """Takes more requests, all or none. Raises NotFound, and Conflict when it is no draft."""

        async def add() -> JobBatch:
            batch = self._draft(endpoint, batch_id)
            self._changes.batches.change(self._changes.draft(), batch)
            self._add(batch, jobs)
            answer = batch.copy()
            await self._changes.durable()
            return answer

        return await self._alone(self._with_inputs(jobs, add))

    async def replace_in_batch(self, endpoint: str, batch_id: str, job: Job) -> JobBatch:
        """Puts `job` in the place of the request with its id. Raises NotFound, Conflict."""

        async def replace() -> JobBatch:
            async with self._editing:
                batch, earlier = await self._find_draft(endpoint, batch_id, job.id)
                job.seq, job.batch, job.created_at = earlier.seq, batch_id, earlier.created_at
                self._forget_draft(earlier)
                self._changes.draft().drafts.append((job, _ttl_s(job)))
                await self._changes.durable()
                return batch

        return await self._alone(self._with_inputs([job], replace))

    async def remove_from_batch(self, endpoint: str, batch_id: str, job_id: str) -> JobBatch:
        """Removes one request. Raises NotFound, Conflict."""

        async def remove() -> JobBatch:
            async with self._editing:
                _, earlier = await self._find_draft(endpoint, batch_id, job_id)
                batch = self._draft(endpoint, batch_id)
                self._changes.batches.change(self._changes.draft(), batch)
                batch.total -= 1
                self._forget_draft(earlier)
                answer = batch.copy()
                await self._changes.durable()
                return answer

        return await self._alone(remove())

    async def rename_batch(self, endpoint: str, batch_id: str, name: str | None) -> JobBatch:
        """Gives it a name. Raises NotFound."""
        self._check_open()
        batch = self._batch(endpoint, batch_id)
        self._changes.batches.change(self._changes.draft(), batch)
        batch.name = name
        answer = batch.copy()
        await self._changes.durable()
        return answer

    async def finalize_batch(self, endpoint: str, batch_id: str) -> JobBatch:
        """Puts its requests in the queue, all or none; nothing happens to one that is FINALIZED already. Raises
        NotFound, and Conflict when it is cancelled or has no requests."""
        return await self._alone(self._finalize(endpoint, batch_id))

    async def cancel_batch(self, endpoint: str, batch_id: str) -> JobBatch:
        """Cancels what waits; what runs may end. Raises NotFound."""
        return await self._alone(self._cancel(endpoint, batch_id))

    async def get_batch(self, endpoint: str, batch_id: str) -> tuple[JobBatch, int] | None:
        """The batch and how many of its jobs run."""
        found = await self._told(lambda: [b for b in (self._known(endpoint, batch_id),) if b is not None])
        return found[0] if found else None

    async def list_batches(self, endpoint: str, limit: int, offset: int) -> list[tuple[JobBatch, int]]:
        """Batches, newest first, each as `get_batch` answers it."""

        def some() -> list[JobBatch]:
            newest = reversed(self._changes.batches.all.values())
            return [batch for batch in newest if batch.endpoint == endpoint][offset : offset + limit]

        return await self._told(some)

    async def list_of_batch(
        self, endpoint: str, batch_id: str, status: Status | None, limit: int, offset: int
    ) -> tuple[list[Job], int | None] | None:
        """Its jobs in the order of submission, without their inputs, and the offset of the following ones, if there
        are more; drafts are IN_QUEUE. One answer holds at most 8 MiB of results, but at least one. None: no such
        batch."""
        with suppress(StoreError):  # a full disk does not hide what there is
            await self._changes.durable(everything=True)
        if self._known(endpoint, batch_id) is None:
            return None
        wanted = None if status is None else status.value
        jobs, more = await asyncio.to_thread(self._reader.of_batch, batch_id, wanted, time.time(), limit, offset)
        live, following = self._state.live, offset + len(jobs) if more else None
        jobs = [live.get(job.seq, job) for job in jobs]
        return [job for job in jobs if status is None or job.status is status], following

    async def one_of_batch(self, endpoint: str, batch_id: str, job_id: str) -> Job | None:
        """One of its jobs or drafts, with its input."""
        with suppress(StoreError):
            await self._changes.durable(everything=True)
        if self._known(endpoint, batch_id) is None:
            return None
        found = await asyncio.to_thread(self._reader.one_of_batch, endpoint, batch_id, job_id, time.time())
        return None if found is None else self._state.live.get(found.seq, found)

    # How

    async def _finalize(self, endpoint: str, batch_id: str) -> JobBatch:
        async with self._editing:
            changes = self._changes
            batch = self._batch(endpoint, batch_id)
            if batch.status is not BatchStatus.FINALIZED:
                batch = self._draft(endpoint, batch_id)
                if not batch.total:
                    raise Conflict(f"The batch {batch_id} has no requests; add some before it is finalized.")
                now = time.time()
                group = changes.draft()
                changes.batches.change(group, batch)
                batch.status, batch.finalized_at = BatchStatus.FINALIZED, now
                group.finalized.append((batch_id, now, phases_text([Phase("queued", now)])))
                loaded = self._loading[batch_id] = asyncio.get_running_loop().create_future()
                try:
                    await changes.durable()
                    await self._load_batch(endpoint, batch_id)
                finally:
                    del self._loading[batch_id]
                    loaded.set_result(None)
            return await self._durable_copy(endpoint, batch_id)

    async def _load_batch(self, endpoint: str, batch_id: str) -> None:
        """Takes the jobs of a batch, which the file has as queued, into the queue. Should the store be closed before
        the end, the next start does so."""
        seq = 0
        while self._open:
            try:
                jobs = await asyncio.to_thread(self._reader.waiting_of_batch, batch_id, seq, _AT_ONCE)
            except StoreError as exc:
                if self._open:
                    log.error("store.batch_not_read batch=%s error=%s", batch_id, exc)
                    await asyncio.sleep(_AGAIN_S)
                continue
            if not jobs or not self._open:
                return
            self._state.admit(jobs)
            seq = jobs[-1].seq
            self._hatch.serve(endpoint)

    async def _cancel(self, endpoint: str, batch_id: str) -> JobBatch:
        """First the batch is cancelled for good, after which none of its jobs is handed out (`State.stopped`); then
        its jobs are."""
        async with self._editing:
            changes, state = self._changes, self._state
            batch = self._batch(endpoint, batch_id)
            if batch.status is not BatchStatus.CANCELLED and not batch.over:
                now = time.time()
                group = changes.draft()
                changes.batches.change(group, batch)
                if batch.status is BatchStatus.DRAFT:
                    forget_at = now + state.endpoint(endpoint).retention_batch_s
                    group.abandoned.append((batch_id, now, forget_at))
                    batch.cancelled = batch.total
                batch.status = BatchStatus.CANCELLED
                state.stopped.add(batch_id)
                if batch.over:
                    changes.batches.end(group, batch, now)
            await changes.durable()
            if self._batch(endpoint, batch_id).status is BatchStatus.CANCELLED:
                await self._cancel_all(state.waiting(endpoint, batch_id))
            return await self._durable_copy(endpoint, batch_id)

    async def _durable_copy(self, endpoint: str, batch_id: str) -> JobBatch:
        answer = self._batch(endpoint, batch_id).copy()
        await self._changes.durable()
        return answer

    async def _told(self, find: Callable[[], list[JobBatch]]) -> list[tuple[JobBatch, int]]:
        """Copies of batches as they are in the file; how many of their jobs run."""
        batches = self._changes.batches

        def copies() -> list[tuple[JobBatch, int]]:
            return [(batch.copy(), batches.in_progress(batch)) for batch in find()]

        found = copies()
        try:
            await self._changes.durable()
        except StoreError:
            return copies()  # what they were then was taken back
        return found

    async def _alone(self, work: Coroutine[Any, Any, JobBatch]) -> JobBatch:
        """Does something that must not stop in the middle, also when whoever asked for it has gone away."""
        if not self._open:
            work.close()
        self._check_open()
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[JobBatch]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None and not isinstance(exc, Conflict | NotFound):
            log.error("store.batch_failed error=%s", exc)

    def _known(self, endpoint: str, batch_id: str) -> JobBatch | None:
        batch = self._changes.batches.all.get(batch_id)
        return batch if batch is not None and batch.endpoint == endpoint else None

    def _batch(self, endpoint: str, batch_id: str) -> JobBatch:
        batch = self._known(endpoint, batch_id)
        if batch is None:
            raise NotFound(f"There is no batch {batch_id[:100]!r} here; it may have expired.")
        return batch

    def _draft(self, endpoint: str, batch_id: str) -> JobBatch:
        batch = self._batch(endpoint, batch_id)
        if batch.status is not BatchStatus.DRAFT:
            raise Conflict(f"The batch {batch_id} is {batch.status}; only a DRAFT can be changed.")
        return batch

    async def _find_draft(self, endpoint: str, batch_id: str, job_id: str) -> tuple[JobBatch, Job]:
        self._check_open()
        self._draft(endpoint, batch_id)
        await self._changes.durable()
        found = await asyncio.to_thread(self._reader.one_of_batch, endpoint, batch_id, job_id, time.time())
        batch = self._draft(endpoint, batch_id)
        if found is None:
            raise NotFound(f"There is no request {job_id[:100]!r} in the batch {batch_id}.")
        return batch.copy(), found

    def _add(self, batch: JobBatch, jobs: Sequence[Job]) -> None:
        state, id_ = self._state, batch.id
        for seq, job in enumerate(jobs, state.last_seq + 1):
            job.seq, job.batch = seq, id_
        state.last_seq += len(jobs)
        self._changes.draft().drafts += [(job, _ttl_s(job)) for job in jobs]
        batch.total += len(jobs)

    def _forget_draft(self, job: Job) -> None:
        self._changes.forget([job.seq], [job.input.path] if isinstance(job.input, Spooled) else [])

    async def _with_inputs(self, jobs: Sequence[Job], work: Callable[[], Awaitable[JobBatch]]) -> JobBatch:
        """Makes durable files of large inputs before the work; those that are files already are ours from here on.
        When the work fails they go."""
        try:
            large = [job for job in jobs if isinstance(job.input, Spooled) or len(job.input) >= LARGE_BYTES]
            if large:
                await asyncio.to_thread(self._keep_all, large)
            return await work()
        except Exception:
            self._files.remove([job.input.path for job in jobs if isinstance(job.input, Spooled)])
            raise

    def _keep_all(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.input = self._keep(job.input)


def _ttl_s(job: Job) -> float:
    return BATCH_TTL_S if job.policy.ttl_ms is None else job.policy.ttl_ms / 1000
