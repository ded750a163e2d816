"""What every acoustic backend supplies: the log-posterior of each phone in each frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Posteriors:
    """Log-posteriors in nats, (frames, phones, states): one state per phone for CTC, three for an HMM.

    `rest` is the score of saying nothing in each frame: silence and noise of an HMM, the blank of CTC. A blank may
    also stand inside a word (`blank` True), silence only between words.
    """

    scores: Floats
    rest: Floats
    phones: tuple[str, ...]
    frame_s: float
    blank: bool = False
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", {phone: at for at, phone in enumerate(self.phones)})

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return int(self.scores.shape[0])

    def of_phones(self) -> Floats:
        """The best state of each phone: (frames, phones)."""
        best: Floats = self.scores.max(axis=2)
        return best


class Scorer(Protocol):
    """An acoustic backend."""

    #: Name with version, as it stands in the answer.
    name: str
    #: The calibration that turns its log-posteriors into scores, see calibration.py.
    calibration: str
    #: The alphabet of its phones: "arpabet", or "ipa".
    alphabet: str
    #: All phones that it scores.
    phones: tuple[str, ...]

    def score(self, samples: NDArray[np.float32], language: str) -> Posteriors:
        """The log-posteriors of 16 kHz mono samples. Raises SpeechError."""
