"""Goodness of pronunciation: how much better another phone would fit the frames of each phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .align import Span
from .posteriors import Floats, Posteriors

#: Frames on each side of a phone within which a substitute may lie, in seconds.
_REACH_S = 0.12
DELETED = ""


@dataclass(frozen=True, slots=True)
class PhoneScore:
    """How one phone was spoken, in nats; 0 is best.

    `posterior` is its mean log-posterior, `frame_gop` the distance to the best phone over the same frames.
    `substitution_gop` is the distance to the best alternative when the whole neighbourhood is aligned again, positive
    when the phone itself is best; `alternative` is that phone (DELETED: leaving it out).
    `candidates` are the best phones over the same frames with their mean log-posteriors, best first.
    """

    posterior: float
    frame_gop: float
    substitution_gop: float
    alternative: str
    candidates: tuple[tuple[str, float], ...]


def score_phones(
    posteriors: Posteriors, spans: Sequence[Span], candidates: int = 5, extra_per_frame: float = 2.0
) -> list[PhoneScore]:
    """The scores of the phones among the spans of an alignment, in order."""
    best = posteriors.of_phones()
    means = [best[span.evidence].mean(axis=0) for span in spans if span.word >= 0]
    alternatives = _Chain(posteriors, spans, extra_per_frame).alternatives()
    phones = [span for span in spans if span.word >= 0]
    return [
        _one(posteriors, span, mean, alternative, candidates)
        for span, mean, alternative in zip(phones, means, alternatives, strict=True)
    ]


def _one(
    posteriors: Posteriors, span: Span, mean: Floats, alternative: tuple[float, str], candidates: int
) -> PhoneScore:
    own = float(mean[posteriors.index[span.label]])
    order = np.argsort(-mean)[: max(candidates, 1)]
    return PhoneScore(
        posterior=own,
        frame_gop=own - float(mean.max()),
        substitution_gop=alternative[0],
        alternative=alternative[1],
        candidates=tuple((posteriors.phones[at], float(mean[at])) for at in order),
    )


class _Chain:
    """The aligned phones and rests as a chain, with the best score up to and from each place and frame.

    `self._until[e][t]` is the best score of frames before t with elements before e; `self._onwards[e][t]` that of
    frames from t with elements from e. An element passes by running maxima over time, no loop over frames.
    """

    def __init__(self, posteriors: Posteriors, spans: Sequence[Span], extra_per_frame: float) -> None:
        self._posteriors = posteriors
        self._spans = spans
        self._sums = _sums(posteriors.scores)
        self._rest = _sums(posteriors.rest)
        # Extra speech is as dear here as in the alignment, or it would swallow its neighbours.
        self._best = _sums(np.maximum(posteriors.of_phones().max(axis=1), posteriors.rest) - extra_per_frame)
        self._until = self._walk()
        self._onwards = self._walk_back()

    def alternatives(self) -> list[tuple[float, str]]:
        """For each phone: its score less that of its best alternative, and the alternative."""
        return [self._alternative(at) for at, span in enumerate(self._spans) if span.word >= 0]

    def _alternative(self, at: int) -> tuple[float, str]:
        span = self._spans[at]
        reach = max(2, round(_REACH_S / self._posteriors.frame_s))
        low, high = max(0, span.start - reach), min(self._posteriors.frames, span.end + reach)
        window = slice(low, high + 1)
        after = self._onwards[at + 1][window]
        start = self._until[at][window]
        sums = self._sums[window]  # (frames + 1, phones, states)
        ends = self._pass(start[None, :], [sums[:, :, s].T for s in range(sums.shape[2])], window)
        totals: Floats = (ends + after).max(axis=1)
        own = self._posteriors.index[span.label]
        canonical = float(totals[own])
        totals[own] = -np.inf
        if self._posteriors.blank:  # CTC takes two equal phones in a row for one: that is leaving this one out
            totals[[self._posteriors.index[near.label] for near in self._neighbours(at)]] = -np.inf
        best = int(totals.argmax())
        deleted = float((start + after).max())
        if deleted > totals[best]:
            return canonical - deleted, DELETED
        return canonical - float(totals[best]), self._posteriors.phones[best]

    def _neighbours(self, at: int) -> list[Span]:
        before = [span for span in self._spans[:at] if span.word >= 0][-1:]
        return before + [span for span in self._spans[at + 1 :] if span.word >= 0][:1]

    def _pass(self, start: Floats, states: Sequence[Floats], window: slice) -> Floats:
        """Scores at the end of an element for each time, given those at its start; the last axis is time."""
        score = start
        for sums in states:
            score = _through(score, sums)
        if self._posteriors.blank:
            score = np.maximum(score, _through(score, self._rest[None, window]))
        return score

    def _walk(self) -> list[Floats]:
        frames = self._posteriors.frames
        first = np.full(frames + 1, -np.inf)
        first[0] = 0.0
        found = [first]
        for span in self._spans:
            found.append(self._element(span, found[-1]))
        return found

    def _element(self, span: Span, start: Floats) -> Floats:
        everything = slice(None)
        if span.word >= 0:
            own = self._sums[:, self._posteriors.index[span.label]]
            states = [own[None, :, s] for s in range(own.shape[1])]
            passed: Floats = self._pass(start[None, :], states, everything)[0]
            return passed
        # A rest may vanish: a neighbour that was a pause in the alignment may be part of a substitute.
        sums = self._rest if span.word == -1 else self._best
        passed = np.maximum(start, _through(start, sums))
        return passed

    def _walk_back(self) -> list[Floats]:
        """The same from the end: time and states run backwards."""
        frames = self._posteriors.frames
        last = np.full(frames + 1, -np.inf)
        last[-1] = 0.0
        found = [last]
        for span in reversed(self._spans):
            found.append(self._element_back(span, found[-1]))
        return found[::-1]

    def _element_back(self, span: Span, end: Floats) -> Floats:
        if span.word < 0:
            sums = self._rest if span.word == -1 else self._best
            return np.maximum(end, _back_through(end, sums))
        score = end
        if self._posteriors.blank:
            score = np.maximum(score, _back_through(score, self._rest))
        own = self._sums[:, self._posteriors.index[span.label]]
        for state in reversed(range(own.shape[1])):
            score = _back_through(score, own[:, state])
        return score


def _sums(scores: Floats) -> Floats:
    """Running sums over time with a zero before the first frame."""
    return np.concatenate([np.zeros_like(scores[:1]), np.cumsum(scores, axis=0)])


def _through(start: Floats, sums: Floats) -> Floats:
    """One state of at least one frame: the best `start[s] + scores of frames s to t-1` for each t, s < t."""
    best = np.maximum.accumulate(start - sums, axis=-1)
    end = np.full(np.broadcast_shapes(start.shape, sums.shape), -np.inf)
    end[..., 1:] = (best + np.zeros_like(sums))[..., :-1] + sums[..., 1:]
    return end


def _back_through(end: Floats, sums: Floats) -> Floats:
    """The best `scores of frames t to e-1 + end[e]` for each t, e > t."""
    best = np.maximum.accumulate((end + sums)[::-1])[::-1]
    start = np.full(end.shape, -np.inf)
    start[:-1] = best[1:] - sums[:-1]
    return start
