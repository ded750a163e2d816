"""The same report as a picture: waveform, spectrogram, and phones coloured by score."""

from __future__ import annotations

import io
from typing import Any

from .assess import INSERTION, OMISSION, Assessment
from .audio import RATE_HZ, Samples
from .azure import Form
from .errors import MissingProgram
from .spectrum import envelope, spectrogram


def png(assessment: Assessment, samples: Samples, text: str, form: Form, footer: str) -> bytes:
    """A PNG, at least 1,200 pixels wide. Raises MissingProgram without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingProgram('A picture needs the package "matplotlib": run "pip install matplotlib".') from exc
    duration_s = len(samples) / RATE_HZ
    # Not pyplot: it keeps figures for ever and is not safe in threads.
    figure = Figure(figsize=(min(40.0, max(12.0, duration_s * 2.4)), 6.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    wave, image, boxes = figure.subplots(3, 1, sharex=True, height_ratios=[2, 4, 2])
    columns = 1_600
    low, high = envelope(samples, columns)
    times = [duration_s * at / len(low) for at in range(len(low))]
    wave.fill_between(times, low, high, color="#334466")
    wave.set_yticks([])
    wave.set_title(_title(assessment, text), loc="left", fontsize=11, parse_math=False)
    image.imshow(spectrogram(samples, columns), origin="lower", aspect="auto", cmap="Greys",
                 extent=(0.0, duration_s, 0.0, 8.0))  # fmt: skip
    image.set_ylabel("kHz")
    _boxes(boxes, assessment, form)
    boxes.set_xlim(0.0, duration_s)
    boxes.set_xlabel(f"seconds        {footer}", fontsize=8)
    _lines(assessment, (wave, image))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _title(assessment: Assessment, text: str) -> str:
    scores = (
        f"overall {assessment.overall:.0f}, accuracy {assessment.accuracy:.0f}, fluency {assessment.fluency:.0f}, "
        f"completeness {assessment.completeness:.0f}"
    )
    shown = text if len(text) <= 110 else text[:107] + "..."
    return f"“{shown}”: {scores}" if assessment.matches else f"“{shown}” does not match the audio"


def _boxes(axes: Any, assessment: Assessment, form: Form) -> None:
    axes.set_ylim(0.0, 2.0)
    axes.set_yticks([0.5, 1.5], ["phones", "words"])
    for word in assessment.words:
        if word.error == OMISSION:
            axes.text(word.start_s, 1.05, word.text, color="#bb0000", fontsize=8, rotation=90, va="bottom", ha="center",
                      parse_math=False)  # fmt: skip
            continue
        shade = "#cccccc" if word.error == INSERTION else _shade(word.accuracy)
        _box(axes, word.start_s, word.end_s, 1.0, shade, word.text or "?", 9)
        for phone in word.phones:
            label = f"{form.phone(phone.label)}\n{phone.accuracy:.0f}"
            _box(axes, phone.start_s, phone.end_s, 0.0, _shade(phone.accuracy), label, 8)


def _box(axes: Any, start_s: float, end_s: float, bottom: float, shade: Any, label: str, size: int) -> None:
    axes.add_patch(_rectangle(start_s, end_s, bottom, shade))
    axes.text((start_s + end_s) / 2, bottom + 0.5, label, ha="center", va="center", fontsize=size, clip_on=True,
              parse_math=False)  # fmt: skip


def _rectangle(start_s: float, end_s: float, bottom: float, shade: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((start_s, bottom), end_s - start_s, 1.0, facecolor=shade, edgecolor="white", linewidth=1.0)


def _lines(assessment: Assessment, panels: tuple[Any, ...]) -> None:
    for word in assessment.words:
        for edge in (word.start_s, word.end_s) if word.phones else ():
            for axes in panels:
                axes.axvline(edge, color="#d08000", linewidth=0.7)


def _shade(score: float) -> tuple[float, float, float]:
    """The colour of the HTML page: red over yellow to green, light."""
    import colorsys

    return colorsys.hls_to_rgb(max(0.0, min(score, 100.0)) / 300.0, 0.72, 0.75)
