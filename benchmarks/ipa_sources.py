"""How far text to IPA agrees with pronunciation sources other than espeak-ng: `python -m benchmarks.ipa_sources`.

For each of 40 languages words are drawn at random, pronounced by the recipe (espeak-ng) and by a dictionary or by
rules that other people wrote (`ipa_readers.SOURCES`), and compared sound by sound with the source's nearest entry:
once without what is a habit of notation, once in broad classes of sounds (both in `ipa_notation`). The first figure
is low wherever two traditions write one sound with different letters (e and ɛ); the second is what to look at. The
phone error rate counts sounds changed, added or left out by the sounds of the entry; its 95 % interval is over words
drawn again. English of America is in `ipa_cmudict.py`.

The sources are installed by name: Python packages into .cache/ipa-sources, dictionaries by scripts/apt. Where a source
has rules and no words, the words come from wordfreq (the 20,000 most frequent), from a Debian word list or from CLDR.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ipa_notation import broad, nearest, plain, variants
from benchmarks.ipa_readers import SOURCES
from zeroidle.recipes.speech.arpabet import to_ipa
from zeroidle.recipes.speech.ipa_service import IpaService
from zeroidle.recipes.speech.lexicon import Dictionary, dictionary_path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".cache" / "ipa-sources"
PACKAGES = (
    "ahotts-g2p==0.1.0", "babel==2.18.0", "epitran==1.35.3", "ko-pron==1.3", "orthography2ipa==7.93.16",
    "setuptools", "wordfreq==3.1.1",
    *(f"gruut-lang-{name}==2.0.1" for name in ("ca", "cs", "es", "fa", "pt", "ru", "sv", "sw")),
)  # fmt: skip
DEBIAN = (
    *(f"dict-freedict-{name}" for kind, name in SOURCES.values() if kind == "wikdict"),
    "dict-freedict-afr-eng", "dict-freedict-cym-eng", "dict-freedict-epo-eng", "hunspell-eu", "myspell-et",
)  # fmt: skip
Entries = dict[str, list[str]]
_ROUNDS = 1_000


@dataclass(frozen=True, slots=True)
class Agreement:
    """What one language gave. Shares are of 1; intervals hold 95 %."""

    language: str
    source: str
    words: int
    refused: int
    exact: float
    exact_interval: tuple[float, float]
    errors: float
    errors_interval: tuple[float, float]
    broad_exact: float
    broad_errors: float
    broad_interval: tuple[float, float]


def environment() -> Path:
    """The interpreter of .cache/ipa-sources, made when it is missing or its list of packages has changed."""
    stamp = FOLDER / "packages.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != list(PACKAGES):
        shutil.rmtree(FOLDER, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
        pip = [str(FOLDER / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES], check=True)
        stamp.write_text(json.dumps(list(PACKAGES)))
    subprocess.run(["bash", ROOT / "scripts" / "apt", *DEBIAN], check=True, stdin=subprocess.DEVNULL)
    return FOLDER / "bin" / "python"


def entries(wanted: dict[str, dict[str, Any]]) -> dict[str, Entries]:
    """What the sources say: `wanted` holds {"words": [...]} or {"sample": count, "seed": number} by language."""
    program = Path(__file__).with_name("ipa_readers.py")
    own = {language: cmudict(asked) for language, asked in wanted.items() if language == "en-us"}
    rest = {language: asked for language, asked in wanted.items() if language != "en-us"}
    if not rest:
        return own
    done = subprocess.run(
        [environment(), program], input=json.dumps(rest), stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Entries] = json.loads(done.stdout)
    return own | found


def cmudict(wanted: dict[str, Any]) -> Entries:
    """Entries of the dictionary that comes with pocketsphinx, in IPA."""
    words = wanted.get("words")
    if words is None:
        lines = dictionary_path().read_text(encoding="utf-8").splitlines()
        every = sorted({line.split(" ", 1)[0] for line in lines if re.match(r"[a-z]{3,} ", line)})
        words = random.Random(wanted["seed"]).sample(every, min(wanted["sample"], len(every)))
    dictionary = Dictionary(dictionary_path())
    return {word: said for word in words if (said := [to_ipa(phones) for phones in dictionary.variants(word)])}


def pronounced(service: IpaService, language: str, words: list[str]) -> dict[str, str | None]:
    """What the recipe answers for each word as a text of its own; None when it refuses."""
    found: dict[str, str | None] = {}
    for at in range(0, len(words), 500):
        answer = service.run({"texts": words[at : at + 500], "language": language}, lambda event: None)
        found |= {result["text"]: result["ipa"] for result in answer["results"]}
    return found


def compare(language: str, source: Entries, answers: dict[str, str | None], seed: int) -> Agreement:
    """The shares of words and sounds that agree."""
    said = {word: ipa for word, ipa in answers.items() if ipa}
    exactly = _errors(plain, language, source, said)
    broadly = _errors(broad, language, source, said)
    right, broad_right = (int((errors[:, 0] == 0).sum()) for errors in (exactly, broadly))
    return Agreement(
        language, _named(language), len(source), len(source) - len(said),
        right / len(said), wilson(right, len(said)), _rate(exactly), _interval(exactly, seed),
        broad_right / len(said), _rate(broadly), _interval(broadly, seed),
    )  # fmt: skip


def _errors(reduce: Callable[[str, str], str], language: str, source: Entries, said: dict[str, str]) -> Any:
    """For each word: errors against the nearest entry, sounds of that entry."""
    rows = []
    for word, ipa in said.items():
        errors, entry = nearest(reduce(ipa, language), [reduce(entry, language) for entry in forms(source[word])])
        rows.append((errors, len(entry)))
    return np.array(rows)


def forms(written: list[str]) -> list[str]:
    """All forms of a word's entries."""
    return [form for entry in written for form in variants(entry)]


def _rate(errors: Any) -> float:
    return float(errors[:, 0].sum() / errors[:, 1].sum())


def _interval(errors: Any, seed: int) -> tuple[float, float]:
    drawn = np.random.default_rng(seed)
    rates = [_rate(errors[drawn.integers(0, len(errors), len(errors))]) for _ in range(_ROUNDS)]
    low, high = np.percentile(rates, (2.5, 97.5))
    return float(low), float(high)


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, z2 = hits / tries, 1.96**2
    middle = (share + z2 / (2 * tries)) / (1 + z2 / tries)
    half = 1.96 * math.sqrt(share * (1 - share) / tries + z2 / (4 * tries**2)) / (1 + z2 / tries)
    return middle - half, middle + half


def _named(language: str) -> str:
    return "cmudict" if language == "en-us" else " ".join(SOURCES[language])


def table(rows: Iterable[Agreement]) -> str:
    """The rows as text."""
    lines = [
        f"{'':6}{'source':25}{'words':>6}{'refused':>8}{'exact':>7}{'95 %':>12}{'errors':>8}{'95 %':>14}"
        f"{'broad:':>8}{'exact':>6}{'errors':>8}{'95 %':>14}"
    ]
    for row in rows:
        lines.append(
            f"{row.language:6}{row.source:25}{row.words:>6}{row.refused:>8}"
            f"{row.exact:>7.0%}{_span(row.exact_interval, 0):>12}"
            f"{row.errors:>8.1%}{_span(row.errors_interval, 1):>14}"
            f"{row.broad_exact:>14.0%}{row.broad_errors:>8.1%}{_span(row.broad_interval, 1):>14}"
        )
    return "\n".join(lines)


def _span(interval: tuple[float, float], digits: int) -> str:
    low, high = (f"{100 * value:.{digits}f}" for value in interval)
    return f"{low} to {high}"


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=1_000, help="for each language")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="also print so many words that differ most")
    parser.add_argument(
        "languages", nargs="*", default=sorted(SOURCES), help="all but en-us (benchmarks/ipa_cmudict.py)"
    )
    options = parser.parse_args()
    found = entries({language: {"sample": options.words, "seed": options.seed} for language in options.languages})
    service = IpaService()
    answers = {language: pronounced(service, language, list(source)) for language, source in found.items()}
    print(table(compare(language, found[language], answers[language], options.seed) for language in found))
    for language in found if options.show else ():
        print(language, *differing(language, found[language], answers[language])[: options.show], sep="\n  ")


def differing(language: str, source: Entries, answers: dict[str, str | None]) -> list[str]:
    """Words with what both say, those first that differ most."""
    lines = []
    for word, ipa in answers.items():
        if ipa:
            errors, _ = nearest(broad(ipa, language), [broad(entry, language) for entry in forms(source[word])])
            lines.append((-errors, f"{word}: {ipa} here, {' or '.join(source[word])} there, {errors} sounds"))
    return [line for _, line in sorted(lines)]


if __name__ == "__main__":
    main()
