"""A job: its six states, its legal transitions, its policy and the timeline of its phases."""

from __future__ import annotations

import enum
import os
import time
from pathlib import Path

import msgspec
from msgspec import Struct, field

from zeroidle.errors import RequestError


class Status(enum.StrEnum):
    """The six states that RunPod's clients know (runpod/docs, "Job states")."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    __hash__ = str.__hash__  # Enum's own is a Python function, and states are looked up for every job


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT})

#: From each state, the states it may go to. IN_PROGRESS goes back to IN_QUEUE when a worker is lost;
#: FAILED and TIMED_OUT go back by POST /retry.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.IN_QUEUE: frozenset({Status.IN_PROGRESS, Status.CANCELLED, Status.TIMED_OUT, Status.FAILED}),
    Status.IN_PROGRESS: FINAL | {Status.IN_QUEUE},
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset({Status.IN_QUEUE}),
    Status.CANCELLED: frozenset(),
    Status.TIMED_OUT: frozenset({Status.IN_QUEUE}),
}

EXECUTION_TIMEOUT_MS = (5_000, 7 * 86_400_000)  # RunPod: at least 5 s, at most 7 days
TTL_MS = (10_000, 7 * 86_400_000)  # RunPod: at least 10 s, at most 7 days


# Without the garbage collector's part (gc=False): nothing that these structs hold can lead back to them, so counting
# references is enough, and a busy plane makes a dozen of them for each job.


class Policy(Struct, frozen=True, gc=False):
    """What the caller asked for this one job; None means the endpoint's setting.

    Times are in milliseconds because that is what RunPod's API takes; ranges are RunPod's.
    """

    execution_timeout_ms: int | None = None
    ttl_ms: int | None = None
    low_priority: bool = False

    def __post_init__(self) -> None:
        for key, value, (low, high) in (
            ("executionTimeout", self.execution_timeout_ms, EXECUTION_TIMEOUT_MS),
            ("ttl", self.ttl_ms, TTL_MS),
        ):
            if value is not None and not low <= value <= high:
                raise RequestError(f"policy.{key} is {value} ms; it must be from {low} to {high} ms.")


class Spooled(Struct, frozen=True, gc=False):
    """A payload that lies in a file because it is large.

    `path` is relative to the store's spool folder; `size_bytes` is its length.
    """

    path: str
    size_bytes: int


#: Raw JSON text of a value (never decoded on the way through), or the file that holds it.
Payload = bytes | Spooled


def read_payload(payload: Payload, spool: Path) -> bytes:
    """The JSON bytes of a payload; reads the file when it is spooled."""
    if isinstance(payload, bytes):
        return payload
    return (spool / payload.path).read_bytes()


class Phase(Struct, array_like=True, gc=False):
    """One stretch of a job's or a worker's life. Times are Unix seconds; `end` is None while it lasts."""

    name: str
    start: float
    end: float | None = None
    attempt: int = 1
    note: str | None = None

    def seconds(self, now: float) -> float:
        """How long it took, or has taken so far."""
        return max(0.0, (self.end if self.end is not None else now) - self.start)


#: Of a caller who asked for nothing. There may be others that are equal to it.
USUAL = Policy()


class Job(Struct, gc=False):
    """One request and everything known of it. Only the store changes a job; everybody else reads.

    `input` is the raw JSON of the input; `envelope` the raw JSON object of other keys that the worker gets
    beside it (s3Config). `output` is the raw JSON result, `error` the text of a failure. Times are Unix
    seconds. `attempt` counts hand-outs and fences a late worker: a report counts only when
    (id, worker_id, attempt) are the current ones and the job is in progress. `retain_s` is how long the ended job can
    be asked for, where that is not the endpoint's setting. `batch` is the id of the batch that it came with.
    """

    id: str
    endpoint: str
    input: Payload
    status: Status = Status.IN_QUEUE
    policy: Policy = USUAL
    created_at: float = 0.0
    sync: bool = False
    webhook: str | None = None
    envelope: bytes | None = None
    idempotency_key: str | None = None
    attempt: int = 0
    losses: int = 0
    worker_id: str | None = None
    lease_until: float = 0.0
    queued_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    progress: bytes | None = None
    output: Payload | None = None
    error: str | None = None
    chunks: int = 0
    chunks_read: int = 0
    log_range: tuple[int, int] | None = None
    retain_s: float | None = None
    phases: list[Phase] = field(default_factory=list)
    seq: int = 0
    batch: str | None = None

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.status in FINAL

    @property
    def delay_ms(self) -> int | None:
        """Milliseconds from submission (or retry) to pick-up; RunPod's `delayTime`."""
        return None if self.started_at is None else max(0, round((self.started_at - self.queued_at) * 1000))

    @property
    def execution_ms(self) -> int | None:
        """Milliseconds from pick-up to the end; RunPod's `executionTime`."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0, round((self.finished_at - self.started_at) * 1000))

    def copy(self) -> Job:
        """A copy that later changes do not reach."""
        return msgspec.structs.replace(self, phases=[msgspec.structs.replace(p) for p in self.phases])


#: How the id of a job of a batch ends.
BATCH_ENDING = "-b1"


class JobIds:
    """Fresh ids in RunPod's form: UUIDs that begin with the time (version 7), so that the store's index grows at its
    end, with 74 random bits. Keeps random bytes at hand, as asking the system for each id costs more than the rest of
    a submission; so each process must have its own."""

    def __init__(self, batch: int = 256) -> None:
        self._ends: list[str] = []
        self._batch = batch

    def new(self, sync: bool = False) -> str:
        """`<uuid>-u1`, with `sync-` before it for /runsync."""
        if not self._ends:
            self._ends = self._draw()
        at = "%012x" % (time.time_ns() // 1_000_000)
        return f"{'sync-' if sync else ''}{at[:8]}-{at[8:]}-7{self._ends.pop()}-u1"

    def new_of_batch(self) -> str:
        """`<uuid>-b1`: results of a batch are kept for a time of their own, and so are files with such a name."""
        return self.new().removesuffix("-u1") + BATCH_ENDING

    def _draw(self) -> list[str]:
        """What follows the version in as many ids: 74 random bits, and the variant."""
        text = os.urandom(10 * self._batch).hex()
        drawn = (text[at : at + 20] for at in range(0, len(text), 20))
        return [f"{one[:3]}-{'89ab'[int(one[3], 16) & 3]}{one[4:7]}-{one[7:19]}" for one in drawn]


def new_job_id(sync: bool = False) -> str:
    """One fresh id, for who needs few."""
    return JobIds(batch=1).new(sync)
