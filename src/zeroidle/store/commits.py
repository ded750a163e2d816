"""Groups of changes on their way to the file: written in order, one at a time, taken back when that fails."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from functools import partial

from zeroidle.errors import StoreError
from zeroidle.job import Job, Spooled
from zeroidle.store.batch import Batch
from zeroidle.store.batch_records import BatchRecords
from zeroidle.store.group import Done, Group
from zeroidle.store.journal import Journal
from zeroidle.store.listeners import Listeners
from zeroidle.store.recent import Recent
from zeroidle.store.rows import draft_row, ended_row, job_row, new_ended_row, waiting_row
from zeroidle.store.rows_beside import delivery_row
from zeroidle.store.spool import Spool
from zeroidle.store.state import State
from zeroidle.store.waits import Wait, Waits

log = logging.getLogger(__name__)

#: What nobody waits for (hand-outs, leases, progress, worker records) is written after this time at the latest.
LAZY_S = 0.05
#: After a commit that failed, what nobody waits for is tried again this much later.
AGAIN_S = 2.0


class Commits(Listeners):
    """The group that gathers, the one under way, and who waits for them.

    What may be lost in a crash (hand-outs, leases, progress, new jobs whose caller waits for their end) stays out of
    the groups for a while: most jobs have ended by then, and their rows are written once less.

    When a commit fails, everything that anybody waits for is taken back, the newest first, and its waiters get the
    error; what nobody waits for stays and goes with the next group.
    """

    def __init__(self, state: State, journal: Journal, spool: Spool) -> None:
        super().__init__()
        self.state = state
        self.batches = BatchRecords(self.state)
        self.recent = Recent()
        self.keys: dict[tuple[str, str], Job] = {}
        self.webhook_bodies: dict[int, Spooled] = {}
        self.on_restored: Callable[[str], None] = lambda endpoint: None
        self.on_deliveries: list[Done] = []
        self._journal = journal
        self._spool = spool
        self._group = Group()
        self._late: dict[int, Job] = {}  # new jobs that are in no group yet
        self._touched: dict[int, Job] = {}
        self._flying: Group | None = None
        self._soon = False
        self._failing = False
        self.error = StoreError()  # of the last commit that failed
        self._timer: asyncio.TimerHandle | None = None
        self.waits = Waits()

    def enlist(self, job: Job) -> None:
        """Puts a new job into the next group, so that `durable` covers it."""
        if self._late.pop(job.seq, None) is not None:
            group = self._group
            group.jobs[job.seq] = job
            group.new.add(job.seq)
            group.undo.append(("added", job, None))
            group.dirty = True

    # Waiting

    def when_durable(self, done: Done, everything: bool = False) -> None:
        """Calls `done` when everything up to now is durable, but for what may be lost in a crash, unless `everything`;
        perhaps at once."""
        if everything:
            self._gather()
        group = self._group
        if group.dirty:
            group.waiters.append(done)
            if self._flying is None and not self._soon:
                self._soon = True
                asyncio.get_running_loop().call_soon(self._flush)
        elif self._flying is not None:
            self._flying.waiters.append(done)
        else:
            done(None)

    def durable(self, everything: bool = False) -> asyncio.Future[None]:
        """The same as a future; it raises StoreError when it could not be made durable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.when_durable(partial(_settle, future), everything)
        return future

    async def watch(self, job: Job, timeout_s: float) -> Job | None:
        """Waits until something happens to the job; answers it when it has ended and that is durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Job | None] = loop.create_future()
        wait = Wait(partial(_resolve, future), loop.time() + timeout_s, news=True)
        self.waits.add(job.seq, wait)
        try:
            return await future
        finally:
            self.waits.remove(job.seq, wait)

    # Committing

    def _lazily(self, delay_s: float = LAZY_S) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._flush_all)

    def _flush_all(self) -> None:
        self._timer = None
        self._gather()
        self._flush()

    def _gather(self) -> None:
        """Takes what may be lost in a crash into the group."""
        for job in list(self._late.values()):
            self.enlist(job)
        if self._touched:
            self._group.jobs.update(self._touched)
            self._group.counters.update(job.endpoint for job in self._touched.values())
            self._group.dirty = True
            self._touched.clear()

    def _flush(self) -> None:
        self._soon = False
        group = self._group
        if self._flying is not None or not group.dirty:
            return
        self._group, self._flying = Group(), group
        try:
            self._journal.submit(self._rows(group), self._done)
        except Exception as exc:
            log.exception("store.rows_failed")
            error = StoreError(f"The change could not be written down: {exc}.")
            asyncio.get_running_loop().call_soon(self._done, error)

    def _rows(self, group: Group) -> Batch:
        batch = Batch(chunks=group.chunks, keys=group.keys, files=group.files, keep_workers=group.keep_workers)
        for job in group.jobs.values():
            self._add_row(batch, group, job)
        batch.notes = [(phase, seq) for seq, phase in group.notes]
        batch.reads = [(n, seq) for seq, n in group.reads.items()]
        for name in group.counters:
            queue = self.state.queue(name)
            batch.counters.append((name, queue.completed, queue.failed, queue.retried))
        batch.deliveries = [delivery_row(delivery) for delivery in group.deliveries.values()]
        batch.workers = list(group.workers.values())
        batch.drafts = [draft_row(job, ttl_s, batch.bodies) for job, ttl_s in group.drafts]
        batch.finalized, batch.abandoned = group.finalized, group.abandoned
        batch.job_batches = self.batches.rows(group)
        batch.forget_job_batches = json.dumps(group.forget_batches) if group.forget_batches else None
        batch.forget = json.dumps(group.forget) if group.forget else None
        batch.revived = json.dumps(list(group.revived)) if group.revived else None
        batch.forget_deliveries = json.dumps(group.forget_deliveries) if group.forget_deliveries else None
        return batch

    def _add_row(self, batch: Batch, group: Group, job: Job) -> None:
        new, forget_at = job.seq in group.new, self._forget_at(job)
        if new:
            short, rows = (
                (waiting_row(job, batch.bodies), batch.waiting)
                if forget_at is None
                else (new_ended_row(job, forget_at, batch.bodies), batch.new_ended)
            )
            if short is not None:
                rows.append(short)
                return
        # The end alone does not say what a retry has changed.
        row = None if new or job.seq in group.revived else ended_row(job, forget_at, batch.bodies)
        if row is not None:
            batch.ended.append(row)
        else:
            batch.jobs.append(job_row(job, forget_at, batch.bodies, new))

    def _forget_at(self, job: Job) -> float | None:
        if job.finished_at is None:
            return None
        endpoint = self.state.endpoint(job.endpoint)
        if job.retain_s is not None:
            return job.finished_at + job.retain_s
        if job.batch is not None:
            return job.finished_at + endpoint.retention_batch_s
        return job.finished_at + (endpoint.retention_sync_s if job.sync else endpoint.retention_s)

    def _done(self, error: StoreError | None) -> None:
        group, self._flying = self._flying, None
        assert group is not None
        if error is None:
            if self._failing:
                self._failing = False
                log.warning("store.commits_again")
            for (endpoint, worker_id), jobs in group.ended.items():
                self.state.settle(endpoint, jobs)
                if self.keys:
                    for job in jobs:
                        self._drop_key(job)
                self.told("ended", jobs, worker_id)
                for job in jobs:
                    if not self.waits.ended(job):
                        self._remember(job)
            if group.deliveries_due:
                group.waiters += self.on_deliveries
        else:
            self.error = error
            if not self._failing:  # once, not for every request that comes while the disk is full
                self._failing = True
                log.error("store.commit_failed error=%s", error)
            group.waiters += self._take_back(group)
        for done in group.waiters:
            try:
                done(error)
            except Exception:
                log.exception("store.waiter_failed")
        if self._group.waiters:
            self._flush()
        elif self._group.dirty or self._touched or self._late:
            self._lazily(LAZY_S if error is None else AGAIN_S)

    def _remember(self, job: Job) -> None:
        """Keeps an ended job at hand, which nobody waited for: soon somebody will ask for it. Who asks for a batch
        asks the file, for many jobs at once."""
        forget_at = self._forget_at(job)
        if forget_at is not None and job.batch is None:
            self.recent.add(job, forget_at)

    def _drop_key(self, job: Job) -> None:
        key = job.idempotency_key
        if key is not None and self.keys.get((job.endpoint, key)) is job:
            del self.keys[job.endpoint, key]

    def _take_back(self, failed: Group) -> list[Done]:
        """Undoes the failed group and all that was built on it; answers who waited for the latter."""
        later, self._group = self._group, Group()
        gone: list[tuple[Job, str | None]] = []
        for kind, job, before in reversed([*failed.undo, *later.undo]):
            if before is not None:
                self.state.restore(job, before)
            else:
                gone.append((job, self.state.drop(job)))
                self._drop_key(job)
                if kind == "revived":
                    self.state.queue(job.endpoint).retried -= 1
        self.batches.take_back(later, failed)
        live = self.state.live
        self._touched = {seq: job for seq, job in self._touched.items() if seq in live}
        for group in (failed, later):
            self._group.jobs.update((seq, job) for seq, job in group.jobs.items() if seq in live)
            self._group.chunks += [row for row in group.chunks if row[0] in live]
            self._group.notes += [note for note in group.notes if note[0] not in live]
            self._group.counters |= group.counters
            self._group.workers |= group.workers
        kept = self._group
        kept.dirty = any((kept.jobs, kept.chunks, kept.notes, kept.counters, kept.workers))
        made = [*failed.made, *later.made]
        if made:
            asyncio.get_running_loop().run_in_executor(None, self._spool.remove, made)
        for endpoint in {job.endpoint for _, job, before in failed.undo + later.undo if before is not None}:
            self.on_restored(endpoint)
        for job, worker_id in gone:
            self.told("ended", (job,), worker_id)
            self.waits.gone(job.seq)
        return later.waiters


def _resolve(future: asyncio.Future[Job | None], job: Job | None) -> None:
    if not future.done():
        future.set_result(job)


def _settle(future: asyncio.Future[None], error: StoreError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(again(error))


def again(error: StoreError) -> StoreError:
    """The same error for one more waiter: an exception that is raised in many tasks would grow with each."""
    copy = type(error)(error.message)
    copy.__cause__ = error.__cause__
    return copy
