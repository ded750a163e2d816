"""Assesses a recording against its reference text: alignment, scores, errors and pauses, by any acoustic backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .align import Alignment, Span, align
from .audio import RATE_HZ, Recording
from .calibration import CALIBRATIONS, Calibration
from .fluency import BreakError, Pause, fluency_score, judge_breaks, pauses
from .gop import PhoneScore, score_phones
from .graph import FILLER, REST
from .lexicon import Word
from .posteriors import Posteriors, Scorer

#: Log-posterior of silence below which a frame is certainly speech.
_NO_REST = -3.0
OMISSION, INSERTION, MISPRONUNCIATION, NONE = "Omission", "Insertion", "Mispronunciation", "None"


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone as it was spoken; times in seconds, accuracy 0 to 100."""

    label: str
    start_s: float
    end_s: float
    accuracy: float
    score: PhoneScore
    candidates: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word of the text (or an insertion between them) with its phones; an omission has none."""

    text: str
    start_s: float
    end_s: float
    accuracy: float
    error: str
    phones: tuple[Phone, ...] = ()
    source: str = ""
    breaks: tuple[BreakError, ...] = ()
    pause_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """The whole answer before it is put into a form. Scores are 0 to 100."""

    words: tuple[SpokenWord, ...]
    accuracy: float
    fluency: float
    completeness: float
    overall: float
    matches: bool
    match_posterior: float
    start_s: float
    end_s: float
    pauses: tuple[Pause, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asks for: whether omissions and insertions are looked for, and how many candidates per phone."""

    miscue: bool = True
    candidates: int = 5


#: Names an inserted stretch (samples of it) by the words it may be; "" when unknown.
NameWords = Callable[[Recording, float, float], str]


def assess(
    recording: Recording,
    words: Sequence[Word],
    scorer: Scorer,
    wish: Wish = Wish(),
    language: str = "en-us",
    posteriors: Posteriors | None = None,
    alignment: Callable[[Posteriors], Alignment] | None = None,
    name_words: NameWords | None = None,
    step: Callable[[str], object] = lambda name: None,
) -> Assessment:
    """Scores a recording, by our own alignment unless another is given. `step` hears "aligned" and "scored". Raises
    SpeechError."""
    posteriors = posteriors or scorer.score(recording.samples, language)
    calibration = CALIBRATIONS[scorer.calibration]
    variants = [word.variants for word in words]
    if alignment is not None:
        found = alignment(posteriors)
    else:
        found = align(variants, posteriors, calibration.miscue if wish.miscue else None)
    step("aligned")
    scores = score_phones(posteriors, found.spans, wish.candidates)
    matches, match_posterior = _match(found, scores, calibration, posteriors)
    step("scored")
    spoken = _words(words, found, scores, posteriors.frame_s, calibration)
    spoken += _insertions(found, posteriors.frame_s, recording, name_words)
    spoken.sort(key=lambda word: (word.start_s, word.end_s))
    return _whole(spoken, words, found, posteriors.frame_s, (matches, match_posterior))


def _match(
    found: Alignment, scores: list[PhoneScore], calibration: Calibration, posteriors: Posteriors
) -> tuple[bool, float]:
    """Whether this is the text of the recording: its phones fit, they account for most of the speech, and not nearly
    all words were left out. Also the mean log-posterior of the phones."""
    mean = sum(max(score.posterior, -12.0) for score in scores) / len(scores) if scores else -12.0
    said = sum(variant is not None for variant in found.variants)
    if said * 3 <= len(found.variants) or not calibration.matches(scores):
        return False, mean
    spoken = sum(span.end - span.start for span in found.spans if span.word >= 0)
    extra = sum(span.end - span.start for span in found.spans if span.word == FILLER)
    # A wrong text may sit on the part that it fits and call the rest of the speech a pause.
    missed = sum(
        int((posteriors.rest[span.start : span.end] < _NO_REST).sum()) for span in found.spans if span.word == REST
    )
    return extra < 2 * spoken and missed < 0.5 * spoken, mean


def _words(
    words: Sequence[Word], found: Alignment, scores: Sequence[PhoneScore], frame_s: float, calibration: Calibration
) -> list[SpokenWord]:
    phones: dict[int, list[Phone]] = {}
    for span, score in zip(found.phones(), scores, strict=True):
        best = score.candidates[0][1]
        candidates = tuple((label, calibration.candidate(mean, best)) for label, mean in score.candidates)
        times = (span.start * frame_s, span.end * frame_s)
        phone = Phone(span.label, *times, calibration.accuracy(score), score, candidates)
        phones.setdefault(span.word, []).append(phone)
    result = []
    at_s = 0.0
    for number, word in enumerate(words):
        own = phones.get(number)
        if own is None:
            result.append(SpokenWord(word.text, at_s, at_s, 0.0, OMISSION, source=word.source))
            continue
        accuracy = calibration.of_word([phone.accuracy for phone in own])
        error = MISPRONUNCIATION if accuracy < calibration.mispronounced else NONE
        result.append(SpokenWord(word.text, own[0].start_s, own[-1].end_s, accuracy, error, tuple(own), word.source))
        at_s = own[-1].end_s
    return result


def _insertions(
    found: Alignment, frame_s: float, recording: Recording, name_words: NameWords | None
) -> list[SpokenWord]:
    result = []
    for span in found.spans:
        if span.word == FILLER:
            start_s, end_s = span.start * frame_s, span.end * frame_s
            named = name_words(recording, start_s, end_s) if name_words else ""
            result.append(SpokenWord(named, start_s, end_s, 0.0, INSERTION))
    return result


def _whole(
    spoken: list[SpokenWord], words: Sequence[Word], found: Alignment, frame_s: float, match: tuple[bool, float]
) -> Assessment:
    said = [word for word in spoken if word.phones]
    silent = pauses(found.spans, frame_s)
    judged = judge_breaks(said, [word for word, v in zip(words, found.variants, strict=True) if v is not None])
    errors = {id(word): (breaks, pause_s) for word, (breaks, pause_s) in zip(said, judged, strict=True)}
    finished = []
    for word in spoken:
        breaks, pause_s = errors.get(id(word), ((), 0.0))
        error = breaks[0].kind if breaks and word.error == NONE else word.error
        finished.append(replace(word, breaks=breaks, pause_before_s=pause_s, error=error))
    accuracy = sum(word.accuracy for word in said) / len(said) if said else 0.0
    # What was said wrongly throughout was not said: Azure's completeness counts words pronounced.
    complete = 100.0 * sum(word.accuracy >= 20.0 for word in said) / len(words)
    fluency = fluency_score(said, silent) if match[0] else 0.0
    start_s = min((word.start_s for word in said), default=0.0)
    end_s = max((word.end_s for word in said), default=0.0)
    return Assessment(
        tuple(finished), accuracy, fluency, complete, overall(accuracy, fluency, complete), match[0], match[1],
        start_s, end_s, tuple(silent),
    )  # fmt: skip


def overall(accuracy: float, fluency: float, completeness: float) -> float:
    """Azure's PronScore without prosody: six tenths for the lowest of the three, two for each of the others."""
    low, middle, high = sorted((accuracy, fluency, completeness))
    return 0.6 * low + 0.2 * middle + 0.2 * high


def spans_of(words: Sequence[SpokenWord]) -> list[Span]:
    """The phones of words as spans in hundredths of a second, for a picture."""
    return [
        Span(round(phone.start_s * 100), round(phone.end_s * 100), number, at, phone.label)
        for number, word in enumerate(words)
        for at, phone in enumerate(word.phones)
    ]


def samples_between(recording: Recording, start_s: float, end_s: float) -> Recording:
    """A part of a recording."""
    return replace(recording, samples=recording.samples[int(start_s * RATE_HZ) : int(end_s * RATE_HZ)])
