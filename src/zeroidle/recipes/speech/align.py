"""Viterbi alignment of a reference text with log-posteriors: which frames belong to which phone, pause or extra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .graph import FILLER, REST, Graph, Miscue, compile_graph, emissions
from .posteriors import Floats, Posteriors

_NEVER = -np.inf
#: How long a word's last phone is taken to sound on into CTC's blanks; what follows is a pause.
_TAIL_S = 0.06
_SELF, _CHAIN, _SKIP, _ENTER = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of frames, the end exclusive. `word` is a position in the text, or REST or FILLER; a phone's `phone`
    is its position in the pronunciation; `junction` is the word that a rest or filler stands before. The frames up
    to `heard` are evidence for the phone, those after it are CTC's blanks."""

    start: int
    end: int
    word: int
    phone: int = -1
    label: str = ""
    junction: int = -1
    heard: int = -1

    @property
    def evidence(self) -> slice:
        """The frames that tell how the phone was spoken."""
        return slice(self.start, self.end if self.heard < 0 else self.heard)


@dataclass(frozen=True, slots=True)
class Alignment:
    """What was found: spans in order of time, the variant of each word (None: left out), and the total score."""

    spans: tuple[Span, ...]
    variants: tuple[int | None, ...]
    score: float

    def phones(self) -> list[Span]:
        """The spans of phones."""
        return [span for span in self.spans if span.word >= 0]


def align(words: Sequence[Sequence[Sequence[str]]], posteriors: Posteriors, miscue: Miscue | None = None) -> Alignment:
    """The best way to speak these words (each a list of variants of phones) over all frames.

    With `miscue` words may be left out and other speech may stand between them. Raises InputError when the audio is
    too short for the words.
    """
    graph = compile_graph(words, posteriors, miscue)
    rows = emissions(posteriors, miscue)
    trellis = _forward(graph, rows)
    if trellis.score == _NEVER:
        needed = sum(min(map(len, variants)) for variants in words) * posteriors.scores.shape[2] * posteriors.frame_s
        length_s = posteriors.frames * posteriors.frame_s
        raise InputError(
            f"The audio is too short for the text: {length_s:.2f} s of audio, and the {len(words)} words "
            f"take at least {needed:.2f} s; send the recording of the whole text."
        )
    path, omitted = _back(graph, trellis)
    variants: list[int | None] = [None] * len(words)
    for word, variant in {(int(graph.word[n]), int(graph.variant[n])) for n in path if graph.word[n] >= 0}:
        variants[word] = variant
    assert all((variants[word] is None) == (word in omitted) for word in range(len(words)))
    spans = _spans(graph, path, words)
    if posteriors.blank:
        spans = _without_blanks(spans, graph, path, max(1, round(_TAIL_S / posteriors.frame_s)))
    return Alignment(tuple(spans), tuple(variants), float(trellis.score))


@dataclass(frozen=True, slots=True)
class _Trellis:
    steps: NDArray[np.uint8]
    left: NDArray[np.int32]  # (frames, junctions): the state that reached a junction
    origin: NDArray[np.int32]  # (frames + 1, junctions): the junction before the words that were left out
    score: float


def _forward(graph: Graph, rows: Floats) -> _Trellis:
    frames, junctions = len(rows), len(graph.exits)
    steps = np.zeros((frames, graph.states), np.uint8)
    left = np.zeros((frames, junctions), np.int32)
    origin = np.zeros((frames + 1, junctions), np.int32)  # row 0: before the first frame
    chained = np.where(graph.chained, 0.0, _NEVER)
    skips = np.where(graph.skips, 0.0, _NEVER)
    entered = np.where(graph.entry >= 0, -graph.entry_cost, _NEVER)
    entry = np.maximum(graph.entry, 0)
    at_junction = np.full(junctions, _NEVER)
    at_junction[0] = 0.0
    at_junction, origin[0] = _leave_out(graph, at_junction)
    options = np.full((4, graph.states), _NEVER)
    state = np.full(graph.states + 1, _NEVER)  # the last one is the filling of `exits`
    order, every = np.arange(junctions), np.arange(graph.states)
    for t in range(frames):
        options[_SELF] = state[:-1]
        options[_CHAIN, 1:] = state[:-2] + chained[1:]
        options[_SKIP, 2:] = state[:-3] + skips[2:]
        options[_ENTER] = at_junction[entry] + entered
        choice = options.argmax(axis=0)
        steps[t] = choice
        state[:-1] = options[choice, every] + rows[t, graph.column]
        ending = state[graph.exits]
        best = ending.argmax(axis=1)
        left[t] = graph.exits[order, best]
        at_junction, origin[t + 1] = _leave_out(graph, ending[order, best])
    return _Trellis(steps, left, origin, float(at_junction[-1]))


def _leave_out(graph: Graph, at_junction: Floats) -> tuple[Floats, NDArray[np.int64]]:
    order = np.arange(len(at_junction))
    if graph.left_out is None:
        return at_junction, order
    # Leaving out the words from i to j costs left_out[j] - left_out[i], so one running maximum finds the best i.
    whole = at_junction + graph.left_out
    best = np.maximum.accumulate(whole)
    return best - graph.left_out, np.maximum.accumulate(np.where(whole >= best, order, 0))


def _back(graph: Graph, trellis: _Trellis) -> tuple[list[int], set[int]]:
    path: list[int] = []
    omitted: set[int] = set()
    t, junction = len(trellis.steps) - 1, len(graph.exits) - 1
    while True:
        before = int(trellis.origin[t + 1, junction])
        omitted.update(range(before, junction))
        if t < 0:
            break
        state = int(trellis.left[t, before])
        while True:
            path.append(state)
            step = trellis.steps[t, state]
            t -= 1
            if step == _ENTER:
                break
            state -= int(step)
        junction = int(graph.entry[state])
    path.reverse()
    return path, omitted


def _spans(graph: Graph, path: Sequence[int], words: Sequence[Sequence[Sequence[str]]]) -> list[Span]:
    spans: list[Span] = []
    start = 0
    for at in range(1, len(path) + 1):
        if at < len(path) and _same(graph, path[at - 1], path[at]):
            continue
        state = path[start]
        word, variant, phone = int(graph.word[state]), int(graph.variant[state]), int(graph.phone[state])
        if word >= 0:
            spans.append(Span(start, at, word, phone, words[word][variant][phone]))
        else:
            spans.append(Span(start, at, word, junction=variant))
        start = at
    return spans


def _without_blanks(spans: Sequence[Span], graph: Graph, path: Sequence[int], tail: int) -> list[Span]:
    """CTC hears a phone in few frames and says blank until the next one: notes where the evidence ends, and gives
    long blanks after a word back as rest."""
    rest = int(graph.column[graph.word == REST][0])
    found: list[Span] = []
    queue = list(spans)
    while queue:
        span = queue.pop(0)
        if span.word < 0:
            found.append(span)
            continue
        heard = span.end
        while heard > span.start + 1 and graph.column[path[heard - 1]] == rest:
            heard -= 1
        if queue and queue[0].word == span.word:
            found.append(replace(span, heard=heard))
            continue
        # The blanks after a word's last phone may have gone to the phone or to the rest: they sound the same.
        pause_end = queue.pop(0).end if queue and queue[0].word == REST else span.end
        end = min(pause_end, heard + tail)
        found.append(replace(span, end=end, heard=heard))
        if end < pause_end:
            found.append(Span(end, pause_end, REST, junction=span.word + 1))
    return found


def _same(graph: Graph, one: int, other: int) -> bool:
    """Whether two states that follow each other belong to one phone, rest or filler."""
    if graph.word[one] != graph.word[other] or graph.phone[one] != graph.phone[other]:
        return False
    if graph.word[one] in (REST, FILLER):
        return bool(graph.variant[one] == graph.variant[other])
    return other >= one
