"""How well pronunciation assessment finds wrong phones, and how fast it is: `python benchmarks/pronunciation.py`.

Wrong phones are made on purpose: flite speaks each word with exactly one phone replaced by one that learners often say
instead (chosen by a fixed random number), so every phone is known to be right or wrong. Needs flite (apt-get install
flite) and, for the timings, pocketsphinx-testdata. Prints a table; --plot draws the ROC curves.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeroidle.recipes.speech import audio
from zeroidle.recipes.speech.align import align
from zeroidle.recipes.speech.assess_service import AssessService, Request
from zeroidle.recipes.speech.calibration import CALIBRATIONS
from zeroidle.recipes.speech.gop import score_phones
from zeroidle.recipes.speech.lexicon import Lexicon
from zeroidle.recipes.speech.sphinx import Sphinx

VOICES = ("slt", "rms", "awb")
WORDS = [
    "think", "weather", "forward", "leather", "mother", "brother", "measure", "pleasure", "river", "yellow",
    "window", "kitchen", "ship", "sheep", "cat", "dog", "father", "very", "wine", "vine", "thank", "three",
    "right", "light", "road", "load", "rice", "read", "lead", "sing", "song", "long", "strong", "finger", "butter",
    "water", "better", "little", "people", "paper", "happy", "summer", "winter", "school", "student", "teacher",
    "question", "answer", "morning", "evening", "yesterday", "tomorrow", "market", "garden", "picture", "village",
    "orange", "juice", "chicken", "cheese", "watch", "church", "zebra", "music", "busy", "easy", "visit", "seven",
    "eleven", "together", "another", "breakfast", "hundred", "thousand", "language", "garage", "bottle", "button",
    "coffee", "table", "chair", "jacket", "yard", "young", "house", "behind", "usual", "vision",
]  # fmt: skip
#: What learners say instead, phone by phone.
CONFUSIONS = {
    phone: instead.split()
    for phone, instead in {
        "TH": "S T F", "DH": "D Z V", "IH": "IY EH", "IY": "IH", "AE": "EH AH AA", "EH": "AE IH EY", "AA": "AO AH AE",
        "AH": "AA AE UH", "AO": "OW AA", "UH": "UW AH", "UW": "UH", "ER": "AH AO", "EY": "EH AY", "OW": "AO AA",
        "AY": "EY AE", "AW": "AA OW", "OY": "AO", "V": "W F B", "W": "V", "R": "L W", "L": "R W", "S": "SH TH Z",
        "Z": "S", "SH": "S CH", "CH": "SH T", "JH": "CH Z", "ZH": "SH Z", "P": "B F", "B": "P V", "T": "D TH",
        "D": "T DH", "K": "G", "G": "K", "F": "P V", "M": "N", "N": "M NG", "NG": "N", "HH": "F", "Y": "JH",
    }.items()
}  # fmt: skip
#: The scores that are compared, and how they are shown.
SCORES = {"frame": "frame GOP", "substitution": "substitution-aware", "both": "both (the product)"}
DATA = Path("/usr/share/pocketsphinx/test/data")


@dataclass(frozen=True)
class Clip:
    """A word spoken with one phone replaced."""

    voice: str
    word: str
    phones: tuple[str, ...]
    at: int
    instead: str

    @property
    def spoken(self) -> list[str]:
        """The phones as they are spoken."""
        return [self.instead if at == self.at else phone for at, phone in enumerate(self.phones)]


@dataclass(frozen=True)
class Judged:
    """The scores of one phone of a clip."""

    clip: int
    wrong: bool
    frame: float
    substitution: float
    both: float
    named: bool
    named_by_frames: bool


def clips(words: Sequence[str], voices: Sequence[str], seed: int) -> list[Clip]:
    """One clip per voice and word."""
    lexicon, chosen = Lexicon(), random.Random(seed)
    made = []
    for voice in voices:
        for word in words:
            phones = lexicon.words(word)[0].variants[0]
            at = chosen.randrange(len(phones))
            made.append(Clip(voice, word, phones, at, chosen.choice(CONFUSIONS[phones[at]])))
    return made


def speak(clip: Clip, path: Path) -> None:
    """Writes the clip as a wav file."""
    phones = " ".join(["pau", *(phone.lower() for phone in clip.spoken), "pau"])
    subprocess.run(["flite", "-voice", clip.voice, "-p", phones, "-o", str(path)], check=True, capture_output=True)


def judge(found: Sequence[Clip], folder: Path) -> list[Judged]:
    """Speaks and scores every clip; raises when one fails."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda item: speak(item[1], folder / f"{item[0]}.wav"), enumerate(found)))
    scorer, judged = Sphinx(), []
    calibration = CALIBRATIONS[scorer.calibration]
    for number, clip in enumerate(found):
        posteriors = scorer.score(audio.load(folder / f"{number}.wav").samples)
        alignment = align([[clip.phones]], posteriors)
        scores = score_phones(posteriors, alignment.spans)
        assert len(scores) == len(clip.phones), clip
        for at, score in enumerate(scores):
            judged.append(
                Judged(number, at == clip.at, score.frame_gop, score.substitution_gop, calibration.evidence(score),
                       score.alternative == clip.instead, score.candidates[0][0] == clip.instead)
            )  # fmt: skip
    return judged


def auc(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    """The chance that a right phone scores higher than a wrong one; ties count half."""
    order = np.sort(right)
    below = np.searchsorted(order, wrong, "left")
    upto = np.searchsorted(order, wrong, "right")
    return float(((len(order) - upto) + 0.5 * (upto - below)).mean() / len(order))


def interval(judged: Sequence[Judged], score: str, rounds: int = 1_000, seed: int = 7) -> tuple[float, float, float]:
    """The AUC and its 95 % interval, by drawing whole clips again and again (phones of a clip are not independent)."""
    values = np.array([getattr(item, score) for item in judged])
    wrong = np.array([item.wrong for item in judged])
    by_clip: dict[int, list[int]] = {}
    for at, item in enumerate(judged):
        by_clip.setdefault(item.clip, []).append(at)
    groups = [np.array(group) for group in by_clip.values()]
    drawn = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        picked = np.concatenate([groups[at] for at in drawn.integers(0, len(groups), len(groups))])
        found.append(auc(values[picked][~wrong[picked]], values[picked][wrong[picked]]))
    low, high = np.percentile(found, [2.5, 97.5])
    return auc(values[~wrong], values[wrong]), float(low), float(high)


def recall_at(judged: Sequence[Judged], score: str, rejects: float = 0.1) -> float:
    """The share of wrong phones found when that share of right ones is rejected too."""
    right = sorted(getattr(item, score) for item in judged if not item.wrong)
    threshold = right[int(rejects * len(right))]
    wrong = [getattr(item, score) for item in judged if item.wrong]
    return sum(value < threshold for value in wrong) / len(wrong)


def plot(judged: Sequence[Judged], path: Path) -> None:
    """The ROC curves as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    for score, label in SCORES.items():
        pairs = sorted((getattr(item, score), item.wrong) for item in judged)
        wrong = np.cumsum([item[1] for item in pairs]) / sum(item[1] for item in pairs)
        right = np.cumsum([not item[1] for item in pairs]) / sum(not item[1] for item in pairs)
        area = auc(np.array([v for v, w in pairs if not w]), np.array([v for v, w in pairs if w]))
        axes.plot(right, wrong, label=f"{label}: AUC {area:.3f}")
    axes.plot([0, 1], [0, 1], color="#999", linewidth=0.8)
    axes.set_xlabel("right phones rejected")
    axes.set_ylabel("wrong phones found")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def timings(repeats: int) -> dict[str, list[float]]:
    """On one core: seconds per second of audio, and seconds from the start of a process to its first result.

    Both by the clock and as processor time, which other programs on the machine do not lengthen.
    """
    files = sorted((DATA / "librivox").glob("*.wav"))
    if not files:
        return {}
    lines = (DATA / "librivox" / "transcription").read_text().splitlines()
    texts = [line.replace("<s>", "").partition("</s>")[0].strip() for line in lines]
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    service = AssessService()
    service.run(Request(files[0], texts[0]))
    found: dict[str, list[float]] = {
        name: [] for name in ("real-time factor, clock", "real-time factor, processor", "cold start, clock, s",
                              "cold start, processor, s")
    }  # fmt: skip
    for _ in range(repeats):
        for file, text in zip(files, texts, strict=True):
            start, used = time.perf_counter(), time.process_time()
            answer = service.run(Request(file, text))
            found["real-time factor, clock"].append((time.perf_counter() - start) / answer.recording.duration_s)
            found["real-time factor, processor"].append((time.process_time() - used) / answer.recording.duration_s)
            assert answer.assessment.matches, file
    program = (
        "from zeroidle.recipes.speech.assess_service import AssessService, Request;"
        f"a = AssessService().run(Request({str(files[1])!r}, {texts[1]!r})); assert a.assessment.matches"
    )
    for _ in range(max(5, repeats)):
        start, before = time.perf_counter(), os.times()
        subprocess.run([sys.executable, "-c", program], check=True)
        after = os.times()
        found["cold start, clock, s"].append(time.perf_counter() - start)
        found["cold start, processor, s"].append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    return found


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=len(WORDS), help="how many words (default: all)")
    parser.add_argument("--voices", nargs="+", default=list(VOICES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="how often the timings are repeated")
    parser.add_argument("--plot", type=Path, help="write the ROC curves to this picture")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        judged = judge(clips(WORDS[: options.words], options.voices, options.seed), Path(folder))
    wrong = [item for item in judged if item.wrong]
    print(f"{len(wrong)} wrong and {len(judged) - len(wrong)} right phones, voices {', '.join(options.voices)}\n")
    print(f"{'score':24}{'AUC':>7}  {'95 % interval':16}{'found at 10 % false rejects':>28}")
    figures: dict[str, object] = {"wrong": len(wrong), "right": len(judged) - len(wrong)}
    for score, label in SCORES.items():
        area, low, high = interval(judged, score)
        recall = recall_at(judged, score)
        figures[score] = {"auc": area, "low": low, "high": high, "recall": recall}
        print(f"{label:24}{area:7.3f}  {low:.3f} to {high:.3f}  {recall:26.0%}")
    named = sum(item.named for item in wrong) / len(wrong)
    print(f"\nThe phone spoken instead is named: {named:.0%} (by the frames alone: "
          f"{sum(item.named_by_frames for item in wrong) / len(wrong):.0%})")  # fmt: skip
    for name, values in timings(options.repeats).items():
        figures[name] = values
        spread = f"{min(values):.3f} to {max(values):.3f}, n={len(values)}"
        print(f"{name}: median {statistics.median(values):.3f}, {spread}")
    if options.plot:
        plot(judged, options.plot)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
