"""How a job goes from one state to the next: the moves that all rules of the queue are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from zeroidle.endpoint import Endpoint
from zeroidle.job import TTL_MS, Job, Payload, Phase, Status
from zeroidle.store.deadlines import Deadlines
from zeroidle.store.protocol import Outcome
from zeroidle.store.queue import Queue

# Attribute access on an Enum class costs more than a global; this file is the hot path.
IN_QUEUE = Status.IN_QUEUE
IN_PROGRESS = Status.IN_PROGRESS
COMPLETED = Status.COMPLETED
FAILED = Status.FAILED
CANCELLED = Status.CANCELLED
TIMED_OUT = Status.TIMED_OUT

#: How long a job of a batch may wait and run, unless its policy says otherwise: the most that a policy may say.
BATCH_TTL_S = TTL_MS[1] / 1000

LEASE_LOST = "The worker stopped answering and its lease ran out."

Told = Literal["queued", "taken", "requeued"]


class Before(Struct, frozen=True, gc=False):
    """What a job was before its end, to take the end back when it could not be written."""

    status: Status
    attempt: int
    lease_until: float
    expires_at: float | None
    progress: bytes | None
    losses: int
    open_phase: Phase | None
    phase_start: float


class Sink(Protocol):
    """Is told of every change, at once."""

    def added(self, job: Job) -> None:
        """A new job is in the queue."""

    def touched(self, job: Job) -> None:
        """Something that may be lost in a crash has changed (hand-out, lease, hand-back)."""

    def ended(self, job: Job, before: Before) -> None:
        """The job is final."""

    def revived(self, job: Job, was: Status) -> None:
        """A job that had ended as `was` is in the queue again."""

    def told(self, kind: Told, jobs: Sequence[Job], worker_id: str | None) -> None:
        """Something for the listeners, of jobs of one endpoint, at least one."""


class Transitions:
    """All queues, and the moves of one job. Times are Unix seconds; `now` never goes back inside: a clock set back
    stands still here."""

    def __init__(self, endpoints: Mapping[str, Endpoint], sink: Sink) -> None:
        self.queues: dict[str, Queue] = {}
        self.live: dict[int, Job] = {}
        self.last_seq = 0
        self.stopped: set[str] = set()  # batches that were cancelled
        self._endpoints = endpoints
        self._unknown = Endpoint("", Path(), Path(), "")  # defaults for an endpoint that is served no more
        self._deadlines = Deadlines(self.live, self._entries)
        self._sink = sink
        self._now = 0.0

    def endpoint(self, name: str) -> Endpoint:
        """The settings that hold for an endpoint."""
        return self._endpoints.get(name, self._unknown)

    def queue(self, endpoint: str) -> Queue:
        """The queue of an endpoint."""
        queue = self.queues.get(endpoint)
        if queue is None:
            queue = self.queues[endpoint] = Queue()
        return queue

    def _tick(self, now: float) -> float:
        if now <= self._now:
            return self._now
        self._now = now
        return now

    # The moves

    def _enter(self, queue: Queue, job: Job, due_at: float) -> None:
        queue.jobs[job.id] = job
        self.live[job.seq] = job
        self._deadlines.push(due_at, job.seq)

    def _entries(self) -> list[tuple[float, int]]:
        return [(self.due_at(job), seq) for seq, job in self.live.items()]

    def _hand_out(self, queue: Queue, job: Job, worker_id: str, lease_s: float, timeout_s: float, now: float) -> None:
        """Gives a job that was taken out of its line to a worker. `timeout_s` is the endpoint's execution timeout."""
        job.status = IN_PROGRESS
        job.attempt += 1
        job.worker_id = worker_id
        job.started_at = now
        job.lease_until = now + lease_s
        _close(job, "queued", now)
        job.phases.append(Phase("run", now, None, job.attempt))
        queue.running[job.id] = job
        own_ms = job.policy.execution_timeout_ms
        self._deadlines.push(now + min(lease_s, own_ms / 1000 if own_ms else timeout_s), job.seq)  # the ttl has its own
        self._sink.touched(job)

    def _lose(self, job: Job, reason: str, now: float) -> None:
        if job.losses >= self.endpoint(job.endpoint).retries:
            times = f" (attempt {job.attempt}, no retries left)" if job.losses else ""
            self._end(job, FAILED, now, error=f"{reason}{times}", lost=True)
        else:
            job.losses += 1
            if self._requeue(job, reason, now):
                self.queue(job.endpoint).retried += 1

    def _requeue(self, job: Job, reason: str, now: float) -> bool:
        """Puts a job back in the queue, unless its batch was cancelled: then that is its end, and the answer False."""
        queue, worker_id = self.queue(job.endpoint), job.worker_id
        phase = _close(job, "run", now)
        if phase is not None:
            phase.note = reason
        if job.batch in self.stopped:
            self._end(job, CANCELLED, now)
            return False
        job.status, job.worker_id, job.started_at, job.lease_until = IN_QUEUE, None, None, 0.0
        job.progress = None
        job.chunks = 0  # chunks_read stays: what the next attempt streams again is not shown twice
        job.phases.append(Phase("queued", now, None, job.attempt + 1))
        del queue.running[job.id]
        queue.put_front(job)
        self._deadlines.push(
            self.due_at(job), job.seq
        )  # a job that was loaded while it ran is watched for its lease alone
        self._sink.touched(job)
        self._sink.told("requeued", (job,), worker_id)
        return True

    def _end(
        self,
        job: Job,
        status: Status,
        now: float,
        output: Payload | None = None,
        error: str | None = None,
        outcome: Outcome | None = None,
        lost: bool = False,
    ) -> None:
        queue, running = self.queue(job.endpoint), job.status is IN_PROGRESS
        phase = _close(job, "run" if running else "queued", now)
        start = phase.start if phase is not None else now
        before = Before(
            job.status, job.attempt, job.lease_until, job.expires_at, job.progress, job.losses, phase, start
        )
        if running:
            del queue.running[job.id]
            if phase is not None and outcome is not None and outcome.run_s is not None:
                phase.start = max(start, now - outcome.run_s)  # what is before it is the way to the handler
        else:
            queue.line(job).pop(job.id, None)
            if job.attempt:
                job.attempt += 1  # an end after an earlier hand-out has a number, and a webhook id, of its own
        job.status, job.finished_at, job.output, job.error = status, now, output, error
        job.lease_until, job.progress = 0.0, None
        if outcome is not None:
            job.log_range = outcome.log_range
        if lost:
            job.losses += 1
        self.live.pop(job.seq, None)
        if status is COMPLETED:
            queue.completed += 1
        else:
            self._count(queue, status, 1)
        self._sink.ended(job, before)

    @staticmethod
    def _count(queue: Queue, status: Status, by: int) -> None:
        if status is COMPLETED:
            queue.completed += by
        elif status is not CANCELLED:
            queue.failed += by

    def _timeout_s(self, job: Job) -> float:
        timeout_ms = job.policy.execution_timeout_ms
        return timeout_ms / 1000 if timeout_ms else self.endpoint(job.endpoint).timeout_s

    def _timeout_at(self, job: Job) -> float:
        return (job.started_at or 0.0) + self._timeout_s(job)

    def _too_old(self, job: Job) -> str:
        return f"The job was not finished within its time to live of {self._ttl_s(job):g} s."

    def _ttl_s(self, job: Job) -> float:
        if job.policy.ttl_ms:
            return job.policy.ttl_ms / 1000
        return BATCH_TTL_S if job.batch is not None else self.endpoint(job.endpoint).ttl_s

    def due_at(self, job: Job) -> float:
        """When the job needs the clock next: its ttl, its execution timeout or its lease."""
        at = job.expires_at if job.expires_at is not None else float("inf")
        if job.status is IN_PROGRESS:
            at = min(at, job.lease_until, self._timeout_at(job))
        return at

    # Taking back what could not be written

    def restore(self, job: Job, before: Before) -> None:
        """Takes an end back."""
        queue = self.queue(job.endpoint)
        self._count(queue, job.status, -1)
        job.status, job.attempt, job.losses = before.status, before.attempt, before.losses
        job.lease_until, job.expires_at, job.progress = before.lease_until, before.expires_at, before.progress
        job.finished_at = job.output = job.error = job.log_range = None
        if before.open_phase is not None:
            before.open_phase.start, before.open_phase.end = before.phase_start, None
        if job.status is IN_PROGRESS:
            queue.running[job.id] = job
        else:
            queue.put_front(job)
        self._enter(queue, job, self.due_at(job))

    def drop(self, job: Job) -> str | None:
        """Forgets a job that the disk does not have (or has as it was before a retry); answers its worker."""
        queue = self.queue(job.endpoint)
        worker_id = job.worker_id if job.status is IN_PROGRESS else None
        queue.line(job).pop(job.id, None)
        queue.running.pop(job.id, None)
        self.live.pop(job.seq, None)
        self.settle(job.endpoint, (job,))
        job.status = CANCELLED
        return worker_id

    def settle(self, endpoint: str, jobs: Iterable[Job]) -> None:
        """The ends are durable: the jobs leave memory."""
        known = self.queue(endpoint).jobs
        for job in jobs:
            known.pop(job.id, None)


def _close(job: Job, name: str, now: float) -> Phase | None:
    phases = job.phases
    if phases and (phase := phases[-1]).end is None and phase.name == name:  # nearly always
        phase.end = now
        return phase
    for phase in reversed(job.phases):
        if phase.end is None and phase.name == name:
            phase.end = now
            return phase
    return None
