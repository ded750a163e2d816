"""The report as one HTML page: waveform, spectrogram, aligned phones coloured by score, and the words to practise."""

from __future__ import annotations

import base64
import io
import re
import wave
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from .assess import INSERTION, OMISSION, Assessment, Phone, SpokenWord
from .audio import RATE_HZ, Samples
from .azure import Form
from .spectrum import envelope, grey_png, spectrogram

_PX_PER_S = 300
#: How many words the list to practise holds.
_PRACTISE = 8


def colour(score: float) -> str:
    """From red (0) over yellow to green (100), light enough for black text."""
    hue = 120.0 * max(0.0, min(score, 100.0)) / 100.0
    return f"hsl({hue:.0f} 75% 72%)"


@dataclass(frozen=True, slots=True)
class Practice:
    """A word to practise and what was wrong with it, in one sentence."""

    word: str
    accuracy: float
    advice: str
    start_s: float
    end_s: float


def practice(assessment: Assessment, form: Form) -> list[Practice]:
    """The words to practise, worst first."""
    found = []
    for word in assessment.words:
        if word.error == OMISSION:
            found.append(Practice(word.text, 0.0, "was left out.", word.start_s, word.end_s))
        elif word.phones and word.error != "None":
            found.append(Practice(word.text, word.accuracy, _advice(word, form), word.start_s, word.end_s))
    return sorted(found, key=lambda item: item.accuracy)[:_PRACTISE]


def _advice(word: SpokenWord, form: Form) -> str:
    said = []
    for phone in sorted(word.phones, key=lambda phone: phone.accuracy)[:3]:
        if phone.accuracy >= 60.0:
            continue
        label = form.phone(phone.label)
        if phone.score.substitution_gop >= 0:
            said.append(f"/{label}/ is unclear")
        elif phone.score.alternative:
            said.append(f"/{label}/ sounds like /{form.phone(phone.score.alternative)}/")
        else:
            said.append(f"/{label}/ is hardly there")
    said += [f"there is a pause of {error.length_s:.1f} s before it" for error in word.breaks
             if error.kind == "UnexpectedBreak"]  # fmt: skip
    said += ["the pause before it is missing" for error in word.breaks if error.kind == "MissingBreak"]
    return "; ".join(said) + "." if said else "is not quite right."


def html(assessment: Assessment, samples: Samples, text: str, form: Form, footer: str, warnings: list[str]) -> str:
    """The page. It loads nothing from anywhere."""
    duration_s = len(samples) / RATE_HZ
    columns = min(2_400, max(400, round(duration_s * _PX_PER_S)))
    parts = {
        "title": escape(text[:60]) or "Pronunciation",
        "text": escape(text),
        "warnings": "".join(f"<p class=warning>{escape(warning)}</p>" for warning in warnings),
        "scores": "".join(_gauge(*item) for item in _totals(assessment)),
        "width": str(max(760, round(duration_s * _PX_PER_S))),
        "wave": _wave(samples, columns),
        "spectrogram": base64.b64encode(grey_png(spectrogram(samples, columns))).decode(),
        "omitted": _omitted(assessment, duration_s),
        "words": "".join(_word_box(word, duration_s) for word in assessment.words if word.error != OMISSION),
        "phones": "".join(
            _phone_box(phone, word, duration_s, form) for word in assessment.words for phone in word.phones
        ),
        "axis": _axis(duration_s),
        "practice": _practice_list(practice(assessment, form)),
        "audio": base64.b64encode(_wav(samples)).decode(),
        "footer": escape(footer),
    }
    page = (Path(__file__).parent / "report.html").read_text(encoding="utf-8")
    # In one pass: a text that holds {{audio}} is shown as it was written.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place.group(1)], page)


def _totals(assessment: Assessment) -> list[tuple[str, float]]:
    return [("Overall", assessment.overall), ("Accuracy", assessment.accuracy), ("Fluency", assessment.fluency),
            ("Completeness", assessment.completeness)]  # fmt: skip


def _gauge(name: str, score: float) -> str:
    return f'<div class=gauge style="background:{colour(score)}"><b>{score:.0f}</b>{name}</div>'


def _place(start_s: float, end_s: float, duration_s: float) -> str:
    return f"left:{100 * start_s / duration_s:.3f}%;width:{100 * (end_s - start_s) / duration_s:.3f}%"


def _times(start_s: float, end_s: float) -> str:
    return f'data-from="{start_s:.2f}" data-to="{end_s:.2f}"'


def _omitted(assessment: Assessment, duration_s: float) -> str:
    """A row of the words that were left out, each where it belongs; nothing when there are none."""
    gone: dict[float, list[str]] = {}
    for word in assessment.words:
        if word.error == OMISSION:
            gone.setdefault(100 * word.start_s / duration_s, []).append(escape(word.text))
    boxes = "".join(
        f'<div class="word omitted" style="left:{left:.3f}%" title="left out">{" ".join(texts)}</div>'
        for left, texts in gone.items()
    )
    return f'<div class="row gone">{boxes}</div>' if boxes else ""


def _word_box(word: SpokenWord, duration_s: float) -> str:
    label = escape(word.text or "?")
    shade = "#ccc" if word.error == INSERTION else colour(word.accuracy)
    what = "not in the text" if word.error == INSERTION else f"{word.accuracy:.0f}, {word.error}"
    return (
        f'<div class=word tabindex=0 role=button {_times(word.start_s, word.end_s)} title="{label}: {what}" '
        f'style="{_place(word.start_s, word.end_s, duration_s)};background:{shade}">{label}</div>'
    )


def _phone_box(phone: Phone, word: SpokenWord, duration_s: float, form: Form) -> str:
    label = escape(form.phone(phone.label))
    nearest = ", ".join(f"{form.phone(name)} {score:.0f}" for name, score in phone.candidates[:4])
    return (
        f"<div class=phone tabindex=0 role=button {_times(phone.start_s, phone.end_s)} "
        f'title="/{label}/ in {escape(word.text)}: {phone.accuracy:.0f}&#10;fits: {escape(nearest)}" '
        f'style="{_place(phone.start_s, phone.end_s, duration_s)};background:{colour(phone.accuracy)}">{label}'
        f"<small>{phone.accuracy:.0f}</small></div>"
    )


def _wave(samples: Samples, columns: int) -> str:
    low, high = envelope(samples, columns)
    points = [f"{x},{50 - 48 * y:.1f}" for x, y in enumerate(high)]
    points += [f"{x},{50 - 48 * y:.1f}" for x, y in reversed(list(enumerate(low)))]
    return (
        f'<svg viewBox="0 0 {len(low)} 100" preserveAspectRatio="none" role="img" aria-label="Waveform">'
        f'<polygon points="{" ".join(points)}"/></svg>'
    )


def _axis(duration_s: float) -> str:
    step_s = 0.5 if duration_s <= 10 else 2.0
    marks = [at * step_s for at in range(int(duration_s / step_s) + 1)]
    return "".join(f'<span style="left:{100 * at / duration_s:.2f}%">{at:g} s</span>' for at in marks)


def _practice_list(items: list[Practice]) -> str:
    if not items:
        return "<p>Nothing stands out. Well done.</p>"
    lines = "".join(
        f'<li><button {_times(item.start_s, item.end_s)} style="background:{colour(item.accuracy)}">'
        f"{escape(item.word)}</button> {escape(item.advice)}</li>"
        for item in items
    )
    return f"<ol>{lines}</ol>"


def _wav(samples: Samples) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
    return buffer.getvalue()
