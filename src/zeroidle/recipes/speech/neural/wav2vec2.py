"""wav2vec2 with phoneme CTC through transformers, such as wav2vec2-lv-60-espeak-cv-ft."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio import RATE_HZ
from ..errors import EngineError
from ..posteriors import Posteriors
from . import chunks
from .device import choose, label, missing

#: Samples per frame, and how much sound on both sides of a stretch is shown to the model besides.
_HOP = 320
_CONTEXT = 50 * _HOP
_LONGEST_S = 20.0
_SPECIAL = frozenset(("<s>", "</s>", "<unk>", "<pad>", "|", "[PAD]", "[UNK]", "[CLS]", "[SEP]"))


class Wav2Vec2:
    """Scores frames of 20 ms by the CTC head. One model; calls take turns."""

    alphabet = "ipa"
    calibration = "ctc-2026.11"

    def __init__(self, folder: Path) -> None:
        """Loads the model from a folder with config.json, weights, vocab.json and preprocessor_config.json."""
        try:
            import torch
            from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC
        except ImportError as exc:
            raise missing("transformers", "wav2vec2", exc) from exc
        self.name = label("wav2vec2", folder)
        self._torch: Any = torch
        self._device = choose()
        self._lock = threading.Lock()
        vocabulary = _vocabulary(folder)
        self._extractor: Any = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
        if self._extractor.sampling_rate != RATE_HZ:
            raise EngineError(f"The model in {folder.name} takes {self._extractor.sampling_rate} Hz, not {RATE_HZ}.")
        model: Any = Wav2Vec2ForCTC.from_pretrained(folder, local_files_only=True)
        self._model: Any = model.to(self._device).eval()
        if len(vocabulary) > model.config.vocab_size:
            raise EngineError(
                f"vocab.json in {folder.name} names {len(vocabulary)} tokens, the model has {model.config.vocab_size}."
            )
        self._blank = int(model.config.pad_token_id)
        known = {token: number for token, number in vocabulary.items() if token not in _SPECIAL}
        if all(len(token) == 1 and token.isascii() for token in known):
            raise EngineError(f"The model in {folder.name} hears letters; a model of phonemes is needed.")
        self.phones = tuple(known)
        self._columns = list(known.values())

    def score(self, samples: NDArray[np.float32], language: str = "en-us") -> Posteriors:
        """The log-posteriors of 16 kHz mono samples."""
        with self._lock:
            parts = [self._part(samples, start, end) for start, end in chunks.cut(samples, _LONGEST_S, step=_HOP)]
        logs = np.concatenate(parts)
        return Posteriors(logs[:, self._columns, None], logs[:, self._blank], self.phones, _HOP / RATE_HZ, blank=True)

    def _part(self, samples: NDArray[np.float32], start: int, end: int) -> NDArray[np.float64]:
        """The frames of one stretch, computed with some sound around it."""
        low, high = max(0, start - _CONTEXT), min(len(samples), end + _CONTEXT)
        # Normalised as a whole, or two stretches would be heard at two levels.
        values = self._extractor(samples, sampling_rate=RATE_HZ, return_tensors="pt").input_values[:, low:high]
        with self._torch.inference_mode():
            logits = self._model(values.to(self._device)).logits[0].float()
        logs: NDArray[np.float64] = self._torch.log_softmax(logits, dim=-1).double().cpu().numpy()
        first = (start - low) // _HOP
        last = first + (end - start) // _HOP if end < len(samples) else len(logs)
        return logs[first:last]


def _vocabulary(folder: Path) -> dict[str, int]:
    path = folder / "vocab.json"
    if not path.is_file():
        raise EngineError(f"The model folder {folder.name} has no vocab.json; download the whole model.")
    found = json.loads(path.read_text(encoding="utf-8"))
    return {str(token): int(number) for token, number in found.items()}
