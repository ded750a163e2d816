"""pocketsphinx's acoustic model as a scorer of frames, on any CPU: English, the model comes inside the package."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError, MissingProgram, UnsupportedText
from .posteriors import Floats, Posteriors

#: One unit of pocketsphinx's senone costs in nats: its log base is 1.0001, and costs are shifted by 10 bits.
_COST_NATS = 1024 * float(np.log(1.0001))
_STATES = 3
_REST = ("SIL", "+NSN+", "+SPN+")
FRAME_S = 0.01
#: Frames that are reduced at once: bounds the memory for long audio.
_BLOCK = 2_000


class Sphinx:
    """Scores frames with the senone costs that the decoder logs. One decoder; calls take turns."""

    alphabet = "arpabet"
    calibration = "sphinx-2026.11"

    def __init__(self) -> None:
        """Loads the acoustic model (about 0.2 s, 60 MB)."""
        try:
            import pocketsphinx
        except ImportError as exc:
            raise MissingProgram(
                'The package "pocketsphinx" is not installed on this worker: run "pip install pocketsphinx".'
            ) from exc
        self.name = f"pocketsphinx {package_version(Path(pocketsphinx.__file__))}"
        self._lock = threading.Lock()
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = Path(tempfile.mkdtemp(prefix="senones-", dir=memory))
        model = Path(pocketsphinx.get_model_path()) / "en-us"
        words = self._folder / "words.dict"
        words.write_text("a AH\n")  # the real one has 134,860 words, none of which is needed here
        self._decoder: Any = pocketsphinx.Decoder(
            samprate=16000, lm=None, dict=str(words), loglevel="FATAL", senlogdir=str(self._folder), compallsen=True
        )
        words.unlink()
        self._map = SenoneMap((model / "en-us" / "mdef").read_bytes())
        self.phones = tuple(name for name in self._map.phones if name not in _REST)

    def close(self) -> None:
        """Removes the folder of the log."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __del__(self) -> None:
        if hasattr(self, "_folder"):
            self.close()

    def score(self, samples: NDArray[np.float32], language: str = "en-us") -> Posteriors:
        """The log-posteriors of 16 kHz mono samples. Raises UnsupportedText for a language that is not English."""
        if language.split("-", 1)[0] != "en":
            raise UnsupportedText(f'The backend "sphinx" knows English only, not "{language}"; choose a neural one.')
        pcm = (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
        with self._lock:
            log = self._logged(pcm)
            try:
                return self._read(log)
            finally:
                log.unlink()

    def _logged(self, pcm: bytes) -> Path:
        for old in self._folder.iterdir():
            old.unlink()
        decoder = self._decoder
        try:
            # Any search makes the decoder compute senones; this is the smallest.
            decoder.set_align_text("a")
            decoder.start_utt()
            decoder.process_raw(pcm, full_utt=True)
            decoder.end_utt()
        except RuntimeError as exc:
            raise EngineError(f"pocketsphinx could not read this audio: {exc}.") from exc
        logs = list(self._folder.iterdir())
        if len(logs) != 1:
            raise EngineError("pocketsphinx wrote no senone scores; is the worker's temporary folder full?")
        return logs[0]

    def _read(self, log: Path) -> Posteriors:
        data = np.memmap(log, dtype=np.uint8, mode="r")
        head = bytes(data[:4096])
        start = head.index(b"endhdr\n") + 7
        if head[start : start + 4] != struct.pack("<I", 0x11223344):
            raise EngineError("The senone log of this pocketsphinx has another byte order than expected.")
        count = self._map.senones
        row = 2 + 2 * count
        frames = (len(data) - start - 4) // row
        if frames < 1:
            raise EngineError("pocketsphinx found no frame in this audio.")
        costs = data[start + 4 : start + 4 + frames * row].reshape(frames, row)
        if int.from_bytes(bytes(costs[0, :2]), "little") != count:
            raise EngineError("The senone log of this pocketsphinx does not hold every senone.")
        blocks = [
            self._map.best(np.ascontiguousarray(costs[at : at + _BLOCK, 2:]).view("<i2"))
            for at in range(0, frames, _BLOCK)
        ]
        return self._posteriors(np.concatenate(blocks) * -_COST_NATS)

    def _posteriors(self, likelihoods: Floats) -> Posteriors:
        """From (frames, all phones, states) log-likelihoods up to a constant per frame."""
        best = likelihoods.max(axis=2)
        total = best.max(axis=1, keepdims=True)
        total = total + np.log(np.exp(best - total).sum(axis=1, keepdims=True))
        scores = likelihoods - total[:, :, None]
        speech = [at for at, name in enumerate(self._map.phones) if name not in _REST]
        rest = [at for at, name in enumerate(self._map.phones) if name in _REST]
        return Posteriors(scores[:, speech], scores[:, rest].max(axis=(1, 2)), self.phones, FRAME_S)


def package_version(module: Path) -> str:
    """The version of an installed package, without importlib.metadata (a tenth of this service's start)."""
    found = sorted(module.parent.parent.glob(f"{module.parent.name}-*.dist-info"))
    return found[-1].name.split("-")[1].removesuffix(".dist") if found else "unknown"


class SenoneMap:
    """Which senones belong to which state of which phone, read from the binary model definition."""

    def __init__(self, data: bytes) -> None:
        if data[:4] != b"BMDF":
            raise EngineError("The acoustic model of this pocketsphinx has an unknown format.")
        at = 12 + struct.unpack_from("<i", data, 8)[0]
        phones, all_phones, states, _, self.senones, _, sequences, _, tree, _ = struct.unpack_from("<10i", data, at)
        at += 40
        names: list[str] = []
        for _ in range(phones):
            end = data.index(b"\0", at)
            names.append(data[at:end].decode())
            at = end + 1
        at = (at + 3) // 4 * 4 + 8 * tree
        if states != _STATES:
            raise EngineError(f"The acoustic model has {states} states per phone; {_STATES} are expected.")
        table = np.frombuffer(data, dtype=[("sequence", "<i4"), ("matrix", "<i4"), ("ids", "u1", 4)],
                              count=all_phones, offset=at)  # fmt: skip
        at += 12 * all_phones + 4
        sequence = np.frombuffer(data, "<u2", sequences * states, at).reshape(sequences, states)
        # Context-independent phones come first and are their own base; the others name theirs.
        base = np.where(np.arange(all_phones) < phones, np.arange(all_phones), table["ids"][:, 1])
        groups = np.full((self.senones,), -1)
        for state in range(states):
            groups[sequence[table["sequence"], state]] = base * states + state
        if (groups < 0).any():
            raise EngineError("The acoustic model of this pocketsphinx holds senones of no phone.")
        self.phones = tuple(names)
        self._order = np.argsort(groups, kind="stable")
        self._starts = np.searchsorted(groups[self._order], np.arange(phones * states))
        # A state without senones of its own would make reduceat answer its neighbour's.
        if not np.bincount(groups, minlength=phones * states).all():
            raise EngineError("The acoustic model of this pocketsphinx lacks senones for a phone.")

    def best(self, costs: NDArray[np.int16]) -> Floats:
        """The lowest cost of each state: (frames, senones) -> (frames, phones, states)."""
        lowest = np.minimum.reduceat(costs[:, self._order], self._starts, axis=1)
        return lowest.reshape(len(costs), len(self.phones), _STATES).astype(np.float64)
