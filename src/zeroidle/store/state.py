"""The queue as a pure state machine: every rule of a job's life, without a clock, a disk or a loop."""

from __future__ import annotations

from collections.abc import Sequence

from zeroidle.errors import Conflict
from zeroidle.job import Job, Payload, Phase
from zeroidle.store.protocol import Counts, Lease, Outcome, Waiter
from zeroidle.store.transitions import CANCELLED, FAILED, IN_PROGRESS, IN_QUEUE, LEASE_LOST, TIMED_OUT, Transitions

#: What `expire` looks at in one go.
_AT_ONCE = 1000


class State(Transitions):
    """What clients, workers and the clock may do to the queues."""

    def find(self, endpoint: str, job_id: str) -> Job | None:
        """The job, when it lives or its end is not durable yet."""
        queue = self.queues.get(endpoint)
        return None if queue is None else queue.jobs.get(job_id)

    # Clients

    def put(self, job: Job, now: float) -> None:
        """Takes a new job. Raises Conflict when its id is taken."""
        now = self._tick(now)
        queue = self.queue(job.endpoint)
        if job.id in queue.jobs:
            raise Conflict(f"There is a job with the id {job.id} already.")
        self.last_seq = job.seq = self.last_seq + 1
        if not job.created_at:
            job.created_at = now
        job.queued_at = now
        job.expires_at = job.created_at + self._ttl_s(job)
        job.phases.append(Phase("queued", now))
        self._enter(queue, job, job.expires_at)
        queue.line(job)[job.id] = job
        self._sink.added(job)
        self._sink.told("queued", (job,), None)

    def load(self, job: Job) -> None:
        """Takes in a job from the disk, in the order of the queue."""
        queue = self.queue(job.endpoint)
        self._enter(queue, job, self.due_at(job))
        self._tick(job.queued_at)
        if job.status is IN_PROGRESS:
            queue.running[job.id] = job
        else:
            queue.line(job)[job.id] = job

    def admit(self, jobs: Sequence[Job]) -> None:
        """Takes in jobs of a batch that was finalized, from the disk."""
        for job in jobs:
            self.load(job)
        if jobs:
            self._sink.told("queued", jobs, None)

    def cancel(self, job: Job, now: float) -> None:
        """Ends a live job as CANCELLED."""
        self._end(job, CANCELLED, self._tick(now))

    def waiting(self, endpoint: str, batch: str | None = None) -> list[Job]:
        """The jobs that wait, in the order in which they will be handed out; with `batch` those of one batch."""
        queue = self.queue(endpoint)
        jobs = [job for line in (queue.high, queue.batch, queue.low) for job in line.values()]
        return jobs if batch is None else [job for job in jobs if job.batch == batch]

    def ahead(self, job: Job) -> int:
        """How many jobs will be handed out before this one, which waits."""
        queue, n = self.queue(job.endpoint), 0
        for line in (queue.high, queue.batch, queue.low):
            if job.id not in line:
                n += len(line)
                continue
            for id_ in line:
                if id_ == job.id:
                    return n
                n += 1
        return n

    def revive(self, job: Job, now: float) -> None:
        """Puts a FAILED or TIMED_OUT job at the end of the queue. Raises Conflict in any other state."""
        if job.status is not FAILED and job.status is not TIMED_OUT:
            raise Conflict(f"The job is {job.status}; only a FAILED or TIMED_OUT job can be tried again.")
        if job.batch is not None and job.batch in self.stopped:
            raise Conflict(f"The job's batch {job.batch} is CANCELLED; send the input again as a new job.")
        now, was = self._tick(now), job.status
        queue = self.queue(job.endpoint)
        job.expires_at = now + self._ttl_s(job)
        job.status, job.queued_at, job.losses = IN_QUEUE, now, 0
        job.started_at = job.finished_at = job.worker_id = job.log_range = None
        job.output = job.error = job.progress = None
        job.chunks = job.chunks_read = 0
        job.attempt = max(1, job.attempt)  # the webhook of the next end gets an id of its own
        job.phases.append(Phase("queued", now, None, job.attempt + 1))
        self._enter(queue, job, job.expires_at)
        queue.line(job)[job.id] = job
        queue.retried += 1
        self._sink.revived(job, was)
        self._sink.told("queued", (job,), None)

    # Workers

    def claim(self, endpoint: str, worker_id: str, limit: int, lease_s: float, now: float) -> list[Job]:
        """Hands out up to `limit` jobs: high priority first, then first in first out."""
        jobs: list[Job] = []
        queue = self.queues.get(endpoint)
        if queue is None:
            return jobs
        now, timeout_s = self._tick(now), self.endpoint(endpoint).timeout_s
        for line in (queue.high, queue.batch, queue.low):
            while line and len(jobs) < limit:
                job = line.popitem(last=False)[1]
                if job.expires_at is not None and job.expires_at <= now:
                    self._end(job, TIMED_OUT, now, error=self._too_old(job))
                    continue
                if job.batch is not None and job.batch in self.stopped:
                    self._end(job, CANCELLED, now)
                    continue
                self._hand_out(queue, job, worker_id, lease_s, timeout_s, now)
                jobs.append(job)
        if jobs:
            self._sink.told("taken", jobs, worker_id)
        return jobs

    def dispatch(self, endpoint: str, now: float) -> list[tuple[Waiter, list[Job]]]:
        """Serves those who wait, the most recently arrived first, so that work gathers on few workers."""
        queue = self.queue(endpoint)
        served: list[tuple[Waiter, list[Job]]] = []
        while queue.waiters and queue.waiting:
            waiter = next(reversed(queue.waiters))
            if waiter.over():
                del queue.waiters[waiter]
                continue
            jobs = self.claim(endpoint, waiter.worker_id, waiter.limit, waiter.lease_s, now)
            if jobs:
                del queue.waiters[waiter]
                served.append((waiter, jobs))
        return served

    def held(self, lease: Lease) -> Job | None:
        """The job, when the lease is the current one and the job in progress."""
        queue = self.queues.get(lease.endpoint)
        job = None if queue is None else queue.running.get(lease.job_id)
        if job is None or job.worker_id != lease.worker_id:
            return None
        return job if lease.attempt is None or lease.attempt == job.attempt else None

    def renew(self, endpoint: str, worker_id: str, job_ids: Sequence[str], lease_s: float, now: float) -> list[str]:
        """Extends leases; answers the ids that the worker does not hold."""
        now = self._tick(now)
        lost: list[str] = []
        for job_id in job_ids:
            job = self.held(Lease(endpoint, job_id, worker_id))
            if job is None:
                lost.append(job_id)
                continue
            job.lease_until = now + lease_s
            if lease_s < self.endpoint(endpoint).lease_s:  # shorter than what the heap has: be asked in time
                self._deadlines.push(job.lease_until, job.seq)
            self._sink.touched(job)
        return lost

    def finish(self, lease: Lease, outcome: Outcome, output: Payload | None, now: float) -> Job | None:
        """Records a result; None when the lease is not the current one. `now` is the job's end, also when the clock
        has gone on since: what was written of it before names the same time."""
        job = self.held(lease)
        if job is not None:
            self._tick(now)
            self._end(job, outcome.status, max(now, job.started_at or 0.0), output, outcome.error, outcome)
        return job

    def release(self, leases: Sequence[Lease], lost: bool, reason: str, now: float) -> list[Job]:
        """Gives jobs back. When `lost`, one of the job's retries is used up, or the job ends as FAILED."""
        now = self._tick(now)
        found = {job.seq: job for lease in leases if (job := self.held(lease)) is not None}
        jobs = sorted(found.values(), key=lambda job: (job.queued_at, job.seq), reverse=True)
        for job in jobs:
            if lost:
                self._lose(job, reason, now)
            else:
                self._requeue(job, reason, now)
        return jobs

    def unclaim(self, job: Job, attempt: int) -> None:
        """Takes back a hand-out that nobody received; as if it had not been."""
        if job.status is not IN_PROGRESS or job.attempt != attempt:
            return
        queue, worker_id = self.queue(job.endpoint), job.worker_id
        job.status, job.worker_id, job.started_at, job.lease_until = IN_QUEUE, None, None, 0.0
        job.phases = [p for p in job.phases if p.name != "run" or p.attempt != attempt]
        for phase in job.phases:
            if phase.name == "queued" and phase.attempt == attempt:
                phase.end = None
        job.attempt -= 1
        del queue.running[job.id]
        queue.put_front(job)
        self._sink.touched(job)
        self._sink.told("requeued", (job,), worker_id)
        if job.batch in self.stopped:
            self._end(job, CANCELLED, self._now)

    # The clock

    def expire(self, now: float) -> float | None:
        """Ends what is over its time, gives back what lost its lease; answers when to look again: at once, when there
        is too much for one time."""
        now = self._tick(now)
        lost: dict[int, Job] = {}  # a job may have several entries
        for _ in range(_AT_ONCE):
            seq = self._deadlines.pop_due(now)
            if seq is None:
                break
            job = self.live.get(seq)
            if job is None:
                continue
            due = self.due_at(job)
            if due > now:
                self._deadlines.push(due, seq)
            elif job.expires_at is not None and job.expires_at <= now:
                self._end(job, TIMED_OUT, now, error=self._too_old(job))
            elif self._timeout_at(job) <= now:
                error = f"The job ran longer than its execution timeout of {self._timeout_s(job):g} s."
                self._end(job, TIMED_OUT, now, error=error)
            else:
                lost[seq] = job
        for job in sorted(lost.values(), key=lambda job: (job.queued_at, job.seq), reverse=True):
            self._lose(job, LEASE_LOST, now)
        return self.next_due()

    def next_due(self) -> float | None:
        """When `expire` has something to do at the earliest."""
        live = self.live
        return self._deadlines.next_at(lambda seq: self.due_at(live[seq]) if seq in live else None)

    def counts(self, endpoint: str) -> Counts:
        """How many are where."""
        queue = self.queues.get(endpoint)
        if queue is None:
            return Counts(0, 0, 0, None, 0, 0, 0)
        oldest = min((next(iter(line.values())).queued_at for line in (queue.high, queue.batch) if line), default=None)
        queued = len(queue.high) + len(queue.batch)
        return Counts(queued, len(queue.low), len(queue.running), oldest, queue.completed, queue.failed, queue.retried)
