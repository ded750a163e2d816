"""How log-posteriors become scores from 0 to 100: stated, named and versioned, one calibration for each backend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .gop import PhoneScore
from .graph import Miscue


@dataclass(frozen=True, slots=True)
class Calibration:
    """The numbers of one calibration.

    A phone's evidence is `frame_weight * frame_gop + substitution_gop` (nats); its accuracy is
    100 / (1 + exp(-slope * (evidence - midpoint))). A word's accuracy is the mean of its phones drawn towards the
    worst of them by `worst_weight`; below `mispronounced` it is a mispronunciation. A candidate's score is
    100 * exp((its log-posterior - the best one) / `tau`). The text matches the audio when the mean log-posterior of
    its phones is above `match_posterior` and fewer than `match_share` of them lie more than 2 nats below the best.
    """

    name: str
    frame_weight: float
    slope: float
    midpoint: float
    tau: float
    match_posterior: float
    match_share: float
    miscue: Miscue
    worst_weight: float = 0.5
    mispronounced: float = 60.0
    note: str = ""

    def evidence(self, score: PhoneScore) -> float:
        """The evidence for one phone in nats."""
        return self.frame_weight * score.frame_gop + score.substitution_gop

    def accuracy(self, score: PhoneScore) -> float:
        """The accuracy of one phone, 0 to 100."""
        z = float(np.clip(self.slope * (self.evidence(score) - self.midpoint), -50.0, 50.0))
        return 100.0 / (1.0 + float(np.exp(-z)))

    def of_word(self, phones: list[float]) -> float:
        """The accuracy of a word with these accuracies of phones."""
        mean = sum(phones) / len(phones)
        return (1.0 - self.worst_weight) * mean + self.worst_weight * min(phones)

    def candidate(self, posterior: float, best: float) -> float:
        """The score of a candidate, 0 to 100, relative to the best one."""
        return 100.0 * float(np.exp((posterior - best) / self.tau))

    def matches(self, scores: list[PhoneScore]) -> bool:
        """Whether the phones fit the audio at all."""
        if not scores:
            return False
        posterior = sum(max(score.posterior, -12.0) for score in scores) / len(scores)
        poor = sum(score.frame_gop < -2.0 for score in scores) / len(scores)
        return posterior > self.match_posterior and poor < self.match_share


_SPHINX = Calibration(
    name="sphinx-2026.11",
    frame_weight=5.0,
    slope=0.08,
    midpoint=-30.0,
    tau=4.0,
    match_posterior=-3.5,
    match_share=0.4,
    miscue=Miscue(omit_per_phone=10.0, insert=40.0, insert_per_frame=2.0),
    note="Set on generated phone substitutions and on recordings of native speakers, not on learners.",
)

#: CTC spreads a phone over few frames and says blank in between, so its sums are smaller than an HMM's.
_CTC = Calibration(
    name="ctc-2026.11",
    frame_weight=0.5,
    slope=0.6,
    midpoint=-4.0,
    tau=2.0,
    match_posterior=-2.5,
    match_share=0.4,
    miscue=Miscue(omit_per_phone=4.0, insert=8.0, insert_per_frame=0.5),
    note="Set by theory; no human ratings and no trained model were used.",
)

CALIBRATIONS = {calibration.name: calibration for calibration in (_SPHINX, _CTC)}
