"""An aligner in an environment of its own, such as MFA's: a long-lived program that is asked by lines of JSON.

A request is `{"audio": PATH, "words": [...]}`, its answer `{"words": [{"word", "phones": [[PHONE, START_S, END_S]]}]}`
or `{"error": SENTENCE}`. The program first says `{"ready": NAME}`.
"""

from __future__ import annotations

import json
import select
import shlex
import subprocess
import tempfile
import threading
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .align import Alignment, Span
from .arpabet import PHONES, from_ipa
from .audio import RATE_HZ, Recording
from .errors import EngineError, InputError, UnsupportedText
from .graph import REST
from .phonemic import segment
from .posteriors import Posteriors, Scorer

#: How long a program may take to end when its input has ended.
_LEAVE_S = 3.0
_SILENCES = frozenset(("", "sil", "sp", "spn", "<eps>", "SIL"))


class ExternalAligner:
    """Keeps the program running and gives it one recording at a time."""

    def __init__(self, command: str, start_s: float = 120.0, answer_s: float = 60.0) -> None:
        self._command = shlex.split(command)
        self._start_s, self._answer_s = start_s, answer_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        self.name = ""

    def close(self, leave_s: float = _LEAVE_S) -> None:
        """Ends the program: first by ending its input, so that it can clear away what it has unpacked."""
        if self._process is None:
            return
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(leave_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process = None

    def align(self, recording: Recording, words: Sequence[str]) -> list[list[tuple[str, float, float]]]:
        """For each word its phones with start and end in seconds. Raises EngineError or InputError."""
        with self._lock, tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "recording.wav"
            _write(path, recording)
            if self._process is None or self._process.poll() is not None:
                self._start()
            answer = self._ask({"audio": str(path), "words": list(words)})
        if "error" in answer:
            raise InputError(f"{self.name} could not align this text with the audio: {answer['error']}")
        found = [
            [(str(phone), float(start_s), float(end_s)) for phone, start_s, end_s in word["phones"]]
            for word in answer["words"]
        ]
        if len(found) != len(words):
            raise EngineError(f"{self.name} answered {len(found)} words for {len(words)}.")
        return found

    def _start(self) -> None:
        self.close()
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0
            )
        except OSError as exc:
            raise EngineError(f"The aligner {self._command[0]} does not start: {exc.strerror}.") from exc
        self.name = str(self._line(self._start_s).get("ready", "aligner"))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError as exc:
            raise EngineError(self._trouble()) from exc
        return self._line(self._answer_s)

    def _line(self, timeout_s: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        deadline, data = time.monotonic() + timeout_s, b""
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = self._process.stdout.read(65_536) if ready else b""
            if not piece:
                trouble = self._trouble() if ready else f"The aligner did not answer within {timeout_s:g} s."
                self.close(leave_s=0.0)
                raise EngineError(trouble)
            data += piece
        try:
            answer: dict[str, Any] = json.loads(data)
        except ValueError as exc:
            self.close(leave_s=0.0)
            raise EngineError(f"The aligner answered what is no JSON: {data[:80]!r}.") from exc
        return answer

    def _trouble(self) -> str:
        self._errors.seek(0)
        said = self._errors.read()[-2_000:].decode("utf-8", "replace").strip().splitlines()
        return f"The aligner ended unexpectedly: {said[-1] if said else 'no message'}"


def alignment_of(
    words: Sequence[Sequence[tuple[str, float, float]]], posteriors: Posteriors, scorer: Scorer
) -> Alignment:
    """Phones with times as an alignment that can be scored: in the scorer's phones and frames, rests between."""
    spans: list[Span] = []
    for number, phones in enumerate(words):
        place = 0
        for phone, start_s, end_s in phones:
            if phone in _SILENCES:
                continue
            labels = _labels(phone, scorer)
            first, last = round(start_s / posteriors.frame_s), round(end_s / posteriors.frame_s)
            edges = np.linspace(first, last, len(labels) + 1).round().astype(int)
            for label, start, end in zip(labels, edges, edges[1:], strict=False):
                begin = max(int(start), spans[-1].end if spans else 0)
                stop = min(max(int(end), begin + 1), posteriors.frames)
                if begin >= stop:
                    raise EngineError("The aligner gave a phone that lies after the end of the audio.")
                if begin > (spans[-1].end if spans else 0):
                    spans.append(Span(spans[-1].end if spans else 0, begin, REST, junction=number))
                spans.append(Span(begin, stop, number, place, label))
                place += 1
    if spans and spans[-1].end < posteriors.frames:
        spans.append(Span(spans[-1].end, posteriors.frames, REST, junction=len(words)))
    present = {span.word for span in spans}
    return Alignment(tuple(spans), tuple(0 if n in present else None for n in range(len(words))), 0.0)


def _labels(phone: str, scorer: Scorer) -> tuple[str, ...]:
    plain = phone.rstrip("012")
    if plain in scorer.phones:
        return (plain,)
    try:
        return from_ipa(phone) if scorer.alphabet == "arpabet" else segment([_as_ipa(phone)], scorer.phones)
    except UnsupportedText as exc:
        raise EngineError(f'The aligner\'s phone "{phone}" has no counterpart in {scorer.name}.') from exc


def _as_ipa(phone: str) -> str:
    from .arpabet import IPA

    plain = phone.rstrip("012")
    return IPA[plain] if plain in PHONES else phone


def _write(path: Path, recording: Recording) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.clip(recording.samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
