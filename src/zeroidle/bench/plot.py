"""Draws latencies as a PNG; needs matplotlib, the extra `plot`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from zeroidle.errors import ConfigError


def draw(path: Path, series_s: Mapping[str, Sequence[float]], title: str) -> None:
    """One curve for each series: the share of requests (0 to 100 %) that took at most so long. Raises ConfigError
    when matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("A PNG needs matplotlib; install it: pip install 'zeroidle[plot]'") from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, values in series_s.items():
        ordered = sorted(value * 1000 for value in values)
        axes.step(ordered, [100 * (i + 1) / len(ordered) for i in range(len(ordered))], where="post", label=name)
    axes.set(xlabel="milliseconds", ylabel="% of requests", xscale="log", title=title, ylim=(0, 101))
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120, format="png")
