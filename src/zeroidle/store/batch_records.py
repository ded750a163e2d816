"""The records of batches of jobs in memory: who changes one leaves behind what it was, should the commit fail."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zeroidle.job import Job, Status
from zeroidle.job_batch import BatchStatus, JobBatch, batch_body
from zeroidle.store.group import Group
from zeroidle.store.protocol import Delivery
from zeroidle.store.rows import Row
from zeroidle.store.rows_beside import batch_row
from zeroidle.store.state import State


class BatchRecords:
    """All batches by id, oldest first."""

    def __init__(self, state: State) -> None:
        self.all: dict[str, JobBatch] = {}
        self._state = state

    def load(self, batches: Iterable[JobBatch]) -> None:
        """Takes in what the file has."""
        for batch in batches:
            self.all[batch.id] = batch
            if batch.status is BatchStatus.CANCELLED:
                self._state.stopped.add(batch.id)

    def add(self, group: Group, batch: JobBatch) -> None:
        """Takes in a new one."""
        group.batches_before[batch.id] = None
        self.all[batch.id] = batch
        group.dirty = True

    def change(self, group: Group, batch: JobBatch) -> None:
        """To be called before a batch is changed."""
        group.batches_before.setdefault(batch.id, batch.copy())
        group.dirty = True

    def ended(self, group: Group, job: Job) -> None:
        """A job has ended."""
        batch = self.all.get(job.batch or "")
        if batch is None:  # its record is over, the job was tried again after that
            return
        self.change(group, batch)
        self._count(batch, job.status, 1)
        if batch.over:
            self.end(group, batch, job.finished_at or 0.0)

    def revived(self, group: Group, job: Job, was: Status) -> None:
        """A job that had ended is tried again."""
        batch = self.all.get(job.batch or "")
        if batch is not None:
            self.change(group, batch)
            self._count(batch, was, -1)
            batch.ended_at = None

    def end(self, group: Group, batch: JobBatch, now: float) -> None:
        """The last job of a batch has ended."""
        batch.ended_at = now
        if batch.webhook is not None:
            body = msgspec.json.encode(batch_body(batch, 0))
            id_ = f"msg_{batch.id}_{round(now * 1000)}"
            group.deliveries[id_] = Delivery(id_, batch.endpoint, batch.id, batch.webhook, body, now, next_at=now)
            group.deliveries_due = True

    def forget(self, group: Group, now: float) -> None:
        """Removes records of batches whose jobs are gone."""
        endpoint = self._state.endpoint
        over = [
            batch
            for batch in self.all.values()
            if batch.ended_at is not None and batch.ended_at + endpoint(batch.endpoint).retention_batch_s <= now
        ]
        for batch in over:
            del self.all[batch.id]
            self._state.stopped.discard(batch.id)
            group.forget_batches.append(batch.id)
            group.dirty = True

    def rows(self, group: Group) -> list[Row]:
        """The rows of those that a group has changed."""
        return [batch_row(self.all[id_]) for id_ in group.batches_before if id_ in self.all]

    def take_back(self, *groups: Group) -> None:
        """What groups have changed is as it was; the newest first."""
        for group in groups:
            for id_, before in group.batches_before.items():
                if before is None:
                    self.all.pop(id_, None)
                else:
                    self.all[id_] = before
                    if before.status is not BatchStatus.CANCELLED:
                        self._state.stopped.discard(id_)

    def in_progress(self, batch: JobBatch) -> int:
        """How many of its jobs run."""
        queue = self._state.queues.get(batch.endpoint)
        return 0 if queue is None else sum(job.batch == batch.id for job in queue.running.values())

    @staticmethod
    def _count(batch: JobBatch, status: Status, by: int) -> None:
        if status is Status.COMPLETED:
            batch.completed += by
        elif status is Status.CANCELLED:
            batch.cancelled += by
        else:
            batch.failed += by
