"""The live workers of a plane: what the gateway learns of them and what the scaling loop reads."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from msgspec import Struct

from zeroidle.job import Phase


class WorkerState(enum.StrEnum):
    """starting: process begun, not ready; ready: may take jobs; draining: ends its jobs and takes no more;
    gone: ended."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


class Control(Protocol):
    """How to speak to a worker that is connected."""

    def cancel(self, job_id: str, attempt: int) -> None:
        """Asks it to stop one job (may have no effect on a handler that does not look)."""

    def drain(self) -> None:
        """Asks it to end its jobs, take no more and exit."""

    async def recap(self) -> None:
        """The worker's `cap` has changed; returns when it waits for no more jobs than that at a time."""


class Held(Struct, gc=False):
    """A job that a worker holds. Times are Unix seconds; `last_ping_at` is when a ping last named it."""

    job_id: str
    attempt: int
    taken_at: float
    last_ping_at: float | None = None
    missed_pings: int = 0


@dataclass(slots=True)
class Worker:
    """One worker process. Times are Unix seconds. `token` authenticates it and is shown nowhere.

    `connected`: its socket is open, or what came on it is still being taken in: after the process has ended, its last
    results count until this is false. `forked`: it came from a fork server; `start_note` says why it did not, where
    there is a reason. `waits_for` says in a sentence what its start waits for, while it does. `pings`: it speaks HTTP
    and has pinged, so its pings keep its leases. `cap`: it is handed no more jobs than this at a time, whatever it
    asks for; so the plane finds out which of several jobs kills its worker.
    """

    id: str
    endpoint: str
    started_at: float
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    state: WorkerState = WorkerState.STARTING
    carrier: Literal["socket", "http"] | None = None
    pid: int | None = None
    sdk: str | None = None
    concurrency: int = 1
    cap: int | None = None
    cooperative: bool = False
    pings: bool = False
    connected: bool = False
    ready_at: float | None = None
    last_seen_at: float | None = None
    last_poll_at: float | None = None
    idle_since: float | None = None
    jobs: dict[str, Held] = field(default_factory=dict)
    jobs_done: int = 0
    mean_run_s: float | None = None
    phases: list[Phase] = field(default_factory=list)
    log_path: str | None = None
    forked: bool = False
    start_note: str = ""
    waits_for: Callable[[], str] | None = field(default=None, repr=False)
    error: str | None = None
    error_kind: str | None = None
    control: Control | None = field(default=None, repr=False)

    @property
    def busy(self) -> bool:
        """Whether it holds a job."""
        return bool(self.jobs)


#: What happened to a worker, for listeners of the registry.
WorkerEventKind = Literal["added", "ready", "idle", "busy", "draining", "failed", "gone"]


class Registry:
    """All workers that live now. Listeners are called at once, on the loop, and must not block."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}
        self._listeners: list[Callable[[WorkerEventKind, Worker], None]] = []

    def add(self, worker: Worker) -> None:
        """Takes in a new worker."""
        self._workers[worker.id] = worker
        self.tell("added", worker)

    def remove(self, worker_id: str) -> Worker | None:
        """Forgets a worker that has ended; tells "gone"."""
        worker = self._workers.pop(worker_id, None)
        if worker is not None:
            worker.state = WorkerState.GONE
            self.tell("gone", worker)
        return worker

    def get(self, worker_id: str) -> Worker | None:
        """The worker of that id, if it lives."""
        return self._workers.get(worker_id)

    def of(self, endpoint: str) -> Iterator[Worker]:
        """The live workers of an endpoint."""
        return (w for w in list(self._workers.values()) if w.endpoint == endpoint)

    def listen(self, listener: Callable[[WorkerEventKind, Worker], None]) -> None:
        """Adds a listener."""
        self._listeners.append(listener)

    def tell(self, kind: WorkerEventKind, worker: Worker) -> None:
        """Tells the listeners; called by whoever changed the worker."""
        for listener in self._listeners:
            listener(kind, worker)
