"""Rate limits per endpoint and operation: RunPod's documented figures, for an endpoint whose settings ask for them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from msgspec import Struct, field

from zeroidle.endpoint import Endpoint
from zeroidle.errors import RateLimited

WINDOW_S = 10.0


class Limit(Struct, frozen=True):
    """How many requests may begin in ten seconds, and how many may run at once (None: any number)."""

    requests: int
    concurrent: int | None = None


#: RunPod's (runpod/docs, "Rate limits"). There they grow with the running workers, by a figure that is not published;
#: here they do not. /status-sync is not in that list and counts as /status does.
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

#: The table that each value of the setting `rate_limits` means.
TABLES: Mapping[str, Mapping[str, Limit]] = {"none": {}, "runpod": RUNPOD}


class LimitReached(RateLimited):
    """Too many requests; wait and send it again. `retry_after_s` says how long."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _Window(Struct):
    """Requests of this window of ten seconds and of the one before, and those running now."""

    number: int = 0
    count: int = 0
    before: int = 0
    running: int = 0


class Limits(Struct):
    """Counts requests against the table that an endpoint's `rate_limits` names; what is not in it has no limit."""

    tables: Mapping[str, Mapping[str, Limit]] = field(default_factory=lambda: TABLES)
    now: Callable[[], float] = time.monotonic
    _windows: dict[tuple[str, str], _Window] = field(default_factory=dict)

    def enter(self, endpoint: Endpoint, operation: str) -> None:
        """Counts one request that begins; `leave` must follow. Raises LimitReached, and then it must not."""
        limit = self.tables[endpoint.rate_limits].get(operation)
        if limit is None:
            return
        window = self._windows.setdefault((endpoint.name, operation), _Window())
        # A sliding window, estimated: the previous one counts for the share of it that still overlaps.
        overlap = 1 - self._turn(window)
        if window.count + window.before * overlap >= limit.requests:
            raise LimitReached(
                f"The endpoint {endpoint.name} takes {limit.requests} /{operation} requests in {WINDOW_S:g} seconds "
                f'(rate_limits = "{endpoint.rate_limits}"); wait and send it again.',
                _wait_s(window, limit.requests, overlap),
            )
        if limit.concurrent is not None and window.running >= limit.concurrent:
            raise LimitReached(
                f"The endpoint {endpoint.name} takes {limit.concurrent} /{operation} requests at once "
                f'(rate_limits = "{endpoint.rate_limits}"); wait and send it again.',
                1,
            )
        window.count += 1
        window.running += 1

    def leave(self, endpoint: Endpoint, operation: str) -> None:
        """Counts one request that ends."""
        window = self._windows.get((endpoint.name, operation))
        if window is not None:
            window.running -= 1

    def _turn(self, window: _Window) -> float:
        """Begins a new window when its time has come; answers how much of it is over, from 0 to 1."""
        number, over_s = divmod(self.now(), WINDOW_S)
        if number != window.number:
            window.before = window.count if number == window.number + 1 else 0
            window.number, window.count = int(number), 0
        return over_s / WINDOW_S


def _wait_s(window: _Window, requests: int, overlap: float) -> int:
    """Whole seconds until one more request fits, if none comes meanwhile."""
    free = requests - window.count
    if free <= 0 or not window.before:
        return max(1, math.ceil(overlap * WINDOW_S))
    return max(1, math.ceil((overlap - free / window.before) * WINDOW_S))
