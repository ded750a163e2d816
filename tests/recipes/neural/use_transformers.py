"""Loads the tiny checkpoints by the product's own code and prints what came out as JSON.

`python use_transformers.py MODELS CLIP`, with the package's `src` on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from zeroidle.recipes.speech import audio
from zeroidle.recipes.speech.assess_service import AssessService, Request
from zeroidle.recipes.speech.errors import SpeechError
from zeroidle.recipes.speech.ipa_service import IpaService
from zeroidle.recipes.speech.neural.byt5 import ByT5G2p
from zeroidle.recipes.speech.neural.wav2vec2 import Wav2Vec2
from zeroidle.recipes.speech.neural.whisper import Whisper


def main(models: Path, clip: Path) -> dict[str, Any]:
    """What each backend makes of the clip."""
    recording = audio.load(clip)
    found: dict[str, Any] = {"seconds": recording.duration_s}
    scorer = Wav2Vec2(models / "wav2vec2")
    posteriors = scorer.score(recording.samples)
    everything = np.concatenate([posteriors.of_phones(), posteriors.rest[:, None]], axis=1)
    found["wav2vec2"] = {
        "shape": posteriors.scores.shape, "frame_s": posteriors.frame_s, "blank": posteriors.blank,
        "sums": [float(np.exp(everything).sum(axis=1).min()), float(np.exp(everything).sum(axis=1).max())],
        "joined": _joined(scorer, recording.samples),
    }  # fmt: skip
    for name in ("whisper", "whisper-ct2"):
        found[name] = [
            (word.text, word.start_s, word.end_s, word.probability)
            for word in Whisper(models / name).words(recording.samples, "en-us")
        ]
    g2p = ByT5G2p(models / "byt5")
    found["byt5"] = g2p.pronounce(["hello", "world", "a"], "en-us")
    found["byt5 again"] = g2p.pronounce(["hello", "world", "a"], "en-us")
    try:
        g2p.pronounce(["x"], "te")
    except SpeechError as exc:
        found["byt5 refuses"] = exc.message
    os.environ |= {"WAV2VEC2_MODEL": str(models / "wav2vec2"), "WHISPER_MODEL": str(models / "whisper-ct2"),
                   "BYT5_G2P_MODEL": str(models / "byt5")}  # fmt: skip
    service = AssessService()
    found["assessed"] = service.run(Request(clip, "front center", miscue=False)).body
    found["german"] = service.run(Request(clip, "Guten Morgen", language="de", miscue=False)).body
    found["ipa"] = IpaService().run({"text": "hello world", "method": "byt5"}, lambda event: None)
    return found


def _joined(scorer: Wav2Vec2, samples: np.ndarray[Any, Any]) -> float:
    """How much the frames of a long clip differ around the place where it is cut; 0 would be no difference."""
    from zeroidle.recipes.speech.neural import chunks

    long = np.tile(samples, 20)[: 16_000 * 25]
    (_, cut), _ = chunks.cut(long, 20.0, step=320)
    whole = scorer.score(long)
    alone = scorer._part(long, 0, len(long))
    at = cut // 320
    assert abs(len(alone) - whole.frames) <= 1, (len(alone), whole.frames)
    mine = whole.of_phones()[at - 20 : at + 20]
    other = alone[at - 20 : at + 20][:, scorer._columns]
    return float(np.abs(mine - other).max())


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
