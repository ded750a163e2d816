"""How many workers should there be: `desired(view) -> n`, a pure function of a view and of folded events.

A policy is called at every arrival, completion and worker-ready, and at the time that it names itself in
`Decision.wake_at`. It reads no clock: `view.now` is the time. The live loop and the simulator call the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Starting(Struct, frozen=True):
    """A worker that has been started and has not taken a job yet."""

    since: float
    expected_ready_at: float


class View(Struct, frozen=True):
    """What a policy may know. Times are seconds on one monotonic clock.

    `queued` counts waiting jobs that may trigger scaling, `queued_low` those submitted with lowPriority.
    `oldest_at` is when the longest-waiting of `queued` was submitted; `idle_since` holds, for each ready
    worker without a job, the time of its last completion (or of becoming ready), longest idle first.
    """

    now: float
    queued: int
    oldest_at: float | None
    in_flight: int
    ready: int
    starting: Sequence[Starting] = ()
    idle_since: Sequence[float] = ()
    queued_low: int = 0
    concurrency: int = 1
    min_workers: int = 0
    max_workers: int = 3
    boot_s: float = 1.0

    @property
    def live(self) -> int:
        """Workers that exist: ready or starting."""
        return self.ready + len(self.starting)

    def clamp(self, n: int) -> int:
        """`n` within the endpoint's limits."""
        return max(self.min_workers, min(self.max_workers, n))


class Decision(Struct, frozen=True):
    """The wanted number of workers, and when to ask again if nothing happens before."""

    n: int
    wake_at: float | None = None


class ScalingPolicy(Protocol):
    """A rule that says how many workers an endpoint should have."""

    def arrived(self, now: float, count: int = 1) -> None:
        """`count` jobs came in."""

    def left(self, now: float, waited_s: float, ran_s: float) -> None:
        """A job ended after waiting `waited_s` and running `ran_s`."""

    def started(self, now: float, boot_s: float) -> None:
        """A worker became ready after `boot_s`."""

    def desired(self, view: View) -> Decision:
        """The wanted number of workers."""


class _Stateless:
    """Folds no events."""

    def arrived(self, now: float, count: int = 1) -> None:
        """Nothing is learnt."""

    def left(self, now: float, waited_s: float, ran_s: float) -> None:
        """Nothing is learnt."""

    def started(self, now: float, boot_s: float) -> None:
        """Nothing is learnt."""


def _idle(view: View, idle_timeout_s: float) -> tuple[int, float | None]:
    """How many idle workers are past the time-out, and when the next one will be."""
    fresh = [at for at in view.idle_since if view.now - at < idle_timeout_s]
    return len(view.idle_since) - len(fresh), min(fresh) + idle_timeout_s if fresh else None


#: Weight of the newest run in the mean run time.
NEWEST = 0.1


def _earlier(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else min(a, b)


class Default(_Stateless):
    """Starts the first worker at once, then one for every `concurrency` jobs that no worker covers, unless the
    workers that are there will be through with all of it sooner than a new one could be up.

    A started worker is credited with the work it will take, so one burst does not start a worker per call.
    Idle workers stay for `idle_timeout_s`.
    """

    def __init__(self, idle_timeout_s: float = 5.0) -> None:
        self.idle_timeout_s = idle_timeout_s
        self._run_s: float | None = None  # what a job takes, the newest counting most

    def left(self, now: float, waited_s: float, ran_s: float) -> None:
        """Learns how long a job runs."""
        self._run_s = ran_s if self._run_s is None else self._run_s + NEWEST * (ran_s - self._run_s)

    def desired(self, view: View) -> Decision:
        """ceil(demand / concurrency), kept up while workers are inside their idle time-out."""
        # `queued_low` is left out on purpose: lowPriority jobs never start a worker (RunPod's rule).
        need = math.ceil((view.queued + view.in_flight) / view.concurrency)
        stale, wake = _idle(view, self.idle_timeout_s)
        if need > view.live and (patience_at := self._patience_at(view)) is not None:
            need = view.live
            wake = _earlier(wake, patience_at)
        return Decision(view.clamp(max(need, view.live - stale)), wake)

    def _patience_at(self, view: View) -> float | None:
        """Until when the queue can be left to the workers that are there; None when it cannot."""
        if self._run_s is None or view.ready == 0 or view.oldest_at is None:
            return None
        done_in_s = (view.queued + view.in_flight) * self._run_s / (view.ready * view.concurrency)
        # The estimate may be wrong (one job that runs long): nobody waits longer for it than a start would take.
        at = view.oldest_at + view.boot_s
        return at if done_in_s <= view.boot_s and view.now < at else None


class QueueDelay(_Stateless):
    """RunPod's QUEUE_DELAY: the first request from zero starts one worker at once; after that each request
    that has waited longer than `delay_s` adds one worker, once; idle workers stop after `idle_timeout_s`.

    Source: runpod/docs, endpoint pages ("With zero workers initially, the first request adds one worker.
    Subsequent requests add workers only after waiting in the queue for the defined number of delay seconds").
    How many are added at one check is not documented; this is the once-per-request reading.
    """

    def __init__(self, delay_s: float = 4.0, idle_timeout_s: float = 5.0) -> None:
        self.delay_s = delay_s
        self.idle_timeout_s = idle_timeout_s
        self._waiting: list[float] = []  # arrival times of jobs that have not yet added a worker

    def arrived(self, now: float, count: int = 1) -> None:
        """Remembers when each job came, to know when it has waited too long."""
        self._waiting.extend([now] * count)

    def desired(self, view: View) -> Decision:
        """Adds one worker per request that is over the delay and still waiting."""
        # The queue is first in, first out: the waiting jobs are the youngest `queued` arrivals.
        del self._waiting[: max(0, len(self._waiting) - view.queued)]
        n, wake = view.live, None
        if n == 0 and view.queued:
            n = 1
            self._waiting[:1] = []
        while self._waiting and view.now - self._waiting[0] >= self.delay_s and n < view.max_workers:
            n += 1
            del self._waiting[0]
        if self._waiting and n < view.max_workers:
            wake = max(view.now, self._waiting[0] + self.delay_s)
        stale, next_stale = _idle(view, self.idle_timeout_s)
        return Decision(view.clamp(n - stale), _earlier(wake, next_stale))


class RequestCount(_Stateless):
    """RunPod's REQUEST_COUNT: ceil((in queue + in progress) / `per_worker`), without an idle time-out.

    Source: runpod/docs, endpoint-configurations ("idle timeout only effective with queue delay").
    """

    def __init__(self, per_worker: int = 4) -> None:
        self.per_worker = per_worker

    def desired(self, view: View) -> Decision:
        """The formula, within the endpoint's limits."""
        return Decision(view.clamp(math.ceil((view.queued + view.in_flight) / self.per_worker)))
