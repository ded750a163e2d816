"""What the pings and takes of an SDK worker prove about the jobs it was handed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from msgspec import Struct, field

from zeroidle.worker import Held

#: SDKs from here on take a list in answer to a plain job-take, and take again only after they have noted every job
#: of the last answer (runpod 1.7.9 to 1.12.0 measured; 1.5.3 drops a list).
MODERN = (1, 7, 9)

#: So many pings in a row must leave a job out.
MISSED_PINGS = 2

#: A ping may have been written just before the job arrived at the worker.
SETTLE_S = 0.5

#: A list is sized to last about so long, which is how long the SDK's loop sleeps when it is full.
LIST_S = 1.0
LIST_MAX = 200

_AGENT = re.compile(r"RunPod-Python-SDK/(\d+(?:\.\d+)*)")

UNREPORTED = (
    "The worker ended the job without reporting a result. Most often the handler returned something that cannot be "
    "written as JSON (bytes, a numpy array, a set): return dicts, lists, text and numbers, and encode bytes as "
    "base64. The SDK's own message is in the worker's log."
)
UNSEEN = (
    "The worker took the job and then neither reported a result nor named it among its jobs: the answer to its "
    "job-take was lost, or the handler returned something that cannot be written as JSON (bytes, a numpy array, "
    "a set); the worker's log tells which."
)
CUT_OFF = (
    "The worker ended the job while the plane could not be reached, and the SDK gave up sending the result after "
    "its third try."
)


class Lost(Struct, frozen=True):
    """A job that the worker has no more. `final`: running it again would end the same way."""

    job_id: str
    attempt: int
    reason: str
    final: bool


def version_of(agent: str | None) -> tuple[int, ...] | None:
    """The SDK's version from a User-Agent or a plain version text; None when it does not say."""
    if not agent:
        return None
    match = _AGENT.search(agent)
    text = match.group(1) if match else agent
    return tuple(int(part) for part in text.split(".")) if re.fullmatch(r"\d+(\.\d+)+", text) else None


class Evidence(Struct):
    """What is known of one SDK worker beside the jobs it holds. Times are Unix seconds, intervals seconds."""

    ping_interval_s: float
    version: tuple[int, ...] | None = None
    last_ping_at: float | None = None
    outage_at: float | None = None
    last_end_at: float = 0.0
    failed_reports: set[str] = field(default_factory=set)
    received: set[float] = field(default_factory=set)  # hand-outs (by their time) that reached the worker

    @property
    def modern(self) -> bool:
        """Whether the SDK is one whose order of steps was measured."""
        return self.version is not None and self.version >= MODERN

    def list_size(self, asked: int, mean_run_s: float | None, share: int) -> int:
        """How many jobs to answer a take for `asked` jobs with. `share` is this worker's part of the queue."""
        if not self.modern or mean_run_s is None or mean_run_s >= LIST_S:
            return asked
        fill = math.ceil(asked * LIST_S / max(mean_run_s, 0.001))
        return max(asked, min(fill, share, LIST_MAX))

    def began(self, held: Held, now: float) -> None:
        """The worker has shown that it works on the job (a ping, a chunk or progress)."""
        held.last_ping_at = now
        held.missed_pings = 0
        self.received.add(held.taken_at)

    def run_s(self, held: Held, now: float) -> float:
        """How long the worker took for a job: jobs of one list run one after another."""
        return max(0.0, now - max(held.taken_at, self.last_end_at))

    def ended(self, held: Held, now: float) -> None:
        """The worker has reported the job."""
        self.received.add(held.taken_at)
        self.failed_reports.discard(held.job_id)
        self.last_end_at = now

    def pinged(self, named: set[str], jobs: Iterable[Held], now: float) -> list[Lost]:
        """Reads a ping; answers the jobs it proves lost."""
        held = list(jobs)
        self._forget(held)
        if self.last_ping_at is not None and now - self.last_ping_at > 2 * self.ping_interval_s + SETTLE_S:
            self.outage_at = now
        self.last_ping_at = now
        for job in held:
            if job.job_id in named:
                self.began(job, now)
        working = any(job.job_id in named for job in held)
        lost = []
        for job in held:
            # An SDK that was given a list names a job only when its turn comes.
            if job.job_id in named or now - job.taken_at < SETTLE_S or (working and self._queued(job)):
                continue
            job.missed_pings += 1
            if job.missed_pings >= MISSED_PINGS:
                lost.append(self._verdict(job))
        return lost

    def took(self, in_progress: str | None, jobs: Iterable[Held]) -> list[Lost]:
        """Reads a take. One that says that nothing is in progress ends the waiting for pings: what the worker was
        handed before is not there any more."""
        return [self._verdict(job) for job in jobs] if self.modern and in_progress == "0" else []

    def keeps(self, held: Held, named: set[str]) -> bool:
        """Whether a ping extends this job's lease: it is named, or waits in the worker for its turn."""
        return held.job_id in named or self._queued(held)

    def _queued(self, held: Held) -> bool:
        return held.last_ping_at is None and held.taken_at in self.received

    def _verdict(self, held: Held) -> Lost:
        since = held.taken_at
        if held.job_id in self.failed_reports or (self.outage_at is not None and self.outage_at > since):
            return Lost(held.job_id, held.attempt, CUT_OFF, final=False)
        if held.last_ping_at is not None:
            # Older SDKs give up after less time than shows between two pings, so there it may have been an outage.
            return Lost(held.job_id, held.attempt, UNREPORTED, final=self.modern)
        return Lost(held.job_id, held.attempt, UNSEEN, final=False)

    def _forget(self, held: list[Held]) -> None:
        self.received &= {job.taken_at for job in held}
        self.failed_reports &= {job.job_id for job in held}
