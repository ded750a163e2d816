"""The states through which a reference text may be spoken: words in order, variants, pauses, and what a learner does
besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import UnsupportedText
from .posteriors import Floats, Posteriors

Ints = NDArray[np.int64]

#: What a state stands for when it belongs to no word.
REST, FILLER = -1, -2
#: Shortest extra speech between words, in states of one frame each.
_FILLER_STATES = 8


@dataclass(frozen=True, slots=True)
class Miscue:
    """How dear it is, in nats, to leave a word out (for each of its phones) and to say more than the text (to begin,
    and for each frame)."""

    omit_per_phone: float = 14.0
    insert: float = 25.0
    insert_per_frame: float = 1.0


@dataclass(frozen=True, slots=True)
class Graph:
    """Emitting states in an array, entered and left at junctions; junction j stands before word j.

    State n may follow itself, n-1 where `chained`, n-2 where `skips`, and the junction `entry[n]` (-1: none).
    `exits[j]` lists the states that end at junction j, filled up with the number of states. `column` is the place of
    a state's score in a row of `emissions`. `left_out[j]` is what it costs to leave out all words before j.
    """

    column: Ints
    chained: NDArray[np.bool_]
    skips: NDArray[np.bool_]
    entry: Ints
    exits: Ints
    word: Ints
    variant: Ints
    phone: Ints
    left_out: Floats | None
    entry_cost: Floats

    @property
    def states(self) -> int:
        """How many emitting states there are."""
        return len(self.column)


def emissions(posteriors: Posteriors, miscue: Miscue | None) -> Floats:
    """One row per frame: every state of every phone, then rest, then filler."""
    rows = posteriors.scores.reshape(posteriors.frames, -1)
    price = miscue.insert_per_frame if miscue else 0.0
    filler = np.maximum(posteriors.of_phones().max(axis=1), posteriors.rest) - price
    return np.concatenate([rows, posteriors.rest[:, None], filler[:, None]], axis=1)


def compile_graph(
    words: Sequence[Sequence[Sequence[str]]], posteriors: Posteriors, miscue: Miscue | None = None
) -> Graph:
    """The graph for words that are lists of variants, which are lists of phones."""
    builder = _Builder(posteriors, len(words))
    for junction in range(len(words) + 1):
        builder.rest(junction)
        if miscue is not None:
            builder.filler(junction, miscue.insert)
    for at, variants in enumerate(words):
        for number, phones in enumerate(variants):
            builder.pronunciation(at, number, phones)
    left_out = None
    if miscue is not None:
        price = [miscue.omit_per_phone * min(len(variant) for variant in variants) for variants in words]
        left_out = np.concatenate([[0.0], np.cumsum(price)])
    return builder.done(left_out)


class _Builder:
    def __init__(self, posteriors: Posteriors, words: int) -> None:
        self._posteriors = posteriors
        self._states: list[tuple[int, bool, bool, int, int, int, int, float]] = []
        self._exits: list[list[int]] = [[] for _ in range(words + 1)]
        self._rest_column = posteriors.scores.shape[1] * posteriors.scores.shape[2]

    def rest(self, junction: int) -> None:
        """Silence before a word, or after the last."""
        self._exits[junction].append(len(self._states))
        self._add(self._rest_column, entry=junction, word=REST, variant=junction)

    def filler(self, junction: int, price: float) -> None:
        """Any speech before a word, or after the last, of at least so many frames."""
        for number in range(_FILLER_STATES):
            first = number == 0
            self._add(self._rest_column + 1, chained=not first, entry=junction if first else -1, word=FILLER,
                      variant=junction, cost=price if first else 0.0)  # fmt: skip
        self._exits[junction].append(len(self._states) - 1)

    def pronunciation(self, word: int, variant: int, phones: Sequence[str]) -> None:
        """One way to say a word."""
        states = self._posteriors.scores.shape[2]
        before: str | None = None
        for at, phone in enumerate(phones):
            index = self._posteriors.index.get(phone)
            if index is None:
                raise UnsupportedText(f'The acoustic model has no phone "{phone}".')
            for state in range(states):
                first = at == 0 and state == 0
                # A blank may be passed over, but not between two equal phones: CTC would take them for one.
                skips = self._posteriors.blank and at > 0 and before != phone
                self._add(index * states + state, chained=not first, skips=skips, entry=word if first else -1,
                          word=word, variant=variant, phone=at)  # fmt: skip
            if self._posteriors.blank:
                self._add(self._rest_column, chained=True, word=word, variant=variant, phone=at)
            before = phone
        self._exits[word + 1].append(len(self._states) - 1)
        if self._posteriors.blank:
            self._exits[word + 1].append(len(self._states) - 2)

    def _add(
        self, column: int, *, chained: bool = False, skips: bool = False, entry: int = -1, word: int, variant: int,
        phone: int = -1, cost: float = 0.0,
    ) -> None:  # fmt: skip
        self._states.append((column, chained, skips, entry, word, variant, phone, cost))

    def done(self, left_out: Floats | None) -> Graph:
        """The states as arrays."""
        column, chained, skips, entry, word, variant, phone, cost = (
            np.array(values) for values in zip(*self._states, strict=True)
        )
        width = max(map(len, self._exits))
        exits = np.array([row + [len(self._states)] * (width - len(row)) for row in self._exits])
        return Graph(column, chained, skips, entry, exits, word, variant, phone, left_out, cost)
