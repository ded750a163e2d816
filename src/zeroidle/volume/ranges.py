"""Sets of byte ranges: which stretches of a file are there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator


class Ranges:
    """Disjoint half-open ranges of bytes in order."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    def add(self, start: int, end: int) -> None:
        """Adds [start, end), joining what touches it."""
        if start >= end:
            return
        spans = self._spans
        at = bisect_left(spans, (start, start))
        if at and spans[at - 1][1] >= start:
            at -= 1
        stop = at
        while stop < len(spans) and spans[stop][0] <= end:
            start, end = min(start, spans[stop][0]), max(end, spans[stop][1])
            stop += 1
        spans[at:stop] = [(start, end)]

    def remove(self, start: int, end: int) -> None:
        """Takes [start, end) out."""
        kept: list[tuple[int, int]] = []
        for low, high in self._spans:
            kept.extend(span for span in ((low, min(high, start)), (max(low, end), high)) if span[0] < span[1])
        self._spans = kept

    def end_from(self, start: int) -> int:
        """How far the bytes are there without a gap from `start` on; `start` itself when that byte is missing."""
        for low, high in self._spans:
            if low <= start < high:
                return high
        return start

    def missing(self, size: int) -> Iterator[tuple[int, int]]:
        """The gaps in [0, size)."""
        at = 0
        for low, high in self._spans:
            if at < min(low, size):
                yield at, min(low, size)
            at = max(at, high)
        if at < size:
            yield at, size

    @property
    def total(self) -> int:
        """How many bytes are there."""
        return sum(high - low for low, high in self._spans)
