"""The workers of one endpoint: builds the policy's view, carries its decision out, backs off when starts fail."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from zeroidle.endpoint import Endpoint
from zeroidle.job import Job
from zeroidle.scaling.backoff import Backoff
from zeroidle.scaling.life import Life
from zeroidle.scaling.policies import make_policy
from zeroidle.scaling.policy import Starting, View
from zeroidle.scaling.state import ScalingState
from zeroidle.worker import Worker, WorkerState

if TYPE_CHECKING:
    from zeroidle.scaling.loop import ScalingLoop

log = logging.getLogger(__name__)

#: At most one decision in this many seconds, so that a busy plane does not decide after every job. What happens after a
#: pause is decided on at once.
DECIDE_EVERY_S = 0.01

#: Weight of the newest start in the expected start time.
_NEWEST = 0.3

#: Reasons of a failed start that stay until somebody changes something (the words of a worker's FAILED frame).
PERMANENT = frozenset({"no-start", "missing-module", "bad-handler", "real-sdk-missing", "no-interpreter"})


class Pool:
    """Reconciles the workers of one endpoint with what its policy wants. Times inside are monotonic."""

    def __init__(self, loop: ScalingLoop, endpoint: Endpoint) -> None:
        self._loop = loop
        self.endpoint = endpoint
        self.policy = make_policy(endpoint.scaler, endpoint.idle_s)
        self.lives: dict[str, Life] = {}
        self.backoff = Backoff()
        self.boot_s: float | None = None
        self.wanted = 0
        self._suspects: set[str] = set()
        self._handler_stamp = _stamp(endpoint)
        self._soon: asyncio.Handle | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._decided_at = 0.0
        self._last: tuple[str | None, str | None, str | None, str | None] = (None, None, None, None)

    @property
    def poked(self) -> bool:
        """Whether it will decide soon anyway."""
        return self._soon is not None

    def poke(self) -> None:
        """Something changed: decide soon, once."""
        if self._soon is None:
            loop = asyncio.get_running_loop()
            pause = self._decided_at + DECIDE_EVERY_S - time.monotonic()
            self._soon = loop.call_later(pause, self._decide) if pause > 0 else loop.call_soon(self._decide)

    def close(self) -> None:
        """No more decisions."""
        for handle in (self._soon, self._wake):
            if handle is not None:
                handle.cancel()
        self._soon = self._wake = None

    def _decide(self) -> None:
        self._soon = None
        self._decided_at = time.monotonic()
        try:
            self._reconcile()
        except Exception:
            log.exception("scaling.failed endpoint=%s", self.endpoint.name)

    def _reconcile(self) -> None:
        if self._loop.draining:
            return
        self._follow_endpoint()
        view = self.view()
        now = view.now
        if self._suspects and not (view.queued or view.queued_low or view.in_flight or len(self.lives) > view.live):
            self._uncap()  # nothing is left, so no suspect is either
        if view.live == 0 and self._held_back(now):
            # The policy is not asked for what cannot be given: QueueDelay would take its answer for carried out.
            self._set_wake(self.backoff.until, now)
            return
        decision = self.policy.desired(view)
        self.wanted = decision.n
        wake = decision.wake_at
        if decision.n > view.live:
            wake = _earlier(wake, self._grow(decision.n - view.live, now))
        elif decision.n < view.live:
            self._shrink(view.live - decision.n)
        self._set_wake(wake, now)

    def _follow_endpoint(self) -> None:
        """Notices that the endpoint was changed or taken away."""
        current = self._loop.endpoints.get(self.endpoint.name)
        if current is self.endpoint:
            return
        if current is None:
            for life in self.lives.values():
                self._loop.workers.retire(life, "endpoint removed")
            return
        if current != self.endpoint:
            self.reload(current)

    def reload(self, endpoint: Endpoint) -> None:
        """Takes a changed endpoint (or one whose files changed): forgets the failures, replaces the workers."""
        if (endpoint.scaler, endpoint.idle_s) != (self.endpoint.scaler, self.endpoint.idle_s):
            self.policy = make_policy(endpoint.scaler, endpoint.idle_s)
        self.endpoint = endpoint
        self._handler_stamp = _stamp(endpoint)
        self.backoff.reset()
        for life in self.lives.values():
            self._loop.workers.retire(life, "endpoint changed")
        self.poke()

    def view(self) -> View:
        """What the policy may know now, which is after every event that it was told of."""
        counts = self._loop.store.counts(self.endpoint.name)
        now = time.monotonic()
        starting, idle, ready, elsewhere, slots = [], [], 0, 0, 0
        boot_s = self.boot_s or 1.0
        for life in self.lives.values():
            if not life.counts:
                elsewhere += len(life.held)
            elif life.starting:
                starting.append(Starting(life.since, max(now, life.since + boot_s)))
            else:
                ready += 1
                slots = max(slots, life.worker.cap or life.worker.concurrency)
                if not life.busy:
                    if life.idle_at is None:
                        life.idle_at = now
                    idle.append(life.idle_at)
        oldest = counts.oldest_queued_at
        removed = self.endpoint.name not in self._loop.endpoints
        return View(
            now=now,
            queued=counts.queued,
            queued_low=counts.queued_low,
            oldest_at=None if oldest is None else now - max(0.0, time.time() - oldest),
            in_flight=max(0, counts.in_progress - elsewhere),
            ready=ready,
            starting=starting,
            idle_since=sorted(idle),
            concurrency=max(1, slots or (1 if self._suspects else self.endpoint.concurrency)),
            min_workers=0 if removed else self.endpoint.min_workers,
            max_workers=0 if removed else self.endpoint.max_workers,
            boot_s=boot_s,
        )

    def _grow(self, more: int, now: float) -> float | None:
        """Starts up to `more` workers; answers when to try again when starts are held back."""
        if self._held_back(now):
            return self.backoff.until
        # Workers that are on their way out still hold memory, so they count here.
        room = max(self.endpoint.max_workers, self.endpoint.min_workers) - len(self.lives)
        if self.backoff.probing:
            room = min(room, 0 if any(life.starting for life in self.lives.values()) else 1)
        for _ in range(min(more, room)):
            worker = Worker("w" + secrets.token_hex(6), self.endpoint.name, time.time(), sdk=self.endpoint.sdk)
            worker.concurrency = self.endpoint.concurrency
            worker.cap = 1 if self._suspects else None
            life = Life(worker, self.endpoint, now)
            self.lives[worker.id] = life
            self._loop.workers.begin(life)
        return None

    def _held_back(self, now: float) -> bool:
        """Whether starts must wait. A handler file that was saved since is tried at once."""
        if now >= self.backoff.until:
            return False
        if (stamp := _stamp(self.endpoint)) != self._handler_stamp:
            self._handler_stamp = stamp
            self.backoff.reset()
            return False
        return True

    def _shrink(self, fewer: int) -> None:
        idle = [x for x in self.lives.values() if x.counts and not x.starting and not x.busy]
        idle.sort(key=lambda life: life.idle_at or 0.0)
        for life in idle[:fewer]:
            self._loop.workers.retire(life, "idle")

    def _set_wake(self, at: float | None, now: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if at is not None:
            self._wake = asyncio.get_running_loop().call_later(max(DECIDE_EVERY_S, at - now), self._rung)

    def _rung(self) -> None:
        self._wake = None
        self.poke()

    # -- what happened to a worker

    def became_ready(self, life: Life) -> None:
        """Learns the start time, and that starts go well."""
        now = time.monotonic()
        took = now - life.since
        life.idle_at = now
        self.boot_s = took if self.boot_s is None else self.boot_s + _NEWEST * (took - self.boot_s)
        self.backoff.ready()
        self.policy.started(now, took)

    def failed(self, life: Life, exit_text: str, error: str | None) -> None:
        """A failed start or a crash holds the next start back. Told before the jobs of the worker are given back,
        since these would start another one at once."""
        if life.ending is not None:
            return
        now, worker = time.monotonic(), life.worker
        if worker.ready_at is None:
            self.backoff.start_failed(now, worker.error_kind in PERMANENT)
            self._handler_stamp = _stamp(self.endpoint)
        elif worker.jobs_done == 0 or error is not None:
            self.backoff.crashed(now)
        self._last = (worker.id, exit_text, error, worker.error_kind)

    async def suspect(self, job_ids: list[str]) -> None:
        """One of these jobs killed its worker, and nobody knows which. Until all of them have ended, every worker gets
        one job at a time: so the next death has one name, and its neighbours do not pay for it."""
        self._suspects.update(job_ids)
        log.warning("jobs.suspected endpoint=%s n=%d", self.endpoint.name, len(self._suspects))
        for life in self.lives.values():
            life.worker.cap = 1
        controls = [life.worker.control for life in self.lives.values() if life.worker.control is not None]
        await asyncio.gather(*(control.recap() for control in controls))

    def cleared(self, jobs: Iterable[Job]) -> None:
        """Jobs have ended; when the last suspect was among them, workers get as many jobs as they ask for again."""
        if self._suspects:
            self._suspects.difference_update(job.id for job in jobs)
            if not self._suspects:
                self._uncap()

    def _uncap(self) -> None:
        self._suspects.clear()
        for life in self.lives.values():
            life.worker.cap = None
            if life.worker.control is not None:
                self._loop.workers.spawn(life.worker.control.recap())

    def ended(self, life: Life) -> None:
        """Forgets a worker."""
        self.lives.pop(life.worker.id, None)
        self.poke()

    def state(self) -> ScalingState:
        """A snapshot."""
        now = time.monotonic()
        wait = self.backoff.until - now
        worker_id, exit_text, error, kind = self._last
        lives = self.lives.values()
        return ScalingState(
            endpoint=self.endpoint.name,
            wanted=self.wanted,
            starting=sum(life.counts and life.starting for life in lives),
            ready=sum(life.counts and life.worker.state is WorkerState.READY for life in lives),
            draining=sum(not life.counts for life in lives),
            failures=self.backoff.failures,
            crashes=self.backoff.crashes,
            permanent=self.backoff.permanent,
            backoff_until=time.time() + wait if wait > 0 else None,
            last_worker=worker_id,
            last_exit=exit_text,
            last_error=error,
            last_error_kind=kind,
            boot_s=self.boot_s or 1.0,
        )


def _earlier(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else min(a, b)


def _stamp(endpoint: Endpoint) -> int:
    """Changes when the handler file is saved."""
    try:
        return endpoint.handler.stat().st_mtime_ns
    except OSError:
        return 0
