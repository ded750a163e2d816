"""Pronunciations of words in 40 languages by packages that are not espeak-ng.

Runs in the environment that `ipa_sources.py` makes: reads {"language": {"words": [...]} or {"sample": n, "seed": s}}
as JSON and prints {"language": {word: [IPA, ...]}}; a word that the source does not have is left out.
"""

from __future__ import annotations

import gzip
import importlib
import json
import logging
import random
import re
import sqlite3
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

#: Which package pronounces a language, and what it calls the language.
SOURCES: dict[str, tuple[str, str]] = {
    **{language: ("wikdict", name) for language, name in {
        "en-gb": "eng-fin", "de": "deu-swe", "fr": "fra-fin", "it": "ita-fin", "nl": "nld-fin", "pl": "pol-eng",
        "el": "ell-eng"}.items()},
    **{language: ("gruut", name) for language, name in {
        "ca": "ca", "cs": "cs", "es": "es", "fa": "fa", "pt-br": "pt", "ru": "ru", "sv": "sv", "sw": "sw"}.items()},
    **{language: ("epitran", name) for language, name in {
        "eo": "epo-Latn", "fi": "fin-Latn", "hi": "hin-Deva", "hr": "hrv-Latn",
        "hu": "hun-Latn", "id": "ind-Latn", "ja": "jpn-Hira", "ka": "kat-Geor", "lt": "lit-Latn",
        "ro": "ron-Latn", "sl": "slv-Latn", "tr": "tur-Latn", "uk": "ukr-Cyrl"}.items()},
    "ko": ("ko-pron", "ko"),
    "eu": ("ahotts", "eu"),
    **{language: ("orthography2ipa", language) for language in (
        "af", "bg", "cy", "da", "et", "is", "lv", "mk", "nb", "sk")},
}  # fmt: skip
#: Where the words of a sample come from when the source has rules and no list: wordfreq, unless named here.
WORD_LISTS = {
    "af": "/usr/share/dictd/freedict-afr-eng.dict.dz", "cy": "/usr/share/dictd/freedict-cym-eng.dict.dz",
    "eo": "/usr/share/dictd/freedict-epo-eng.dict.dz", "et": "/usr/share/hunspell/et_EE.dic",
    "eu": "/usr/share/hunspell/eu.dic", "ka": "babel",
}  # fmt: skip
_SCRIPTS = {"ja": "HIRAGANA", "ko": "HANGUL", "hi": "DEVANAGARI", "ka": "GEORGIAN", "fa": "ARABIC"}
_CYRILLIC, _GREEK = ("bg", "mk", "ru", "uk"), ("el",)
_VOWELS = "aeiouyɑɒæəɛɜɪʊʏøœɔʌɐɨɯɤɘɵɶʉɞᵻᵿãẽĩõũɚɝ"
#: Marks that people write in Wiktionary and espeak-ng never does.
_BY_HAND = re.compile(rf"[.̯̑͡]|[ˈˌ'](?![{_VOWELS}ɑ̃ɛ̃ɔ̃])")
_TOP = 20_000
Lookup = Callable[[str], list[str]]


def wikdict(name: str) -> dict[str, list[str]]:
    """Entries of a FreeDict dictionary that WikDict made from Wiktionary, as far as a person wrote the pronunciation.

    FreeDict's tools have espeak-ng pronounce the headwords for which Wiktionary has nothing. Those are recognised by
    their notation: espeak-ng puts the stress mark before the vowel, people before the syllable; it writes no dots
    between syllables, no ties and no marks of diphthongs. What has none of these is left out, whoever wrote it.
    """
    entries: dict[str, list[str]] = {}
    with gzip.open(f"/usr/share/dictd/freedict-{name}.dict.dz", "rt", encoding="utf-8") as lines:
        for line in lines:
            found = re.match(r"(\S+) (/.*/)(?=\s|$|,)", line)
            if found:
                said = (part.strip("/").strip() for part in re.split(r"/[\s,]+/", found[2]))
                by_hand = [part for part in said if _BY_HAND.search(part) and "<" not in part]
                if by_hand:
                    entries.setdefault(found[1], []).extend(by_hand)
    return entries


def gruut(name: str) -> dict[str, list[str]]:
    """The lexicon of a gruut language package; its other folder, `espeak`, is not read."""
    folder = Path(str(importlib.import_module(f"gruut_lang_{name}").__file__)).parent
    entries: dict[str, list[str]] = {}
    with sqlite3.connect(f"file:{folder / 'lexicon.db'}?mode=ro", uri=True) as lexicon:
        for word, phones in lexicon.execute("SELECT word, phonemes FROM word_phonemes ORDER BY id"):
            entries.setdefault(word, []).append(phones)
    return entries


def rules(kind: str, name: str) -> Lookup:
    """A program that pronounces any word by rules."""
    if kind == "epitran":
        epitran: Any = importlib.import_module("epitran")
        transliterate = epitran.Epitran(name).transliterate
        return lambda word: [transliterate(word)]
    if kind == "orthography2ipa":
        transcribe = importlib.import_module("orthography2ipa").transcribe
        return lambda word: [transcribe(word, name)]
    if kind == "ko-pron":
        romanise = importlib.import_module("ko_pron").romanise
        return lambda word: re.findall(r"[^][ ,~/]+", romanise(word, "ipa").replace(" or ", " "))
    return _ahotts(name)


def _ahotts(name: str) -> Lookup:
    """AhoTTS writes each sound as one character, a stressed vowel as a capital."""
    phonemize = importlib.import_module("ahotts_g2p").phonemize
    folded = importlib.import_module("ahotts_g2p.phones").MULTI
    letters = str.maketrans({one: many.replace("'", "ˈ") for many, one in folded.items()})
    return lambda word: [phonemize(word, name).translate(letters)]


def word_list(language: str) -> list[str]:
    """Words of a language, the frequent ones where wordfreq knows the language."""
    where = WORD_LISTS.get(language)
    if where == "babel":
        locale = importlib.import_module("babel").Locale(language)
        tables = (locale.territories, locale.languages, locale.currencies, locale.months["stand-alone"]["wide"])
        return _usable(language, (w for table in tables for name in table.values() for w in name.split()))
    if where is None:
        name = {"hr": "sh"}.get(language, language)
        return _usable(language, importlib.import_module("wordfreq").top_n_list(name, _TOP))
    if where.endswith(".dz"):
        with gzip.open(where, "rt", encoding="utf-8") as lines:
            return _usable(language, (line.split(" /")[0] for line in lines if re.match(r"\S+ /", line)))
    encoding = "iso8859-15" if language == "et" else "utf-8"
    with Path(where).open(encoding=encoding) as lines:
        return _usable(language, (line.split("/")[0].strip() for line in lines))


def _usable(language: str, words: Iterable[str]) -> list[str]:
    """Words of at least three letters (two in syllabic scripts) of the language's script, no capitals inside."""
    script = _SCRIPTS.get(language, "CYRILLIC" if language in _CYRILLIC else "GREEK" if language in _GREEK else "LATIN")
    least = 2 if script in ("HIRAGANA", "HANGUL", "ARABIC") else 3
    kept = {
        word for word in words
        if len(word) >= least and word[1:] == word[1:].lower()
        and all(unicodedata.category(c)[0] in "LM" for c in word)
        and all(unicodedata.name(c, "").startswith((script, "COMBINING")) for c in word)
    }  # fmt: skip
    return sorted(kept)


def _entry_of(entries: dict[str, list[str]]) -> Lookup:
    return lambda word: entries.get(word) or entries.get(word.lower(), [])


def answer(language: str, wanted: dict[str, Any]) -> dict[str, list[str]]:
    """The pronunciations of the words, or of a random sample of the source's words."""
    kind, name = SOURCES[language]
    entries = wikdict(name) if kind == "wikdict" else gruut(name) if kind == "gruut" else {}
    look_up = _entry_of(entries) if entries else rules(kind, name)
    words = wanted.get("words")
    if words is None:
        every = _usable(language, entries) if entries else word_list(language)
        words = random.Random(wanted["seed"]).sample(every, min(wanted["sample"], len(every)))
    found = {word: [said for said in look_up(word) if said] for word in words}
    return {word: list(dict.fromkeys(said)) for word, said in found.items() if said}


def main() -> None:
    """Answers the request on standard input."""
    warnings.simplefilter("ignore")
    logging.disable()
    request = json.load(sys.stdin)
    json.dump({language: answer(language, wanted) for language, wanted in request.items()}, sys.stdout)


if __name__ == "__main__":
    main()
