"""Prints what was measured: a table of medians and ranges, then each target beside what was reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Found = Mapping[str, Sequence[float]]


class Target(NamedTuple):
    """A figure to reach: `figure` divided by `per` (or alone) at least, or at most, `limit`."""

    what: str
    figure: str
    limit: float
    per: str | None = None
    at_most: bool = False


TARGETS = (
    Target("runsync at 32 connections / LitServe", "zeroidle: c=32 calls/s", 10, "litserve: c=32 calls/s"),
    Target("runsync at 32 connections / SDK server", "zeroidle: c=32 calls/s", 2, "sdk server: c=32 calls/s"),
    Target("the first, in turn", "in turn: zeroidle / litserve", 10),
    Target("the second, in turn", "in turn: zeroidle / sdk server", 2),
    Target("durable jobs/s end to end over HTTP", "zeroidle: durable jobs/s over HTTP", 10_000),
    Target("the same by /batch", "zeroidle: durable jobs/s over HTTP, by /batch", 10_000),
    Target("idle pick-up p50, ms", "zeroidle: idle pick-up p50, ms", 1, at_most=True),
    Target(
        "unmodified handler / SDK loop alone",
        "zeroidle: c=32 calls/s",
        1000,
        "sdk loop alone: jobs/s of an unmodified handler",
    ),
    Target(
        "unmodified handler / SDK loop, our plane",
        "zeroidle: c=32 calls/s",
        1000,
        "sdk loop on our plane: jobs/s of an unmodified handler",
    ),
    Target("start to first answer, s", "zeroidle: start to first answer, s", 0.4, at_most=True),
    Target("PSS of plane and idle worker, MiB", "zeroidle: PSS idle with one worker, MiB", 55, at_most=True),
    Target("% of a core at zero workers", "zeroidle: % of a core at zero workers", 0.5, at_most=True),
)


def print_table(found: Found) -> None:
    """One line per figure."""
    width = max(map(len, found))
    print(f"{'':<{width}} {'median':>10} {'min':>10} {'max':>10} {'n':>4}")
    for name in sorted(found):
        values = found[name]
        middle, low, high = (number(value) for value in (statistics.median(values), min(values), max(values)))
        print(f"{name:<{width}} {middle:>10} {low:>10} {high:>10} {len(values):>4}")


def print_targets(found: Found) -> None:
    """Each target that was measured. A ratio is taken round by round, since the machine's mood is that of a round."""
    print(f"\n{'target':<40} {'wanted':>10} {'median':>10} {'min':>10} {'max':>10}  reached")
    for target in TARGETS:
        values = list(found.get(target.figure, ()))
        if target.per is not None:
            values = [a / b for a, b in zip(values, found.get(target.per, ()), strict=False)]
        if not values:
            continue
        middle = statistics.median(values)
        reached = middle <= target.limit if target.at_most else middle >= target.limit
        wanted = ("<= " if target.at_most else ">= ") + number(target.limit)
        shown = " ".join(f"{number(value):>10}" for value in (middle, min(values), max(values)))
        print(f"{target.what:<40} {wanted:>10} {shown}  {'yes' if reached else 'no'}")


def number(value: float) -> str:
    """Three significant digits or whole."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
