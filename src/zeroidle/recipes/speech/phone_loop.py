"""Free phone recognition: which phones were spoken, when no text says what to expect."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .align import Span
from .graph import REST
from .posteriors import Floats, Posteriors

Moves = NDArray[np.bool_]


def recognise(posteriors: Posteriors, change: float = 13.0) -> list[Span]:
    """The best sequence of phones and rests over all frames; each new phone costs `change` nats (not for CTC).

    The default makes the fewest errors on recordings of native speakers; a model of phone sequences (bigrams of the
    CMU dictionary) made no difference.
    """
    if posteriors.blank:
        return _greedy(posteriors)
    states = posteriors.scores.shape[2]
    rows = np.concatenate([posteriors.scores, np.repeat(posteriors.rest[:, None, None], states, axis=2)], axis=1)
    return _spans(posteriors, *_search(rows, change))


def _search(rows: Floats, change: float) -> tuple[Floats, list[tuple[Moves, int]]]:
    """Viterbi over all phones at once. For each frame it notes which states were entered, and the phone before."""
    score = np.full(rows.shape[1:], -np.inf)
    score[:, 0] = rows[0, :, 0]
    came: list[tuple[Moves, int]] = [(np.ones(score.shape, bool), -1)]
    for row in rows[1:]:
        before = int(score[:, -1].argmax())
        entering = np.concatenate([np.full((len(score), 1), score[before, -1] - change), score[:, :-1]], axis=1)
        moved = entering > score
        score = np.where(moved, entering, score) + row
        came.append((moved, before))
    return score, came


def _spans(posteriors: Posteriors, score: Floats, came: Sequence[tuple[Moves, int]]) -> list[Span]:
    unit, state = int(score[:, -1].argmax()), score.shape[1] - 1
    end = t = len(came)
    spans = []
    while t > 0:
        moved, before = came[t - 1]
        entered = bool(moved[unit, state]) or t == 1
        t -= 1
        if not entered:
            continue
        if state > 0 and t > 0:
            state -= 1
            continue
        spans.append(_span(posteriors, t, end, unit))
        end, state = t, score.shape[1] - 1
        unit = before
    spans.reverse()
    return spans


def _span(posteriors: Posteriors, start: int, end: int, unit: int) -> Span:
    if unit == len(posteriors.phones):
        return Span(start, end, REST)
    return Span(start, end, 0, 0, posteriors.phones[unit])


def _greedy(posteriors: Posteriors) -> list[Span]:
    rows = np.concatenate([posteriors.of_phones(), posteriors.rest[:, None]], axis=1)
    units = rows.argmax(axis=1)
    starts = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist(), len(units)]
    return [_span(posteriors, s, e, int(units[s])) for s, e in pairwise(starts)]
