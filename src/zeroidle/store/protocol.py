"""What the plane asks of a store, split by who asks: clients, workers, the clock, and the ledgers.

Rules every implementation keeps (tests/conformance/test_store.py runs over each):
- A coroutine that changes something returns after the change is durable, unless its docstring says otherwise.
- Execution is at least once; exactly one result is recorded. A report counts only when (job, worker, attempt)
  are current and the job is in progress; otherwise it is ignored and answers False.
- An empty claim does not mean an empty queue; decide on `counts`.
- A returned `Job` must not be changed by the caller, and may change under it; take `job.copy()` to keep one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from msgspec import Struct

from zeroidle.errors import StoreError
from zeroidle.job import Job, Payload, Phase, Status
from zeroidle.store.batch_protocol import BatchStore


class Waiter(Struct, eq=False):
    """Somebody who waits for up to `limit` jobs, which `serve` gets at once when there are some, unless `over()`: has
    given up meanwhile. `serve` answers whether it took them; if not, it is as if they had not been handed out."""

    worker_id: str
    limit: int
    lease_s: float
    serve: Callable[[list[Job]], bool]
    over: Callable[[], bool] = lambda: False


class Lease(Struct, frozen=True, gc=False):
    """Names one hand-out of a job. `attempt` None means "the one this worker holds" (RunPod's URLs carry none)."""

    endpoint: str
    job_id: str
    worker_id: str
    attempt: int | None = None


class Outcome(Struct, frozen=True, gc=False):
    """How an attempt ended: COMPLETED with `output`, or FAILED with `error` (and perhaps `output` beside it).

    `run_s` is the handler's own time in seconds when the worker measured it, `log_range` the byte range of the
    worker's log file that belongs to the job.
    """

    status: Literal[Status.COMPLETED, Status.FAILED]
    output: Payload | None = None
    error: str | None = None
    run_s: float | None = None
    log_range: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs of an endpoint are where. `queued` excludes lowPriority ones, which are in `queued_low`.

    `oldest_queued_at` is the Unix time of the longest-waiting of `queued`. The last three count since the
    store's file was made.
    """

    queued: int
    queued_low: int
    in_progress: int
    oldest_queued_at: float | None
    completed: int
    failed: int
    retried: int


EventKind = Literal["queued", "taken", "requeued", "ended"]
EVENT_KINDS: tuple[EventKind, ...] = ("queued", "taken", "requeued", "ended")


class JobEvent(Struct, gc=False):
    """The same happened to jobs of one endpoint, at least one, in this order; listeners are called on the loop and must
    not block. One call for many jobs, because it costs as much as what most listeners do for a job. They are called at
    once; of new jobs, which come one by one, at the latest when something else is told or counted, or the loop goes on.

    kinds: `queued` (new), `taken` (handed out), `requeued` (given back or its worker was lost), `ended` (final).
    `worker_id` is the worker that held them, if any: on `ended` with CANCELLED or TIMED_OUT it must be interrupted.
    """

    kind: EventKind
    endpoint: str
    jobs: Sequence[Job]
    worker_id: str | None = None


class ClientStore(Protocol):
    """What the client API needs."""

    async def put(self, job: Job) -> Job:
        """Takes a new job. With a known idempotency key of the endpoint, answers the earlier job instead."""

    async def put_and_wait(self, job: Job, timeout_s: float) -> Job | None:
        """`put` and `wait` in one. What it answers is durable; a job that ends before need not be so until then, since
        nobody is told of it."""

    def put_soon(self, job: Job, done: Callable[[StoreError | None], None]) -> None:
        """`put` of a small job (below 256 KiB) without a key, where a coroutine costs too much: `done` hears that it
        is durable (None) or why it is not. Raises what `put` raises before it waits."""

    def put_and_tell(self, job: Job, timeout_s: float, tell: Callable[[Job | None], None]) -> None:
        """`put_and_wait` of such a job: `tell` gets it when it has ended and that is durable; None, when it has not
        within `timeout_s` or could not be written: then `put_told` says what to answer."""

    async def put_told(self, job: Job) -> Job:
        """The job of a `put_and_tell` that was told None, as it is, durable. Raises StoreError."""

    def look(self, endpoint: str, job_id: str) -> Job | None:
        """The job when memory alone can tell; None says nothing: ask `get`."""

    async def get(self, endpoint: str, job_id: str) -> Job | None:
        """The job, or None when there is none or its time is over."""

    async def wait(self, endpoint: str, job_id: str, timeout_s: float) -> Job | None:
        """Like `get`, but first waits until the job is final, at most `timeout_s`."""

    async def cancel(self, endpoint: str, job_id: str) -> Job | None:
        """Ends a job that is not final as CANCELLED; answers the job as it then is (None: no such job)."""

    async def retry(self, endpoint: str, job_id: str) -> Job:
        """Puts a FAILED or TIMED_OUT job back in the queue, its output removed. Raises NotFound, Conflict."""

    async def purge(self, endpoint: str) -> int:
        """Cancels every queued job of the endpoint; answers how many."""

    async def read_stream(
        self, endpoint: str, job_id: str, start: int | None = None, wait_s: float = 0.0
    ) -> tuple[Job, list[bytes]] | None:
        """The chunks (raw JSON) from `start`, or those not read yet, which then count as read. Waits up to
        `wait_s` for the first one or the job's end."""

    async def list_jobs(
        self, endpoint: str, status: Status | None = None, limit: int = 100, before_seq: int | None = None
    ) -> list[Job]:
        """Jobs, newest first, without their input."""


class WorkerStore(Protocol):
    """What the worker API needs."""

    async def claim(self, endpoint: str, worker_id: str, limit: int, lease_s: float, wait_s: float) -> list[Job]:
        """Hands out up to `limit` jobs (high priority first, then first in first out), waiting up to `wait_s` for
        the first. Among waiting callers the most recently arrived one is served first, so that work gathers on few
        workers. A cancelled waiter never swallows a job. Returns before the hand-out is durable: losing it in a
        crash only means that the job is handed out again.
        """

    def offer(self, endpoint: str, waiter: Waiter) -> None:
        """A standing claim without a coroutine: `waiter.serve` gets jobs once, at once when there are some; offer it
        again for more."""

    def withdraw(self, endpoint: str, waiter: Waiter) -> None:
        """Takes an offer back."""

    async def renew(self, endpoint: str, worker_id: str, job_ids: Sequence[str], lease_s: float) -> list[str]:
        """Extends the leases of these jobs; answers the ids that this worker does not hold (any more). Does not wait
        for the disk."""

    async def progress(self, lease: Lease, payload: bytes) -> bool:
        """Records the latest progress (raw JSON). Never reopens an ended job. Does not wait for the disk."""

    async def chunk(self, lease: Lease, payload: bytes) -> bool:
        """Appends one stream chunk (raw JSON). Does not wait for the disk."""

    async def finish(self, lease: Lease, outcome: Outcome) -> bool:
        """Records the result, once; answers whether it counted."""

    async def finish_many(self, results: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        """Like `finish` for each of several results whose outputs are small, with one wait for the disk: either all
        that count are recorded, or none and it raises."""

    def finish_soon(self, results: Sequence[tuple[Lease, Outcome]]) -> tuple[list[bool], asyncio.Future[None]]:
        """`finish_many` without waiting: which count, and when they are durable (or StoreError)."""

    async def release(self, leases: Sequence[Lease], lost: bool, reason: str) -> list[Job]:
        """Gives jobs back. `lost` (the worker died) uses up one of the job's retries, and when none is left the job
        ends as FAILED with `reason`; otherwise it is queued again at the front. Answers the jobs that changed."""


class ClockStore(Protocol):
    """What the loops need."""

    def counts(self, endpoint: str) -> Counts:
        """From memory; exact."""

    def ahead(self, job: Job) -> int:
        """How many jobs will be handed out before this one, which waits; from memory."""

    def listen(self, listener: Callable[[JobEvent], None], kinds: Iterable[EventKind] = EVENT_KINDS) -> None:
        """Adds a listener, which hears of events of these kinds."""

    async def expire(self, now: float) -> float | None:
        """Ends what is over its time (ttl: TIMED_OUT, also when running; execution timeout: TIMED_OUT), gives back
        jobs whose lease ran out, forgets results past retention. Answers when to call again at the latest."""

    async def note(self, job: Job, phases: Sequence[Phase]) -> None:
        """Adds phases to a job's timeline (also after its end). Does not wait for the disk."""


@dataclass(slots=True)
class Delivery:
    """One webhook to deliver. `state`: pending, delivered, dead. Times are Unix seconds. `body` is what is sent."""

    id: str
    endpoint: str
    job_id: str
    url: str
    body: Payload
    created_at: float
    state: Literal["pending", "delivered", "dead"] = "pending"
    attempts: int = 0
    next_at: float = 0.0
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: float | None = None


@dataclass(slots=True)
class WorkerRecord:
    """A worker's life, kept for `why`, `ps` and `logs`. `state`: starting, ready, draining, gone.

    `phases` are boot, import, weights, warm-up with Unix times; `exit` says how it ended ("exit 0", "signal 9",
    "out of memory", "handler has no start()"); `error` is the traceback or last log lines of a failed start.
    """

    id: str
    endpoint: str
    state: Literal["starting", "ready", "draining", "gone"]
    pid: int | None
    started_at: float
    ready_at: float | None = None
    ended_at: float | None = None
    exit: str | None = None
    error: str | None = None
    log_path: str | None = None
    sdk: str | None = None
    jobs_done: int = 0
    phases: list[Phase] | None = None


class LedgerStore(Protocol):
    """Rows beside the jobs: webhook deliveries, workers, API keys, counters."""

    def listen_deliveries(self, listener: Callable[[], None]) -> None:
        """Adds a listener, which is called when a delivery was made that is due at once, and is durable."""

    async def save_delivery(self, delivery: Delivery) -> None:
        """Inserts or replaces. A job's first delivery row is written in the same commit as the job's end (the store
        makes it when a job with a webhook becomes final, with id `msg_<job id>_<attempt>`)."""

    async def list_deliveries(
        self, state: str | None = None, due_before: float | None = None, limit: int = 100
    ) -> list[Delivery]:
        """Deliveries, the most urgent (smallest next_at) first."""

    async def get_delivery(self, delivery_id: str) -> Delivery | None:
        """The delivery of that id, whatever its state; None when there is none (any more)."""

    async def save_worker(self, record: WorkerRecord) -> None:
        """Inserts or replaces. Does not wait for the disk."""

    async def list_workers(self, endpoint: str | None = None, limit: int = 50) -> list[WorkerRecord]:
        """Newest first, the dead ones too."""

    async def save_key(self, name: str, digest: str | None) -> None:
        """Keeps the SHA-256 hex digest of an API key under a name; None removes it."""

    async def list_keys(self) -> dict[str, str]:
        """Name to digest."""


class Store(ClientStore, BatchStore, WorkerStore, ClockStore, LedgerStore, Protocol):
    """Everything, plus its life."""

    async def open(self) -> None:
        """Opens or makes the files, loads the queue, repairs what a crash left. Raises StoreError when another
        plane uses the same folder."""

    async def close(self) -> None:
        """Commits everything and closes."""
