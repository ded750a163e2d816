"""Agreement with human ratings on speechocean762: `python benchmarks/pronunciation_speechocean762.py FOLDER`.

FOLDER is the data set as it is published (5,000 English utterances of Mandarin speakers, five raters): it holds
`resource/scores.json`, and `train` and `test` with `wav.scp`, `text` and the recordings under `WAVE`. Prints Pearson's
correlation with the raters for phones, words and utterances, with the number of items, and how many clips failed. The
figures of published systems to compare with: GOPT reaches 0.61 (phones), 0.55 (words) and 0.74 (utterances).

The scores are those of the product as it is: nothing is trained on the data set. --fit also reports phone scores after
a linear fit per phone on the training part, which is what "calibrated on human ratings" would give.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeroidle.recipes.speech import audio
from zeroidle.recipes.speech.assess import Assessment, Wish, assess
from zeroidle.recipes.speech.backends import Backends
from zeroidle.recipes.speech.calibration import CALIBRATIONS
from zeroidle.recipes.speech.errors import SpeechError
from zeroidle.recipes.speech.lexicon import Word
from zeroidle.recipes.speech.posteriors import Scorer


@dataclass
class Pairs:
    """Ours and the raters' score of one kind, side by side; `group` is the phone, for --fit."""

    ours: list[float] = field(default_factory=list)
    human: list[float] = field(default_factory=list)
    group: list[str] = field(default_factory=list)

    def add(self, ours: float, human: float, group: str = "") -> None:
        """One item."""
        self.ours.append(ours)
        self.human.append(human)
        self.group.append(group)


def pearson(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's correlation; not a number when there is nothing to correlate."""
    n = len(one)
    if n < 2:
        return math.nan
    mean_one, mean_other = sum(one) / n, sum(other) / n
    both = sum((a - mean_one) * (b - mean_other) for a, b in zip(one, other, strict=True))
    spread = math.sqrt(sum((a - mean_one) ** 2 for a in one) * sum((b - mean_other) ** 2 for b in other))
    return both / spread if spread else math.nan


def utterances(folder: Path, part: str) -> list[tuple[str, Path]]:
    """The ids and recordings of "train" or "test"."""
    found = []
    for line in (folder / part / "wav.scp").read_text().splitlines():
        name, _, path = line.partition("\t") if "\t" in line else line.partition(" ")
        found.append((name, folder / path.strip()))
    return found


def reference(rated: dict[str, Any]) -> list[Word]:
    """The words with the pronunciation that the raters judged: CMU phones with stress digits."""
    words = []
    for word in rated["words"]:
        phones = word["phones"].split() if isinstance(word["phones"], str) else word["phones"]
        words.append(Word(word["text"], (tuple(phone.rstrip("012") for phone in phones),), "data set"))
    return words


def collect(folder: Path, part: str, scorer: Scorer, limit: int | None) -> tuple[dict[str, Pairs], int]:
    """All scores of a part, and how many clips failed."""
    scores = json.loads((folder / "resource" / "scores.json").read_text())
    pairs = {name: Pairs() for name in ("phone", "word", "sentence accuracy", "sentence fluency", "sentence total")}
    failed = 0
    for name, path in utterances(folder, part)[:limit]:
        rated = scores[name]
        try:
            found = assess(audio.load(path), reference(rated), scorer, Wish(miscue=False, candidates=1))
        except SpeechError as exc:
            print(f"{name}: {exc.message}")
            failed += 1
            continue
        add(pairs, found, rated, scorer)
    return pairs, failed


def add(pairs: dict[str, Pairs], found: Assessment, rated: dict[str, Any], scorer: Scorer) -> None:
    """One utterance; phones are correlated by their evidence, which the logistic of the score would only bend."""
    calibration = CALIBRATIONS[scorer.calibration]
    for word, human in zip(found.words, rated["words"], strict=True):
        pairs["word"].add(word.accuracy, float(human["accuracy"]))
        for phone, score in zip(word.phones, human["phones-accuracy"], strict=True):
            pairs["phone"].add(max(calibration.evidence(phone.score), -80.0), float(score), phone.label)
    pairs["sentence accuracy"].add(found.accuracy, float(rated["accuracy"]))
    pairs["sentence fluency"].add(found.fluency, float(rated["fluency"]))
    pairs["sentence total"].add(found.overall, float(rated["total"]))


def fitted(train: Pairs, test: Pairs) -> float:
    """The correlation after a line has been fitted for each phone on the training part."""
    by_phone: dict[str, list[tuple[float, float]]] = {}
    for ours, human, phone in zip(train.ours, train.human, train.group, strict=True):
        by_phone.setdefault(phone, []).append((ours, human))
    lines = {phone: _line(points) for phone, points in by_phone.items()}
    common = _line(list(zip(train.ours, train.human, strict=True)))
    made = []
    for ours, phone in zip(test.ours, test.group, strict=True):
        slope, start = lines.get(phone, common)
        made.append(slope * ours + start)
    return pearson(made, test.human)


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    return slope, mean_y - slope * mean_x


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backend", default="sphinx", help="sphinx (the data set's phones are ARPAbet)")
    parser.add_argument("--limit", type=int, help="only the first so many utterances of a part")
    parser.add_argument("--fit", action="store_true", help="also fit phones on the training part")
    options = parser.parse_args()
    if not (options.folder / "resource" / "scores.json").is_file():
        parser.error(f"{options.folder} is not speechocean762: it has no resource/scores.json")
    scorer = Backends().scorer(options.backend, "en-us")
    if scorer.alphabet != "arpabet":
        parser.error(f"the backend {options.backend} does not score ARPAbet phones, in which the data set is rated")
    test, failed = collect(options.folder, "test", scorer, options.limit)
    print(f"\n{scorer.name}, calibration {scorer.calibration}; {failed} clips failed\n")
    print(f"{'':24}{'correlation':>12}{'items':>9}")
    for name, pairs in test.items():
        print(f"{name:24}{pearson(pairs.ours, pairs.human):12.3f}{len(pairs.ours):9}")
    if options.fit:
        train, _ = collect(options.folder, "train", scorer, options.limit)
        print(f"{'phone, fitted per phone':24}{fitted(train['phone'], test['phone']):12.3f}{len(test['phone'].ours):9}")


if __name__ == "__main__":
    main()
