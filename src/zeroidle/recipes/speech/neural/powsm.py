"""POWSM through ESPnet: phones, words and audio-guided G2P of many languages by one model that is loaded once."""

from __future__ import annotations

import re
import sys
import tempfile
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio import RATE_HZ, Samples
from ..errors import EngineError, InputError
from ..posteriors import Posteriors
from ..recognise import HeardWord
from . import chunks
from .codes import iso3
from .device import choose, label, missing

#: The model pads or cuts everything to this length by itself, so nothing longer is ever given to it.
LONGEST_S = 20.0
#: One frame of its encoder.
_HOP = 640
_PHONE = re.compile(r"/([^/]+)/")
_SYMBOL = re.compile(r"<[^<>]+>")
_UNSPACED = ("cmn", "jpn", "kor", "tha")
_NO_TEXT = "<na>"


class Powsm:
    """A Scorer (by the CTC head), a Recogniser (`<asr>`), and phones (`<pr>`, `<g2p>`). Calls take turns."""

    alphabet = "ipa"
    calibration = "ctc-2026.11"

    def __init__(self, folder: Path, beam: int = 5) -> None:
        """Loads the model from a folder as ESPnet packs it: config.yaml, one .pth and the sentencepiece model."""
        config, weights, pieces = _files(folder)
        _spare_g2p_en()
        try:
            import torch
            from espnet2.bin.s2t_inference import Speech2Text
        except ImportError as exc:
            raise missing("espnet", "powsm", exc) from exc
        self.name = label("powsm", folder)
        self._torch: Any = torch
        self._lock = threading.Lock()
        with tempfile.TemporaryDirectory() as scratch:
            # Explicit files: ESPnet's own downloader keeps its models inside its package and ignores HF_HOME.
            self._model: Any = Speech2Text(
                s2t_train_config=str(_absolute(config, folder, Path(scratch))), s2t_model_file=str(weights),
                bpemodel=str(pieces), device=choose(), beam_size=beam, ctc_weight=0.0,
            )  # fmt: skip
        self._tokens: list[str] = list(self._model.s2t_model.token_list)
        found = [(match.group(1), at) for at, t in enumerate(self._tokens) if (match := _PHONE.fullmatch(t))]
        if not found:
            raise EngineError(f"The model in {folder.name} has no phone tokens such as /p/: it is no POWSM.")
        self.phones = tuple(phone for phone, _ in found)
        self._columns = [at for _, at in found]
        self._blank = int(self._model.s2t_model.blank_id)

    def score(self, samples: NDArray[np.float32], language: str) -> Posteriors:
        """The log-posteriors of the CTC head over phones and blank, 40 ms per frame, any length."""
        with self._lock:
            logs = np.concatenate([self._encode(samples[start:end]) for start, end in chunks.cut(samples, LONGEST_S)])
        columns = [*self._columns, self._blank]
        kept = logs[:, columns]
        # The head knows 40,000 tokens; what it gives to words is shared out among the phones.
        top = kept.max(axis=1, keepdims=True)
        kept = kept - top - np.log(np.exp(kept - top).sum(axis=1, keepdims=True))
        return Posteriors(kept[:, :-1, None], kept[:, -1], self.phones, _HOP / RATE_HZ, blank=True)

    def heard_phones(self, samples: Samples, language: str) -> list[str]:
        """The phones that were spoken (`<pr>`)."""
        return [
            phone
            for start, end in chunks.cut(samples, LONGEST_S)
            for phone in _PHONE.findall(self._decode(samples[start:end], "<pr>", language, _NO_TEXT))
        ]

    def heard_as(self, samples: Samples, text: str, language: str) -> list[str]:
        """How this speaker said this text (`<g2p>`): what is heard, guided by the text; never a reference.

        Raises InputError for audio of more than 20 s: the text could not be cut with it.
        """
        if len(samples) > LONGEST_S * RATE_HZ:
            raise InputError(
                f"The audio is {len(samples) / RATE_HZ:.1f} s long; with a text, POWSM takes at most {LONGEST_S:g} s. "
                f"Send it in parts, or without the text."
            )
        plain = re.sub(r"[^\w\s'’-]", "", text)
        if iso3(language) in _UNSPACED:
            plain = "".join(plain.split())
        return _PHONE.findall(self._decode(samples, "<g2p>", language, plain))

    def words(self, samples: NDArray[np.float32], language: str) -> list[HeardWord]:
        """The words (`<asr>`). The model tells no times, so each word has those of its stretch of audio."""
        found: list[HeardWord] = []
        for start, end in chunks.cut(samples, LONGEST_S):
            text = self._decode(samples[start:end], "<asr>", language, _NO_TEXT)
            found += [HeardWord(word, start / RATE_HZ, end / RATE_HZ, 1.0) for word in text.split()]
        return found

    def _decode(self, samples: Samples, task: str, language: str, text_prev: str) -> str:
        """The text after the task's symbols."""
        code = f"<{iso3(language)}>"
        with self._lock:
            results = self._model(
                np.asarray(samples, np.float32), text_prev=text_prev, task_sym=task,
                lang_sym=code if code in self._tokens else "<unk>",
            )  # fmt: skip
        best = results[0][0] if isinstance(results, tuple) else results[0]
        text = str(best[0] or "")
        return _SYMBOL.sub(" ", text.rpartition("<notimestamps>")[2]).strip()

    def _encode(self, samples: Samples) -> NDArray[np.float64]:
        torch, model = self._torch, self._model.s2t_model
        padded = torch.zeros(1, int(LONGEST_S * RATE_HZ))
        padded[0, : len(samples)] = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
        with torch.inference_mode():
            encoded, _ = model.encode(
                speech=padded.to(self._model.device), speech_lengths=torch.tensor([padded.shape[1]])
            )
            if isinstance(encoded, tuple):  # with intermediate CTC layers
                encoded = encoded[0]
            logs: NDArray[np.float64] = model.ctc.log_softmax(encoded)[0].double().cpu().numpy()
        # The convolutions take the last frame's neighbours: a full stretch has 499 of 500 frames; say the last twice.
        wanted = -(-len(samples) // _HOP)
        rows = np.minimum(np.arange(wanted), len(logs) - 1)
        return logs[rows]


def _files(folder: Path) -> tuple[Path, Path, Path]:
    """Config, weights and sentencepiece model, wherever in the folder they lie."""
    found = []
    for what, pattern in (("config.yaml", "config.yaml"), ("weights (.pth)", "*.pth"), ("bpe.model", "*.model")):
        paths = sorted(folder.rglob(pattern))
        if not paths:
            raise EngineError(f"The model folder {folder.name} has no {what}; download the whole model.")
        if len(paths) > 1:
            paths = [path for path in paths if "textnorm_retrained" not in path.parts] or paths
        found.append(paths[0])
    return found[0], found[1], found[2]


def _absolute(config: Path, folder: Path, scratch: Path) -> Path:
    """The config with its relative paths (statistics, token lists) made absolute, as ESPnet's downloader would."""
    import yaml

    def fixed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fixed(member) for key, member in value.items()}
        if isinstance(value, str) and "/" in value and len(value) < 300 and (folder / value).exists():
            return str((folder / value).absolute())
        return value

    made = scratch / "config.yaml"
    data = yaml.safe_load(config.read_text(encoding="utf-8"))
    made.write_text(yaml.safe_dump(fixed(data), allow_unicode=True), encoding="utf-8")
    return made


def _spare_g2p_en() -> None:
    """ESPnet imports g2p_en, which speech-to-text never uses and which downloads two NLTK resources when imported."""
    if "g2p_en" not in sys.modules:
        stub = types.ModuleType("g2p_en")
        stub.G2p = object  # type: ignore[attr-defined]  # the one name that ESPnet imports
        sys.modules["g2p_en"] = stub
