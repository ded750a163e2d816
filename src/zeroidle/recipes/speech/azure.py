"""The answer in the form of Azure Pronunciation Assessment, times in its units of 100 nanoseconds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import arpabet
from .assess import INSERTION, OMISSION, Assessment, Phone, SpokenWord
from .audio import Recording

_TICKS_PER_S = 10_000_000


@dataclass(frozen=True, slots=True)
class Form:
    """How the answer is to look. `alphabet` is "ipa" or "arpabet", `of_backend` that of the backend's phones;
    `granularity` "phoneme", "word" or "fulltext"; `five_points` divides every score by 20."""

    alphabet: str = "ipa"
    of_backend: str = "arpabet"
    granularity: str = "phoneme"
    candidates: int = 5
    five_points: bool = False

    def score(self, value: float) -> float:
        """A score as it is shown."""
        return round(value / 20.0, 2) if self.five_points else round(value, 1)

    def phone(self, label: str) -> str:
        """A phone as it is shown."""
        return arpabet.IPA.get(label, label) if (self.alphabet, self.of_backend) == ("ipa", "arpabet") else label


def shape(assessment: Assessment, recording: Recording, text: str, form: Form) -> dict[str, Any]:
    """The answer without what names backend and calibration."""
    best: dict[str, Any] = {
        "Confidence": round(_confidence(assessment), 3),
        "Lexical": " ".join(word.text.lower() for word in assessment.words if word.error != INSERTION),
        "Display": text,
        "PronunciationAssessment": {
            "AccuracyScore": form.score(assessment.accuracy),
            "FluencyScore": form.score(assessment.fluency),
            "CompletenessScore": form.score(assessment.completeness),
            "PronScore": form.score(assessment.overall),
        },
    }
    if form.granularity != "fulltext":
        best["Words"] = [_word(word, form) for word in assessment.words]
    return {
        "Id": os.urandom(16).hex(),
        "RecognitionStatus": "Success" if assessment.matches else "NoMatch",
        "Offset": _ticks(assessment.start_s),
        "Duration": _ticks(assessment.end_s - assessment.start_s),
        "DisplayText": text,
        "SNR": round(recording.snr_db, 1),
        "NBest": [best],
    }


def _confidence(assessment: Assessment) -> float:
    """The mean log-posterior of the phones on a scale from 0 to 1."""
    return float(min(1.0, max(0.0, 1.0 + assessment.match_posterior / 12.0)))


def _word(word: SpokenWord, form: Form) -> dict[str, Any]:
    judged: dict[str, Any] = {"AccuracyScore": form.score(word.accuracy), "ErrorType": word.error}
    if word.breaks or word.pause_before_s > 0:
        judged["Feedback"] = {"Prosody": {"Break": _break(word)}}
    shaped: dict[str, Any] = {
        "Word": word.text,
        "Offset": _ticks(word.start_s),
        "Duration": _ticks(word.end_s - word.start_s),
        "PronunciationAssessment": judged,
    }
    if word.source:
        shaped["PronunciationSource"] = word.source
    if word.error in (OMISSION, INSERTION) or form.granularity == "word":
        return shaped
    if syllables := _syllables(word.phones, form):
        shaped["Syllables"] = syllables
    shaped["Phonemes"] = [_phone(phone, form) for phone in word.phones]
    return shaped


def _break(word: SpokenWord) -> dict[str, Any]:
    shaped: dict[str, Any] = {
        "ErrorTypes": [error.kind for error in word.breaks] or ["None"],
        "BreakLength": _ticks(word.pause_before_s),
    }
    for error in word.breaks:
        shaped[error.kind] = {"Confidence": round(error.confidence, 2)}
    return shaped


def _syllables(phones: Sequence[Phone], form: Form) -> list[dict[str, Any]]:
    if form.of_backend != "arpabet":
        return []
    labels = [phone.label for phone in phones]
    shaped = []
    for start, end in arpabet.syllables(labels):
        part = phones[start:end]
        shaped.append(
            {
                "Syllable": ("" if form.alphabet == "ipa" else " ").join(form.phone(phone.label) for phone in part),
                "Offset": _ticks(part[0].start_s),
                "Duration": _ticks(part[-1].end_s - part[0].start_s),
                "PronunciationAssessment": {
                    "AccuracyScore": form.score(sum(phone.accuracy for phone in part) / len(part))
                },
            }
        )
    return shaped


def _phone(phone: Phone, form: Form) -> dict[str, Any]:
    judged: dict[str, Any] = {"AccuracyScore": form.score(phone.accuracy)}
    if form.candidates:
        judged["NBestPhonemes"] = [
            {"Phoneme": form.phone(label), "Score": form.score(score)}
            for label, score in phone.candidates[: form.candidates]
        ]
    if phone.score.substitution_gop < 0:
        # Not in Azure's form: the phone (or "" for none) with which the sounds around fit better.
        judged["SoundsLike"] = form.phone(phone.score.alternative)
    return {
        "Phoneme": form.phone(phone.label),
        "Offset": _ticks(phone.start_s),
        "Duration": _ticks(phone.end_s - phone.start_s),
        "PronunciationAssessment": judged,
    }


def _ticks(seconds: float) -> int:
    return round(seconds * _TICKS_PER_S)
