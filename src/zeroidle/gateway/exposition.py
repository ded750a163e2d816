"""Prometheus' text format, written by hand because its library would cost every plane memory and start-up time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: One sample of a family: its labels and its value.
Sample = tuple[Mapping[str, str], float]


class Histogram:
    """How many observations fell below each bound. Bounds are in the unit of what is observed, rising."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, values: Iterable[float]) -> None:
        """Counts observations; one below 0, of a clock that was set back, is one of 0."""
        found = [value if value > 0.0 else 0.0 for value in values]
        for bucket in map(bisect_left, repeat(self._bounds), found):
            self._counts[bucket] += 1
        self._sum += sum(found)

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self._counts)

    def lines(self, name: str, labels: Mapping[str, str]) -> Iterable[str]:
        """The bucket, sum and count lines of this histogram."""
        total = 0
        for bound, count in zip((*map(_number, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f"{name}_bucket{_labels({**labels, 'le': bound})} {total}"
        yield f"{name}_sum{_labels(labels)} {_number(self._sum)}"
        yield f"{name}_count{_labels(labels)} {total}"


def family(kind: Literal["counter", "gauge"], name: str, about: str, samples: Iterable[Sample]) -> str:
    """A metric and its samples, with a line end."""
    lines = [_head(kind, name, about)]
    lines += (f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples)
    return "\n".join(lines) + "\n"


def histograms(name: str, about: str, series: Iterable[tuple[Mapping[str, str], Histogram]]) -> str:
    """A metric of histograms, one for each set of labels, with a line end."""
    lines = [_head("histogram", name, about)]
    for labels, histogram in series:
        lines += histogram.lines(name, labels)
    return "\n".join(lines) + "\n"


def _head(kind: str, name: str, about: str) -> str:
    return f"# HELP {name} {about}\n# TYPE {name} {kind}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
