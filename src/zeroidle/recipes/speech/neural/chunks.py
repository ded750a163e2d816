"""Cuts long audio where it is quiet, because some models take 20 s at most and drop the rest without a word."""

from __future__ import annotations

import numpy as np

from ..audio import RATE_HZ, Samples


def cut(samples: Samples, longest_s: float, search_s: float = 4.0, step: int = 640) -> list[tuple[int, int]]:
    """Stretches of at most `longest_s` seconds that follow each other and cover everything, as (start, end) samples.

    Each cut lies at the quietest place of the last `search_s` seconds of a stretch, at a multiple of `step` samples,
    so that the frames of the stretches join without a gap.
    """
    longest = int(longest_s * RATE_HZ) // step * step
    found: list[tuple[int, int]] = []
    start = 0
    while len(samples) - start > longest:
        first = start + longest - int(search_s * RATE_HZ) // step * step
        window = samples[first : start + longest].astype(np.float64).reshape(-1, step)
        # Smoothed over five steps: a cut belongs into a pause and not into the closure of a plosive.
        loudness = np.convolve((window**2).mean(axis=1), np.ones(5) / 5, "same")
        end = first + int(loudness.argmin()) * step
        found.append((start, end))
        start = end
    return [*found, (start, len(samples))]
