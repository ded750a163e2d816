"""Speech to IPA: POWSM where the worker has it, else pocketsphinx's phones (English)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import audio, phone_loop
from .arpabet import IPA
from .assess import Wish, assess
from .backends import Backends, model_folder
from .errors import InputError, UnsupportedText
from .gop import DELETED
from .posteriors import Scorer

#: Below this accuracy a phone is written as what it sounds like.
_HEARD_OTHERWISE = 40.0
METHODS = ("auto", "powsm", "phone-loop", "aligned")


def transcribe(backends: Backends, path: Path, text: str | None, language: str, method: str) -> dict[str, Any]:
    """The answer for audio alone (what was said) or with its text (how this speaker said it). Raises SpeechError."""
    if method not in METHODS:
        raise InputError(f'The method "{method}" takes no audio; with audio choose {", ".join(METHODS)}.')
    recording = audio.load(path)
    if method == "auto":
        neural = model_folder("powsm") is not None
        method = "powsm" if neural else "aligned" if text is not None else "phone-loop"
    if method == "powsm":
        body = _by_powsm(backends, recording, text, language)
    elif method == "aligned":
        body = _aligned(backends, recording, text, language)
    else:
        body = _by_loop(backends, recording, text, language)
    warnings = list(recording.warnings) + body.pop("warnings", [])
    return body | ({"warnings": warnings} if warnings else {})


def _by_powsm(backends: Backends, recording: audio.Recording, text: str | None, language: str) -> dict[str, Any]:
    powsm = backends.powsm()
    if text is None:
        method, phones = "powsm <pr>", powsm.heard_phones(recording.samples, language)
    else:
        method, phones = "powsm <g2p>", powsm.heard_as(recording.samples, text, language)
    if not phones:
        raise InputError("No phone was heard in the audio.")
    return {"method": method, "engine": powsm.name, "language": language, "ipa": "".join(phones), "phones": phones}


def _by_loop(backends: Backends, recording: audio.Recording, text: str | None, language: str) -> dict[str, Any]:
    if text is not None:
        raise InputError('The method "phone-loop" takes no text; use "aligned" or "powsm", or leave the text out.')
    scorer = _english(backends, language)
    posteriors = scorer.score(recording.samples, language)
    spans = [span for span in phone_loop.recognise(posteriors) if span.word >= 0]
    if not spans:
        raise InputError("No phone was heard in the audio.")
    phones = [
        {"phone": IPA[span.label], "start_s": round(span.start * posteriors.frame_s, 3),
         "end_s": round(span.end * posteriors.frame_s, 3)}
        for span in spans
    ]  # fmt: skip
    ipa = "".join(str(phone["phone"]) for phone in phones)
    return {"method": "phone-loop", "engine": scorer.name, "language": language, "ipa": ipa, "phones": phones}


def _aligned(backends: Backends, recording: audio.Recording, text: str | None, language: str) -> dict[str, Any]:
    """The dictionary's phones where they were spoken, and what was heard instead where they were not."""
    if text is None:
        raise InputError('The method "aligned" needs the text that was spoken.')
    scorer = _english(backends, language)
    words = backends.words(text, language, scorer, {})
    found = assess(recording, words, scorer, Wish(miscue=True, candidates=1), language)
    if not found.matches:
        raise InputError("The text does not match the audio; send the audio alone to hear what was said.")
    phones = []
    for word in found.words:
        for phone in word.phones:
            other = phone.accuracy < _HEARD_OTHERWISE and phone.score.substitution_gop < 0
            label = phone.score.alternative if other else phone.label
            if label == DELETED:
                continue
            phones.append({"phone": IPA[label], "start_s": round(phone.start_s, 3), "end_s": round(phone.end_s, 3),
                           "word": word.text} | ({"expected": IPA[phone.label]} if other else {}))  # fmt: skip
    ipa = " ".join(
        "".join(str(phone["phone"]) for phone in phones if phone["word"] == word.text and _within(phone, word))
        for word in found.words if word.phones
    )  # fmt: skip
    return {"method": "aligned", "engine": scorer.name, "language": language, "text": text, "ipa": ipa,
            "phones": phones}  # fmt: skip


def _within(phone: dict[str, Any], word: Any) -> bool:
    return bool(word.start_s - 0.001 <= phone["start_s"] < word.end_s)


def _english(backends: Backends, language: str) -> Scorer:
    if language.split("-", 1)[0] != "en":
        raise UnsupportedText(
            f'Without POWSM this worker hears English only, not "{language}"; set POWSM_MODEL to the model\'s folder.'
        )
    return backends.scorer("sphinx", language)
