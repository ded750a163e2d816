"""Words from speech: pocketsphinx's own language model on any CPU; see neural/whisper.py for better ones."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .audio import RATE_HZ
from .errors import EngineError, MissingProgram, UnsupportedText
from .sphinx import package_version


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A recognised word with its times in seconds and its probability, 0 to 1."""

    text: str
    start_s: float
    end_s: float
    probability: float


class Recogniser(Protocol):
    """Turns speech into words."""

    #: Name with version, as it stands in the answer.
    name: str

    def words(self, samples: NDArray[np.float32], language: str) -> list[HeardWord]:
        """The words of 16 kHz mono samples. Raises SpeechError."""


class SphinxWords:
    """English words by the language model inside the pocketsphinx package; about one word in four is wrong."""

    def __init__(self) -> None:
        """Loads the language model (about 0.3 s, 100 MB)."""
        try:
            import pocketsphinx
        except ImportError as exc:
            raise MissingProgram('The package "pocketsphinx" is missing: run "pip install pocketsphinx".') from exc
        self.name = f"pocketsphinx {package_version(Path(pocketsphinx.__file__))} en-us"
        self._decoder: Any = pocketsphinx.Decoder(samprate=RATE_HZ, loglevel="FATAL")
        self._lock = threading.Lock()

    def words(self, samples: NDArray[np.float32], language: str = "en-us") -> list[HeardWord]:
        """See Recogniser."""
        if language.split("-", 1)[0] != "en":
            raise UnsupportedText(f'Without a reference text the CPU recogniser knows English only, not "{language}".')
        pcm = (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
        with self._lock:
            try:
                self._decoder.start_utt()
                self._decoder.process_raw(pcm, full_utt=True)
                self._decoder.end_utt()
                segments = list(self._decoder.seg() or [])
            except RuntimeError as exc:
                raise EngineError(f"pocketsphinx could not read this audio: {exc}.") from exc
            to_probability = self._decoder.logmath.exp
            return [
                HeardWord(
                    segment.word.split("(")[0], segment.start_frame / 100, (segment.end_frame + 1) / 100,
                    min(1.0, float(to_probability(segment.prob))),
                )
                for segment in segments
                if not segment.word.startswith(("<", "["))
            ]  # fmt: skip
