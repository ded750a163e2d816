"""The benchmarks of the speech services run and reach their goals; those of text to IPA on a part of the words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ipa_cmudict, pronunciation, pronunciation_speechocean762
from tests.recipes.clips import SpeechClip
from zeroidle.recipes.speech.lexicon import Lexicon

ROOT = Path(__file__).parents[2]


def test_the_area_under_the_curve_is_the_share_of_right_pairs() -> None:
    drawn = np.random.default_rng(1)
    right, wrong = drawn.integers(0, 9, 40).astype(float), drawn.integers(-3, 6, 30).astype(float)
    pairs = [(r > w) + 0.5 * (r == w) for r in right for w in wrong]
    assert pronunciation.auc(right, wrong) == pytest.approx(float(np.mean(pairs)))


def test_substituted_phones_are_found(flite: None, tmp_path: Path) -> None:
    """The whole benchmark and the goals set for it."""
    judged = pronunciation.judge(pronunciation.clips(pronunciation.WORDS, list(pronunciation.VOICES), 1), tmp_path)
    assert sum(item.wrong for item in judged) == len(pronunciation.WORDS) * len(pronunciation.VOICES) > 240
    figures = {score: pronunciation.interval(judged, score, rounds=50) for score in pronunciation.SCORES}
    assert figures["substitution"][0] >= 0.88, figures
    assert figures["frame"][0] >= 0.85, figures
    assert figures["both"][1] <= figures["both"][0] <= figures["both"][2]
    wrong = [item for item in judged if item.wrong]
    assert sum(item.named for item in wrong) > 0.4 * len(wrong)


def test_text_to_ipa_agrees_with_the_cmu_dictionary(espeak: None) -> None:
    """1,000 words; 5,000 give 58 % of words exactly and 10 % phone errors."""
    figures = ipa_cmudict.agreement(ipa_cmudict.sample(1_000, 1))
    assert figures["exact"] > 0.5
    assert figures["errors"] < 0.13
    assert figures["refused"] <= 10


def test_the_speechocean_harness_runs_on_data_in_its_layout(
    clips: list[SpeechClip], espeak: None, tmp_path: Path
) -> None:
    """Real clips in the data set's layout with ratings that follow what was said: high for the right text."""
    lexicon, scores = Lexicon(), {}
    some = [clip for clip in clips if len(clip.text.split()) <= 6][:8]
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        lines = []
        for number, clip in enumerate(some):
            name = f"{part}{number}"
            wrong = number % 2
            words = (some[(number + 3) % len(some)] if wrong else clip).text.split()[: 3 if wrong else None]
            phones = [lexicon.words(word)[0].variants[0] for word in words]
            scores[name] = {
                "accuracy": 2 if wrong else 10, "fluency": 2 if wrong else 10, "total": 2 if wrong else 10,
                "words": [
                    {"text": word, "accuracy": 2 if wrong else 10,
                     "phones": " ".join(f"{p}1" if p[0] in "AEIOU" else p for p in own),
                     "phones-accuracy": [0.2 if wrong else 2.0] * len(own)}
                    for word, own in zip(words, phones, strict=True)
                ],
            }  # fmt: skip
            lines.append(f"{name}\t{clip.path}")
        (tmp_path / part / "wav.scp").write_text("\n".join(lines) + "\n")
    (tmp_path / "resource").mkdir()
    (tmp_path / "resource" / "scores.json").write_text(json.dumps(scores))
    program = Path(pronunciation_speechocean762.__file__)
    done = subprocess.run([sys.executable, program, tmp_path, "--fit"], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("phone", "word "))]
    rows = {line[:24].strip(): float(line[24:36]) for line in lines}
    assert rows["phone"] > 0.4 and rows["word"] > 0.4
    assert rows["phone, fitted per phone"] > 0.4
