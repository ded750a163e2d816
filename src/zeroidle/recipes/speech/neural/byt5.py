"""CharsiuG2P: text to IPA for some hundred languages by a byte-level T5, word by word."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import EngineError, UnsupportedText
from .codes import charsiu
from .device import choose, label, missing

_BATCH = 64
_LONGEST = 60


class ByT5G2p:
    """Pronounces words in citation form. One model; calls take turns."""

    def __init__(self, folder: Path) -> None:
        """Loads the model from a folder with config.json and weights; the tokenizer is bytes and needs no file."""
        try:
            import torch
            from transformers import ByT5Tokenizer, T5ForConditionalGeneration
        except ImportError as exc:
            raise missing("transformers", "byt5", exc) from exc
        self.name = label("byt5", folder)
        self._torch: Any = torch
        self._device = choose()
        self._lock = threading.Lock()
        self._tokenizer: Any = ByT5Tokenizer()
        model: Any = T5ForConditionalGeneration.from_pretrained(folder, local_files_only=True)
        if model.config.vocab_size < len(self._tokenizer) - 125:  # 125 extra ids that this model never uses
            raise EngineError(f"The model in {folder.name} has {model.config.vocab_size} tokens: it is no ByT5.")
        self._model: Any = model.to(self._device).eval()

    def pronounce(self, words: Sequence[str], language: str) -> list[str]:
        """The IPA of each word. Raises UnsupportedText for a language that the model does not know."""
        code = charsiu(language)
        if not code:
            raise UnsupportedText(f'CharsiuG2P does not know the language "{language}"; use method "espeak-ng".')
        found: list[str] = []
        with self._lock:
            for at in range(0, len(words), _BATCH):
                found += self._batch([f"<{code}>: {word}" for word in words[at : at + _BATCH]])
        return found

    def _batch(self, lines: list[str]) -> list[str]:
        inputs = self._tokenizer(lines, padding=True, add_special_tokens=False, return_tensors="pt").to(self._device)
        with self._torch.inference_mode():
            made = self._model.generate(**inputs, num_beams=1, do_sample=False, max_new_tokens=_LONGEST)
        return [str(ipa).strip() for ipa in self._tokenizer.batch_decode(made.tolist(), skip_special_tokens=True)]
