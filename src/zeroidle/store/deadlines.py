"""The next instant at which each live job needs the clock: a heap that tolerates stale entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from heapq import heapify, heappop, heappush

#: The heap may hold this many stale entries more than four for each live job before it is made anew.
_SLACK = 1024
#: So many are popped one by one.
_FEW = 64


class Deadlines:
    """Instants by job number. An entry may be too early or belong to a job that has ended; whoever pops it asks
    the job itself. Entries hold numbers, not jobs, so that a stale one keeps no payload alive.

    `live` is what entries can belong to, `entries` makes those of all that live: what is stale is cleared away when it
    is nearly everything.
    """

    def __init__(self, live: Sized, entries: Callable[[], Iterable[tuple[float, int]]]) -> None:
        self._heap: list[tuple[float, int]] = []
        self._live = live
        self._entries = entries
        self._look_at = _SLACK

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, at: float, seq: int) -> None:
        """Makes sure that the job is looked at by `at`."""
        if len(self._heap) > self._look_at:
            self._look_at = _SLACK + 4 * len(self._live)
            if len(self._heap) > self._look_at:
                self._renew()
        heappush(self._heap, (at, seq))

    def _renew(self) -> None:
        self._heap = list(self._entries())
        heapify(self._heap)

    @property
    def first(self) -> float | None:
        """The first entry's instant, stale or not."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> int | None:
        """The number of a job to look at now, or None."""
        if self._heap and self._heap[0][0] <= now:
            return heappop(self._heap)[1]
        return None

    def next_at(self, true_at: Callable[[int], float | None]) -> float | None:
        """The earliest instant; `true_at` says when a job is really due, None when it has ended."""
        if len(self._heap) > _FEW + 4 * len(self._live):  # popping what is stale would cost more
            self._renew()
        while self._heap:
            at, seq = self._heap[0]
            real = true_at(seq)
            if real is not None and real <= at:
                return at
            heappop(self._heap)
            if real is not None:
                heappush(self._heap, (real, seq))
        return None
