"""What has changed in memory since the last commit, as the state and the store tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zeroidle.endpoint import Endpoint
from zeroidle.job import Job, Phase, Status
from zeroidle.store.commits import Commits
from zeroidle.store.group import Group
from zeroidle.store.journal import Journal
from zeroidle.store.notice import delivery_of_end
from zeroidle.store.protocol import Delivery, WorkerRecord
from zeroidle.store.rows import phases_text
from zeroidle.store.rows_beside import worker_row
from zeroidle.store.spool import Spool
from zeroidle.store.state import State
from zeroidle.store.transitions import Before


class Changes(Commits):
    """Memory and the file, kept in step. A change is in memory at once and in the next group; groups are committed
    in order, one at a time, each holding everything that came while the one before was being written."""

    def __init__(self, endpoints: Mapping[str, Endpoint], journal: Journal, spool: Spool) -> None:
        super().__init__(State(endpoints, self), journal, spool)

    # What the state tells

    def added(self, job: Job) -> None:
        """A new job is in the queue. It is written with the next group that `enlist` or time puts it into."""
        self._late[job.seq] = job
        if job.idempotency_key is not None:
            self.keys[job.endpoint, job.idempotency_key] = job
        if self._timer is None:
            self._lazily()

    def touched(self, job: Job) -> None:
        """Something that may be lost in a crash has changed."""
        self._touched[job.seq] = job
        if self._timer is None:
            self._lazily()

    def ended(self, job: Job, before: Before) -> None:
        """The job is final."""
        self._touched.pop(job.seq, None)
        self.enlist(job)
        group = self._group
        group.jobs[job.seq] = job
        group.undo.append(("ended", job, before))
        ended_by = job.endpoint, job.worker_id if before.status is Status.IN_PROGRESS else None
        if (jobs := group.ended.get(ended_by)) is not None:
            jobs.append(job)
        else:
            group.ended[ended_by] = [job]
        group.counters.add(job.endpoint)
        if job.batch is not None:
            self.batches.ended(group, job)
        if job.webhook is not None:
            body = self.webhook_bodies.pop(job.seq, None)
            if body is not None:
                group.made.append(body.path)
            delivery = delivery_of_end(job, job.webhook, body)
            group.deliveries[delivery.id] = delivery
            group.deliveries_due = True
        group.dirty = True
        if self._timer is None:
            self._lazily()

    def revived(self, job: Job, was: Status) -> None:
        """A job that had ended as `was` is in the queue again."""
        self.recent.pop(job.endpoint, job.id)
        group = self._group
        if job.batch is not None:
            self.batches.revived(group, job, was)
        group.jobs[job.seq] = job
        group.undo.append(("revived", job, None))
        group.revived.add(job.seq)
        group.counters.add(job.endpoint)
        if job.idempotency_key is not None:
            self.keys[job.endpoint, job.idempotency_key] = job
        group.dirty = True

    # What the store adds

    def add_chunk(self, job: Job, data: bytes) -> None:
        """Appends a stream chunk."""
        self.enlist(job)
        self._group.chunks.append((job.seq, job.chunks, data))
        self._group.dirty = True
        job.chunks += 1
        self.touched(job)
        self.waits.news(job.seq)

    def has_chunks(self, job: Job) -> bool:
        """Whether chunks of the job are not in the file yet."""
        groups = [self._group] if self._flying is None else [self._group, self._flying]
        return any(row[0] == job.seq for group in groups for row in group.chunks)

    def add_phases(self, job: Job, phases: Sequence[Phase]) -> None:
        """Adds to a job's timeline, also after its end."""
        known = self.state.find(job.endpoint, job.id) or self.recent.get(job.endpoint, job.id, 0.0)
        if known is not None:
            known.phases.extend(phases)
        if known is not None and not known.final:
            self.touched(known)
        elif job.seq not in self._group.jobs:  # else its row is still to be made
            self._group.notes.extend((job.seq, phases_text([p])[1:-1]) for p in phases)
            self._group.dirty = True
            self._lazily()

    def count_read(self, job: Job) -> None:
        """The job's `chunks_read` has changed."""
        if job.final:
            self._group.reads[job.seq] = job.chunks_read
            self._group.dirty = True
        else:
            self._group.jobs[job.seq] = job
            self._group.dirty = True

    def read_before(self, job: Job) -> int:
        """How many chunks of an ended job have been read, also when the file does not know yet."""
        flying = self._flying.reads.get(job.seq, 0) if self._flying is not None else 0
        return max(job.chunks_read, flying, self._group.reads.get(job.seq, 0))

    def save_worker(self, record: WorkerRecord) -> None:
        """Inserts or replaces a worker's record."""
        self._group.workers[record.id] = worker_row(record)
        self._group.dirty = True
        self._lazily()

    def save_delivery(self, delivery: Delivery) -> None:
        """Inserts or replaces a delivery."""
        self._group.deliveries[delivery.id] = delivery
        self._group.dirty = True

    def save_key(self, name: str, digest: str | None) -> None:
        """Keeps or removes an API key's digest."""
        self._group.keys.append((name, digest))
        self._group.dirty = True

    def forget(self, seqs: Sequence[int], files: Sequence[str]) -> None:
        """Removes ended jobs and the files that they refer to."""
        self._group.forget.extend(seqs)
        self.remove_files(files)

    def forget_deliveries(self, ids: Sequence[str], files: Sequence[str], keep_workers: int) -> None:
        """Removes deliveries that are over, and worker records but for the newest."""
        self._group.forget_deliveries.extend(ids)
        self._group.keep_workers = keep_workers
        self.remove_files(files)

    def remove_files(self, files: Sequence[str]) -> None:
        """Removes spool files once the next commit is durable."""
        self._group.files.extend(files)
        self._group.dirty = True

    def draft(self) -> Group:
        """The group of now, for who changes batches; `durable` covers it."""
        self._group.dirty = True
        return self._group
