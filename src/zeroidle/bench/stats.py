"""Percentiles and a histogram in text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from zeroidle.insight.spans import span

_BARS = "▏▎▍▌▋▊▉█"


def percentile(values: Sequence[float], q: float) -> float:
    """The nearest-rank percentile, `q` from 0 to 100: a value that was measured, never a mean of two."""
    if not values:
        raise ValueError("There is no value to take a percentile of.")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q / 100 * len(ordered)) - 1)]


def histogram(values_s: Sequence[float], rows: int = 12, width: int = 40) -> list[str]:
    """Lines of text: durations in seconds, bins that grow by the same factor, counts as bars."""
    low, high = max(min(values_s), 1e-6), max(values_s)
    if high <= low * 1.001:
        return [f"{span(low):>10} {'█' * width} {len(values_s)}"]
    factor = (high / low) ** (1 / rows)
    counts = [0] * rows
    for value in values_s:
        index = int(math.log(max(value, low) / low) / math.log(factor))
        counts[min(rows - 1, index)] += 1
    top = max(counts)
    return [f"{span(low * factor**i):>10} {_bar(count / top, width)} {count}" for i, count in enumerate(counts)]


def _bar(part: float, width: int) -> str:
    eighths = round(part * width * 8)
    full, rest = divmod(eighths, 8)
    text = "█" * full + (_BARS[rest - 1] if rest else "")
    return (text or ("▏" if part else "")).ljust(width)
