"""Pauses, breaks in the wrong place, and fluency: exact times, and a stated model of what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .align import Span
from .graph import REST
from .lexicon import Word

if TYPE_CHECKING:
    from .assess import SpokenWord

UNEXPECTED, MISSING = "UnexpectedBreak", "MissingBreak"
#: A pause is heard as one from here on; shorter silence belongs to the sounds around it.
_PAUSE_S = 0.15
_UNEXPECTED_S = 0.4
_MISSING_S = 0.04
#: Phones per second of native reading: slower and faster than this costs points.
_SLOW, _FAST = 8.0, 17.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence between words, in seconds."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class BreakError:
    """A pause where none belongs, or none where punctuation asks for one. `confidence` is 0 to 1."""

    kind: str
    confidence: float
    length_s: float


def pauses(spans: Sequence[Span], frame_s: float) -> list[Pause]:
    """The pauses between the first and the last word."""
    spoken = [at for at, span in enumerate(spans) if span.word >= 0]
    if not spoken:
        return []
    inner = spans[spoken[0] : spoken[-1]]
    found = [Pause(span.start * frame_s, span.end * frame_s) for span in inner if span.word == REST]
    return [pause for pause in found if pause.length_s >= _PAUSE_S]


def judge_breaks(spoken: Sequence[SpokenWord], words: Sequence[Word]) -> list[tuple[tuple[BreakError, ...], float]]:
    """For each spoken word the errors of the break before it, and the length of that break in seconds."""
    result: list[tuple[tuple[BreakError, ...], float]] = []
    for at, word in enumerate(spoken):
        if at == 0:
            result.append(((), 0.0))
            continue
        gap_s = max(0.0, word.start_s - spoken[at - 1].end_s)
        errors: tuple[BreakError, ...] = ()
        if not words[at - 1].pause and gap_s >= _UNEXPECTED_S:
            errors = (BreakError(UNEXPECTED, min(1.0, gap_s / (2 * _UNEXPECTED_S)), gap_s),)
        elif words[at - 1].pause and gap_s <= _MISSING_S:
            errors = (BreakError(MISSING, 1.0 - gap_s / (2 * _MISSING_S), gap_s),)
        result.append((errors, gap_s))
    return result


def fluency_score(spoken: Sequence[SpokenWord], silent: Sequence[Pause]) -> float:
    """100 less what pauses and an unusual pace cost; 0 when nothing was said.

    A stated model, not one learnt from raters: half a point for each per cent of pause time over 15, four for each
    pause of more than a second, and up to 50 in proportion to how far the phones per second of speech lie outside
    8 to 17.
    """
    if not spoken:
        return 0.0
    total_s = spoken[-1].end_s - spoken[0].start_s
    paused_s = sum(pause.length_s for pause in silent)
    phones = sum(len(word.phones) for word in spoken)
    rate = phones / max(total_s - paused_s, 0.05)
    pace = max(0.0, (_SLOW - rate) / _SLOW, (rate - _FAST) / _FAST)
    long_pauses = sum(pause.length_s > 1.0 for pause in silent)
    share = paused_s / max(total_s, 0.05)
    return max(0.0, 100.0 - 50.0 * max(0.0, share - 0.15) - 4.0 * long_pauses - 50.0 * min(1.0, pace))
