"""Whisper for the words: faster-whisper where the folder holds a CTranslate2 model, else transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio import RATE_HZ
from ..errors import EngineError, UnsupportedText
from ..recognise import HeardWord
from .device import label, missing


class Whisper:
    """Words with times and probabilities. Calls take turns inside the library."""

    def __init__(self, folder: Path) -> None:
        """Loads the model from a folder with model.bin (CTranslate2) or config.json and weights (transformers)."""
        self.name = label("whisper", folder)
        self._fast: Any = None
        self._pipeline: Any = None
        if (folder / "model.bin").is_file():
            self._load_fast(folder)
        elif (folder / "config.json").is_file():
            self._load_transformers(folder)
        else:
            raise EngineError(f"The folder {folder.name} holds no Whisper model: neither model.bin nor config.json.")

    def _load_fast(self, folder: Path) -> None:
        try:
            import ctranslate2
            from faster_whisper import WhisperModel
        except ImportError as exc:
            raise missing("faster-whisper", "whisper", exc) from exc
        gpu = ctranslate2.get_cuda_device_count() > 0
        # An absolute path: a relative one is taken for the name of a model to download.
        self._fast = WhisperModel(
            str(folder.absolute()), device="cuda" if gpu else "cpu", compute_type="float16" if gpu else "int8",
            local_files_only=True,
        )  # fmt: skip

    def _load_transformers(self, folder: Path) -> None:
        try:
            from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, pipeline
        except ImportError as exc:
            raise missing("transformers", "whisper", exc) from exc
        from .device import choose

        model = AutoModelForSpeechSeq2Seq.from_pretrained(folder, local_files_only=True).to(choose()).eval()
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        self._pipeline = pipeline(
            "automatic-speech-recognition", model=model, tokenizer=processor.tokenizer,
            feature_extractor=processor.feature_extractor, device=model.device,
        )  # fmt: skip

    def words(self, samples: NDArray[np.float32], language: str) -> list[HeardWord]:
        """See Recogniser. Raises UnsupportedText for a language that Whisper does not know."""
        code = {"cmn": "zh", "nb": "no", "fil": "tl"}.get(base := language.split("-", 1)[0], base)
        try:
            return self._by_fast(samples, code) if self._fast is not None else self._by_pipeline(samples, code)
        except ValueError as exc:
            if "language" in str(exc).lower():
                raise UnsupportedText(f'Whisper does not know the language "{language}".') from exc
            raise

    def _by_fast(self, samples: NDArray[np.float32], language: str) -> list[HeardWord]:
        segments, _ = self._fast.transcribe(samples, language=language, word_timestamps=True, beam_size=5)
        return [
            HeardWord(word.word.strip(), float(word.start), float(word.end), float(word.probability))
            for segment in segments
            for word in segment.words or []
            if word.word.strip()
        ]

    def _by_pipeline(self, samples: NDArray[np.float32], language: str) -> list[HeardWord]:
        heard = self._pipeline(
            {"raw": samples, "sampling_rate": RATE_HZ}, return_timestamps="word",
            generate_kwargs={"task": "transcribe", "language": language},
        )  # fmt: skip
        length_s = len(samples) / RATE_HZ
        return [
            # The last end may be missing; the pipeline gives no probabilities.
            HeardWord(str(chunk["text"]).strip(), min(float(chunk["timestamp"][0] or 0.0), length_s),
                      min(float(chunk["timestamp"][1] or length_s), length_s), 1.0)
            for chunk in heard.get("chunks", [])
            if str(chunk["text"]).strip()
        ]  # fmt: skip
