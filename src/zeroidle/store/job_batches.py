"""Batches of jobs in the SQLite store. Drafts lie in the file alone; memory knows how many a batch has."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from zeroidle.errors import Conflict, NotFound, StoreError
from zeroidle.job import Job, Phase, Spooled, Status
from zeroidle.job_batch import BatchStatus, JobBatch
from zeroidle.store.base import Base
from zeroidle.store.rows import phases_text
from zeroidle.store.spool import LARGE_BYTES
from zeroidle.store.transitions import BATCH_TTL_S

log = logging.getLogger(__name__)

#: So many jobs go from the file to the queue, or end, before the loop may do something else.
_AT_ONCE = 500


class BatchSide(Base):
    """Implements `store.batch_protocol.BatchStore`."""

    _editing: asyncio.Lock

    async def create_batch(self, batch: JobBatch, jobs: Sequence[Job]) -> JobBatch:
        """Takes a new batch with its first requests."""
        self._check_open()
        await self._keep_inputs(jobs)
        try:
            self._changes.batches.add(self._changes.draft(), batch)
            self._add(batch, jobs)
            answer = batch.copy()
            await self._changes.durable()
        except Exception:
            self._discard_inputs(jobs)
            raise
        return answer

    async def add_to_batch(self, endpoint: str, batch_id: str, jobs: Sequence[Job]) -> JobBatch:
        """Takes more requests, all or none. Raises NotFound, and Conflict when it is no draft."""
        self._check_open()
        self._draft(endpoint, batch_id)
        await self._keep_inputs(jobs)
        try:
            batch = self._draft(endpoint, batch_id)
            self._changes.batches.change(self._changes.draft(), batch)
            self._add(batch, jobs)
            answer = batch.copy()
            await self._changes.durable()
        except Exception:
            self._discard_inputs(jobs)
            raise
        return answer

    async def replace_in_batch(self, endpoint: str, batch_id: str, job: Job) -> JobBatch:
        """Puts `job` in the place of the request with its id. Raises NotFound, Conflict."""
        await self._keep_inputs([job])
        try:
            async with self._editing:
                batch, earlier = await self._find_draft(endpoint, batch_id, job.id)
                job.seq, job.batch, job.created_at = earlier.seq, batch_id, earlier.created_at
                self._forget_draft(earlier)
                self._changes.draft().drafts.append((job, _ttl_s(job)))
                await self._changes.durable()
        except Exception:
            self._discard_inputs([job])
            raise
        return batch

    async def remove_from_batch(self, endpoint: str, batch_id: str, job_id: str) -> JobBatch:
        """Removes one request. Raises NotFound, Conflict."""
        async with self._editing:
            _, earlier = await self._find_draft(endpoint, batch_id, job_id)
            batch = self._draft(endpoint, batch_id)
            self._changes.batches.change(self._changes.draft(), batch)
            batch.total -= 1
            self._forget_draft(earlier)
            answer = batch.copy()
            await self._changes.durable()
        return answer

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
        return await self._to_the_end(lambda: self._finalize(endpoint, batch_id))

    async def cancel_batch(self, endpoint: str, batch_id: str) -> JobBatch:
        """Cancels what waits; what runs may end. Raises NotFound."""
        return await self._to_the_end(lambda: self._cancel(endpoint, batch_id))

    async def get_batch(self, endpoint: str, batch_id: str) -> tuple[JobBatch, int] | None:
        """The batch and how many of its jobs run."""
        await self._settled()
        batches = self._changes.batches
        batch = batches.all.get(batch_id)
        if batch is None or batch.endpoint != endpoint:
            return None
        return batch.copy(), batches.in_progress(batch)

    async def list_batches(self, endpoint: str, limit: int, offset: int) -> list[tuple[JobBatch, int]]:
        """Batches, newest first, each as `get_batch` answers it."""
        await self._settled()
        batches = self._changes.batches
        found = [batch for batch in reversed(batches.all.values()) if batch.endpoint == endpoint]
        return [(batch.copy(), batches.in_progress(batch)) for batch in found[offset : offset + limit]]

    async def list_of_batch(
        self, endpoint: str, batch_id: str, status: Status | None, limit: int, offset: int
    ) -> tuple[list[Job], bool] | None:
        """Its jobs in the order of submission, without their inputs, and whether there are more; drafts are IN_QUEUE.
        One answer holds at most 8 MiB of results, but at least one. None: no such batch."""
        with suppress(StoreError):  # a full disk does not hide what there is
            await self._changes.durable(everything=True)
        if self._known(endpoint, batch_id) is None:
            return None
        wanted = None if status is None else status.value
        jobs, more = await asyncio.to_thread(self._reader.of_batch, batch_id, wanted, time.time(), limit, offset)
        live = self._state.live
        return [live.get(job.seq, job) for job in jobs], more

    async def one_of_batch(self, endpoint: str, batch_id: str, job_id: str) -> Job | None:
        """One of its jobs or drafts, with its input."""
        await self._settled()
        if self._known(endpoint, batch_id) is None:
            return None
        found = await asyncio.to_thread(self._reader.one_of_batch, endpoint, batch_id, job_id, time.time())
        return None if found is None else self._state.live.get(found.seq, found)

    # How

    async def _finalize(self, endpoint: str, batch_id: str) -> JobBatch:
        changes = self._changes
        batch = self._batch(endpoint, batch_id)
        if batch.status is BatchStatus.FINALIZED:
            await changes.durable()
            return self._batch(endpoint, batch_id).copy()
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
        return self._batch(endpoint, batch_id).copy()

    async def _load_batch(self, endpoint: str, batch_id: str) -> None:
        """Takes the jobs of a batch, which the file has as queued, into the queue. Should it not come to the end, the
        next start does so."""
        seq = 0
        while self._open:
            try:
                jobs = await asyncio.to_thread(self._reader.waiting_of_batch, batch_id, seq, _AT_ONCE)
            except StoreError:
                if self._open:
                    raise
                return  # the store was closed meanwhile
            if not jobs or not self._open:
                return
            self._state.admit(jobs)
            seq = jobs[-1].seq
            self._hatch.serve(endpoint)

    async def _cancel(self, endpoint: str, batch_id: str) -> JobBatch:
        changes, state = self._changes, self._state
        batch = self._batch(endpoint, batch_id)
        now = time.time()
        if batch.status is not BatchStatus.CANCELLED and not batch.over:
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
        if batch.status is BatchStatus.CANCELLED:
            queue = state.queue(endpoint)
            waiting = [job for line in (queue.batch, queue.low) for job in line.values() if job.batch == batch_id]
            for at in range(0, len(waiting), _AT_ONCE):
                for job in waiting[at : at + _AT_ONCE]:
                    if job.status is Status.IN_QUEUE:
                        state.cancel(job, now)
                await asyncio.sleep(0)
        await changes.durable()
        return self._batch(endpoint, batch_id).copy()

    async def _to_the_end(self, work: Callable[[], Awaitable[JobBatch]]) -> JobBatch:
        """Does something that must not stop in the middle, also when whoever asked for it has gone away."""
        self._check_open()

        async def alone() -> JobBatch:
            async with self._editing:
                return await work()

        task = asyncio.get_running_loop().create_task(alone())
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[JobBatch]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None and not isinstance(exc, Conflict | NotFound):
            log.error("store.batch_failed error=%s", exc)

    async def _settled(self) -> None:
        with suppress(StoreError):
            await self._changes.durable()

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

    async def _keep_inputs(self, jobs: Sequence[Job]) -> None:
        """Makes durable files of large inputs; those that are files already are ours from here on."""
        large = [job for job in jobs if isinstance(job.input, Spooled) or len(job.input) >= LARGE_BYTES]
        if large:
            await asyncio.to_thread(self._keep_all, large)

    def _keep_all(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.input = self._keep(job.input)

    def _discard_inputs(self, jobs: Sequence[Job]) -> None:
        made = [job.input.path for job in jobs if isinstance(job.input, Spooled)]
        if made:
            self._files.remove(made)


def _ttl_s(job: Job) -> float:
    return BATCH_TTL_S if job.policy.ttl_ms is None else job.policy.ttl_ms / 1000
