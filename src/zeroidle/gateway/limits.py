"""Rate limits per endpoint and operation, with RunPod's documented figures as one choice."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from zeroidle.errors import RateLimited

WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` in ten seconds and `concurrent` at once; with `per_worker`, a running worker adds to neither, but
    the greater of `requests` and workers times `per_worker` counts."""

    requests: int
    concurrent: int | None = None
    per_worker: int = 0


#: RunPod's (runpod/docs, "Rate limits"). They also scale with the workers, by a figure that is not published.
RUNPOD: Mapping[str, Limit] = {
    "runsync": Limit(2000, 400),
    "run": Limit(1000, 200),
    "status": Limit(2000, 400),
    "status-sync": Limit(2000, 400),
    "stream": Limit(2000, 400),
    "cancel": Limit(100, 20),
    "purge-queue": Limit(2),
    "openai": Limit(2000, 400),
    "requests": Limit(10, 2),
}


class LimitReached(RateLimited):
    """Too many requests; wait and send it again. `retry_after_s` says how long."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class _Window:
    """Requests of this window of ten seconds and of the one before, and those running now."""

    number: int = 0
    count: int = 0
    before: int = 0
    running: int = 0


@dataclass(slots=True)
class Limits:
    """Counts requests against a table of limits; an operation that is not in the table has none.

    Empty by default: on one's own machine nothing is gained by refusing oneself.
    """

    table: Mapping[str, Limit] = field(default_factory=dict)
    now: Callable[[], float] = time.monotonic
    _windows: dict[tuple[str, str], _Window] = field(default_factory=dict)

    def enter(self, endpoint: str, operation: str, workers: int = 0) -> None:
        """Counts one request that begins; `leave` must follow. Raises LimitReached, and then it must not."""
        limit = self.table.get(operation)
        if limit is None:
            return
        window = self._windows.setdefault((endpoint, operation), _Window())
        now = self.now()
        number = int(now // WINDOW_S)
        if number != window.number:
            window.before = window.count if number == window.number + 1 else 0
            window.number, window.count = number, 0
        # A sliding window, estimated: the previous one counts for the share of it that still overlaps.
        left = 1 - now % WINDOW_S / WINDOW_S
        allowed = max(limit.requests, workers * limit.per_worker)
        if window.count + window.before * left >= allowed:
            raise LimitReached(
                f"More than {allowed} /{operation} requests came in {WINDOW_S:g} seconds; wait and send it again.",
                max(1, math.ceil(left * WINDOW_S)),
            )
        if limit.concurrent is not None and window.running >= limit.concurrent:
            raise LimitReached(
                f"More than {limit.concurrent} /{operation} requests run at once; wait and send it again.", 1
            )
        window.count += 1
        window.running += 1

    def leave(self, endpoint: str, operation: str) -> None:
        """Counts one request that ends."""
        window = self._windows.get((endpoint, operation))
        if window is not None:
            window.running -= 1
