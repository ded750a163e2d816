"""One worker as the scaling loop follows it, from the decision to start it to its last trace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from msgspec import Struct, field

from zeroidle.endpoint import Endpoint
from zeroidle.job import Job
from zeroidle.scaling.waits import boot_phases
from zeroidle.store.protocol import Lease, WorkerRecord
from zeroidle.worker import Worker, WorkerState


class Life(Struct, eq=False):
    """`since` and `idle_at` are monotonic seconds. `held` holds the jobs that the store handed to it, with their
    attempts; the worker's own `jobs` follow a moment later. `ending` says why the loop ended it, None while it did
    not; `spare` that its jobs go back to the queue without using up a retry.
    """

    worker: Worker
    endpoint: Endpoint
    since: float
    idle_at: float | None = None
    held: dict[str, int] = field(default_factory=dict)
    ending: str | None = None
    spare: bool = False
    fault: str | None = None
    over: bool = False
    timer: asyncio.TimerHandle | None = None
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def busy(self) -> bool:
        """Whether it holds a job, by the store's account or by its own."""
        return bool(self.held or self.worker.jobs)

    @property
    def counts(self) -> bool:
        """Whether it is one of the workers that the policy has to hand."""
        return self.ending is None and not self.over

    @property
    def starting(self) -> bool:
        """Whether it is on its way to being ready."""
        return self.worker.state is WorkerState.STARTING

    @property
    def starting_up(self) -> bool:
        """Whether it was never ready: it has nothing to end in good order."""
        return self.worker.ready_at is None

    def let_go(self, jobs: Iterable[Job]) -> None:
        """It holds these jobs no more, by the store's account."""
        held = self.held
        for job in jobs:
            held.pop(job.id, None)
        self.settle()

    def settle(self) -> None:
        """Wakes whoever waits for its jobs to end, when they have."""
        if not self.busy:
            self.calm.set()

    def leases(self) -> tuple[list[Lease], list[Lease]]:
        """What it holds: what it may have begun, and what it cannot have.

        The SDK reports each job before it begins the next, so of a list it had begun only the first. Our worker sends
        the results of short jobs together, so any of those that it was sent may have been the last that it ran.
        """
        jobs = self.worker.jobs
        attempts = {job_id: held.attempt for job_id, held in jobs.items()} | self.held
        leases = [Lease(self.worker.endpoint, job_id, self.worker.id, n) for job_id, n in attempts.items()]
        # What the store handed out and the worker's connection has not noted yet was not sent.
        one_by_one = self.worker.concurrency == 1 and self.worker.carrier == "http"
        begun = min(1, len(jobs)) if one_by_one else len(jobs)
        return leases[:begun], leases[begun:]

    def record(self, exit_text: str | None = None, error: str | None = None) -> WorkerRecord:
        """The row of this worker; with `exit_text` that of one that has ended."""
        w = self.worker
        state = {
            WorkerState.STARTING: "starting", WorkerState.READY: "ready",
            WorkerState.DRAINING: "draining", WorkerState.GONE: "gone",
        }[w.state]  # fmt: skip
        return WorkerRecord(
            id=w.id, endpoint=w.endpoint, state="gone" if exit_text else state, pid=w.pid,  # type: ignore[arg-type]
            started_at=w.started_at, ready_at=w.ready_at, ended_at=time.time() if exit_text else None,
            exit=exit_text, error=error, log_path=w.log_path, sdk=w.sdk, jobs_done=w.jobs_done,
            phases=list(boot_phases(w)) if w.ready_at or w.phases else [],
        )  # fmt: skip
