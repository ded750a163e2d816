"""The next instant at which each live job needs the clock: a heap that tolerates stale entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush


class Deadlines:
    """Instants by job number. An entry may be too early or belong to a job that has ended; whoever pops it asks
    the job itself. Entries hold numbers, not jobs, so that a stale one keeps no payload alive."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def first(self) -> float | None:
        """The first entry's instant, stale or not."""
        return self._heap[0][0] if self._heap else None

    def push(self, at: float, seq: int) -> None:
        """Makes sure that the job is looked at by `at`."""
        heappush(self._heap, (at, seq))

    def pop_due(self, now: float) -> int | None:
        """The number of a job to look at now, or None."""
        if self._heap and self._heap[0][0] <= now:
            return heappop(self._heap)[1]
        return None

    def next_at(self, true_at: Callable[[int], float | None]) -> float | None:
        """The earliest instant; `true_at` says when a job is really due, None when it has ended."""
        while self._heap:
            at, seq = self._heap[0]
            real = true_at(seq)
            if real is not None and real <= at:
                return at
            heappop(self._heap)
            if real is not None:
                heappush(self._heap, (real, seq))
        return None

    def rebuild(self, entries: Iterable[tuple[float, int]]) -> None:
        """Replaces everything."""
        self._heap = list(entries)
        heapify(self._heap)
