"""The jobs of one endpoint that have not ended: lines by priority, those in progress, and who waits for work."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct, field

from zeroidle.job import Job
from zeroidle.store.protocol import Waiter


class Queue(Struct, eq=False):
    """`jobs` holds all of them by id, also those whose end is not durable yet. Lines are sorted by
    (queued_at, seq), which is also the order after a restart; jobs of batches wait until `high` is empty, those of
    low priority until all others have gone."""

    jobs: dict[str, Job] = field(default_factory=dict)
    high: OrderedDict[str, Job] = field(default_factory=OrderedDict)
    batch: OrderedDict[str, Job] = field(default_factory=OrderedDict)
    low: OrderedDict[str, Job] = field(default_factory=OrderedDict)
    running: dict[str, Job] = field(default_factory=dict)
    waiters: dict[Waiter, None] = field(default_factory=dict)
    completed: int = 0
    failed: int = 0
    retried: int = 0

    def line(self, job: Job) -> OrderedDict[str, Job]:
        """The line that the job belongs in."""
        if job.policy.low_priority:
            return self.low
        return self.high if job.batch is None else self.batch

    @property
    def waiting(self) -> bool:
        """Whether a job waits."""
        return bool(self.high or self.batch or self.low)

    def put_front(self, job: Job) -> None:
        """Puts a job that has waited before at its place, which is near the front."""
        line = self.line(job)
        key = (job.queued_at, job.seq)
        earlier: list[Job] = []
        while line:
            first = next(iter(line.values()))
            if (first.queued_at, first.seq) > key:
                break
            earlier.append(first)
            del line[first.id]
        for one in (job, *reversed(earlier)):
            line[one.id] = one
            line.move_to_end(one.id, last=False)
