"""The arguments of pronunciation assessment as an endpoint, and its answer with the files that were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from zeroidle import Audio, File, Image, progress

from .assess_service import Answer, AssessService, Request
from .errors import SpeechError


class Assessing:
    """Scores how a text was spoken: words, syllables and phones with times, errors and pauses.

    Args:
        audio: The recording (wav, flac, ogg, mp3; webm and m4a where the worker has ffmpeg or PyAV), 0.2 to 120 s.
        text: The text that was to be spoken. Without it the words are recognised first.
        language: A tag such as en-us; the CPU backend knows English only.
        granularity: How far down the scores go.
        miscue: Look for words that were left out or added.
        alphabet: How phones are written.
        nbest: How many candidates per phone, 0 to 10.
        grading: Scores from 0 to 100, or 0 to 5.
        backend: The acoustic model: auto takes a neural one where the worker has it.
        recogniser: What recognises words: auto takes Whisper where the worker has it.
        aligner: Whose times: our own, or MFA's where the worker has it (then without miscue).
        pronunciations: Pronunciations of words of your own, in ARPAbet or IPA.
        html: Also a page with waveform, spectrogram and coloured phones.
        png: The same as a picture.
    """

    def __init__(self) -> None:
        self._service = AssessService()

    def setup(self) -> None:
        """Loads the acoustic model before the first job."""
        self._service.warm()

    def tell(self, event: dict[str, Any]) -> None:
        """Reports a step as the job's progress."""
        progress(event)

    def assess(
        self,
        audio: Audio,
        text: str = "",
        language: str = "en-us",
        granularity: Literal["phoneme", "word", "fulltext"] = "phoneme",
        miscue: bool = True,
        alphabet: Literal["ipa", "arpabet"] = "ipa",
        nbest: int = 5,
        grading: Literal["hundred", "five"] = "hundred",
        backend: Literal["auto", "sphinx", "wav2vec2", "powsm"] = "auto",
        recogniser: Literal["auto", "sphinx", "whisper", "powsm"] = "auto",
        aligner: Literal["own", "mfa"] = "own",
        pronunciations: dict[str, list[str]] | None = None,
        html: bool = False,
        png: bool = False,
    ) -> dict[str, Any]:
        """The answer in Azure's form, or `error` with one sentence."""
        request = Request(
            Path(audio.path), text, language, granularity, miscue, alphabet, nbest, grading == "five", backend,
            recogniser, aligner, pronunciations or {},
        )  # fmt: skip
        try:
            answer = self._service.run(request, self.tell)
            body: dict[str, Any] = answer.body | _reports(answer, html, png)
            return body
        except SpeechError as exc:
            return {"error": exc.message}


def _reports(answer: Answer, html: bool, png: bool) -> dict[str, Any]:
    files: dict[str, Any] = {}
    footer = f"{answer.body['Backend']}, calibration {answer.body['Calibration']}"
    if html:
        from .report import html as page

        warnings = answer.body.get("Warnings", [])
        text = page(answer.assessment, answer.recording.samples, answer.text, answer.form, footer, warnings)
        files["Report"] = File(text.encode(), "text/html", "report.html")
    if png:
        from .picture import png as picture

        drawn = picture(answer.assessment, answer.recording.samples, answer.text, answer.form, footer)
        files["Picture"] = Image(drawn, "image/png", "report.png")
    return files
