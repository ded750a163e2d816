"""How far text to IPA agrees with the CMU dictionary: `python benchmarks/ipa_cmudict.py`.

Takes words of the dictionary that comes with pocketsphinx (134,860 entries, none of them made by espeak-ng), has them
pronounced by espeak-ng, and compares phone by phone after both are written in the 39 phones of the dictionary. A word
agrees when its phones equal one of the dictionary's variants; the phone error rate counts the changes to the nearest
variant. Stress is not compared: this edition of the dictionary has none.
"""

from __future__ import annotations

import argparse
import random
import re
import time

from zeroidle.recipes.speech.arpabet import VOWELS, from_ipa
from zeroidle.recipes.speech.errors import UnsupportedText
from zeroidle.recipes.speech.g2p import Options, Transcriber
from zeroidle.recipes.speech.lexicon import Dictionary, dictionary_path

#: Vowels that the two write differently in unstressed syllables, where American English does not tell them apart.
REDUCED = {"IH": "AH", "UH": "AH", "AO": "AA"}


def distance(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many phones must be changed, added or left out."""
    row = list(range(len(other) + 1))
    for at, a in enumerate(one, 1):
        before, row[0] = row[0], at
        for n, b in enumerate(other, 1):
            before, row[n] = row[n], min(row[n] + 1, row[n - 1] + 1, before + (a != b))
    return row[-1]


def reduced(phones: tuple[str, ...]) -> tuple[str, ...]:
    """With vowels merged that many speakers do not tell apart (cot and caught, roses and Rosa's)."""
    return tuple(REDUCED.get(phone, phone) if phone in VOWELS else phone for phone in phones)


def sample(count: int, seed: int) -> list[str]:
    """Words of the dictionary: letters only, at least three, no variants' entries."""
    lines = dictionary_path().read_text(encoding="utf-8").splitlines()
    words = sorted({line.split(" ", 1)[0] for line in lines if re.match(r"[a-z]{3,} ", line)})
    return random.Random(seed).sample(words, min(count, len(words)))


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    figures = agreement(sample(options.words, options.seed))
    print(f"{figures['words']:.0f} words in {figures['seconds']:.1f} s, {figures['refused']:.0f} of them refused")
    print(f"{'':34}{'words that agree':>18}{'phone error rate':>18}")
    print(f"{'exactly':34}{figures['exact']:>18.1%}{figures['errors']:>18.1%}")
    print(f"{'without vowel mergers of American':34}{figures['merged exact']:>18.1%}{figures['merged errors']:>18.1%}")


def agreement(words: list[str]) -> dict[str, float]:
    """The shares of words and phones that agree."""
    dictionary, transcriber = Dictionary(dictionary_path()), Transcriber()
    start = time.perf_counter()
    exact = merged_exact = errors = merged_errors = phones = refused = 0
    for at in range(0, len(words), 200):
        part = words[at : at + 200]
        for word in transcriber.transcribe(" ".join(part), "en-us", Options(per_word=True)).words:
            try:
                found = tuple(p for phone in word.phones for p in from_ipa(phone)) if word.ipa else ()
            except UnsupportedText:
                found = ()
            if not found:
                refused += 1
                continue
            variants = dictionary.variants(word.word)
            near = min(distance(found, variant) for variant in variants)
            merged = min(distance(reduced(found), reduced(variant)) for variant in variants)
            exact += near == 0
            merged_exact += merged == 0
            errors += near
            merged_errors += merged
            phones += min(len(variant) for variant in variants)
    transcriber.close()
    said = len(words) - refused
    return {
        "words": len(words), "seconds": time.perf_counter() - start, "refused": refused, "exact": exact / said,
        "errors": errors / phones, "merged exact": merged_exact / said, "merged errors": merged_errors / phones,
    }  # fmt: skip


if __name__ == "__main__":
    main()
