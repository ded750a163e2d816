"""The pronunciation-assessment service: from a recording and a text to the answer, its report and its picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import audio, azure
from .align import Alignment
from .assess import Assessment, Wish, assess, samples_between
from .audio import Recording
from .backends import Backends
from .calibration import CALIBRATIONS
from .errors import InputError
from .external_aligner import ExternalAligner, alignment_of
from .lexicon import Word
from .posteriors import Posteriors, Scorer

MAX_TEXT_CHARS = 2_000
MAX_CANDIDATES = 10
Progress = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, slots=True)
class Request:
    """What one job asks for, see the recipe's README."""

    audio: Path
    text: str = ""
    language: str = "en-us"
    granularity: str = "phoneme"
    miscue: bool = True
    alphabet: str = "ipa"
    candidates: int = 5
    five_points: bool = False
    backend: str = "auto"
    recogniser: str = "auto"
    aligner: str = "own"
    pronunciations: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out: the answer in Azure's form, and what the report is drawn from."""

    body: dict[str, Any]
    assessment: Assessment
    recording: Recording
    text: str
    form: azure.Form


class AssessService:
    """Answers jobs of the pronunciation-assessment endpoint. Not for several threads at once."""

    def __init__(self, backends: Backends | None = None) -> None:
        self._backends = backends or Backends()

    def warm(self) -> None:
        """Loads the default backend, so that the first job does not wait for it."""
        self._backends.scorer("auto", "en-us")

    def run(self, request: Request, progress: Progress = lambda event: None) -> Answer:
        """One assessment. `progress` hears the steps: heard, transcribed, aligned, scored. Raises SpeechError."""
        _check(request)
        recording = audio.load(request.audio)
        progress({"step": "heard", "seconds": round(recording.duration_s, 2), "snr_db": round(recording.snr_db, 1)})
        scorer = self._backends.scorer(request.backend, request.language)
        text, recognised_by = request.text, None
        if not text.strip():
            text, recognised_by = self._transcribe(request, recording)
        words = self._backends.words(text, request.language, scorer, request.pronunciations)
        progress({"step": "transcribed", "text": text, "recognised_by": recognised_by, "words": len(words)})
        wish = Wish(miscue=request.miscue and recognised_by is None, candidates=max(request.candidates, 1))
        aligner = self._backends.aligner(request.aligner)
        result = assess(
            recording, words, scorer, wish, request.language,
            alignment=_by(aligner, recording, words, scorer) if aligner else None,
            name_words=lambda *piece: self._name(request, *piece), step=lambda name: progress({"step": name}),
        )  # fmt: skip
        form = azure.Form(
            request.alphabet, scorer.alphabet, request.granularity, request.candidates, request.five_points
        )
        body = azure.shape(result, recording, text, form) | self._provenance(scorer, recognised_by, result, recording)
        if aligner is not None:
            body["Aligner"] = aligner.name
        return Answer(body, result, recording, text, form)

    def _provenance(
        self, scorer: Any, recognised_by: str | None, result: Assessment, recording: Recording
    ) -> dict[str, Any]:
        warnings = list(recording.warnings)
        if not result.matches:
            warnings.insert(0, "The text does not match the audio: another text was spoken, or it was not understood.")
        note = CALIBRATIONS[scorer.calibration].note
        return {
            "Backend": scorer.name,
            "Calibration": scorer.calibration,
            "CalibrationNote": note,
            "TextMatchesAudio": result.matches,
            **({"RecognisedBy": recognised_by} if recognised_by else {}),
            **({"Warnings": warnings} if warnings else {}),
        }

    def _transcribe(self, request: Request, recording: Recording) -> tuple[str, str]:
        recogniser = self._backends.recogniser(request.recogniser, request.language)
        heard = recogniser.words(recording.samples, request.language)
        text = " ".join(word.text for word in heard).strip()
        if not text:
            raise InputError("No word was recognised in the audio; send the text that was to be spoken.")
        return text, recogniser.name

    def _name(self, request: Request, recording: Recording, start_s: float, end_s: float) -> str:
        """Which words an insertion is; unknown where no recogniser knows the language."""
        if request.language.split("-", 1)[0] != "en" or end_s - start_s < 0.15:
            return ""
        piece = samples_between(recording, max(0.0, start_s - 0.1), end_s + 0.1)
        recogniser = self._backends.recogniser(request.recogniser, request.language)
        return " ".join(word.text for word in recogniser.words(piece.samples, request.language))


def _by(
    aligner: ExternalAligner, recording: Recording, words: list[Word], scorer: Scorer
) -> Callable[[Posteriors], Alignment]:
    def align(posteriors: Posteriors) -> Alignment:
        """The other aligner's times."""
        return alignment_of(aligner.align(recording, [word.text for word in words]), posteriors, scorer)

    return align


def _check(request: Request) -> None:
    if len(request.text) > MAX_TEXT_CHARS:
        raise InputError(f"The text has {len(request.text)} characters; at most {MAX_TEXT_CHARS} are taken.")
    if not 0 <= request.candidates <= MAX_CANDIDATES:
        raise InputError(f'"nbest" is {request.candidates}; it must be 0 to {MAX_CANDIDATES}.')
    for value, known, name in (
        (request.granularity, ("phoneme", "word", "fulltext"), "granularity"),
        (request.alphabet, ("ipa", "arpabet"), "alphabet"),
    ):
        if value not in known:
            raise InputError(f'"{name}" is "{value}"; it must be one of {", ".join(known)}.')
