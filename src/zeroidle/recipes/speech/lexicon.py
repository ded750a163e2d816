"""Reference pronunciations of English words: the CMU dictionary, and espeak-ng for words it does not have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from . import text as texts
from .arpabet import PHONES, from_ipa
from .errors import InputError, MissingProgram, UnsupportedText
from .g2p import Options, Transcriber

Variants = tuple[tuple[str, ...], ...]
#: More variants than this make the search larger without making it better.
_MAX_VARIANTS = 6
_PARTS = re.compile(r"[-‐‑/]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the reference text with its pronunciations (best known first) and where they come from.

    `pause` is True when punctuation follows, so that a pause is expected and not an error.
    """

    text: str
    variants: Variants
    source: str
    pause: bool = False


def dictionary_path() -> Path:
    """The dictionary that comes inside the pocketsphinx package. Raises MissingProgram."""
    try:
        import pocketsphinx
    except ImportError as exc:
        raise MissingProgram('The package "pocketsphinx" is not installed: run "pip install pocketsphinx".') from exc
    return Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"


class Dictionary:
    """The CMU dictionary as bytes in memory; a word is found by searching them, so that opening it costs nothing."""

    def __init__(self, path: Path) -> None:
        self._data = b"\n" + path.read_bytes().replace(b"\r", b"") + b"\n"
        self._find = lru_cache(maxsize=20_000)(self._look_up)
        self._index: dict[bytes, list[bytes]] | None = None
        self._misses = 0

    def variants(self, word: str) -> Variants:
        """All pronunciations of a word in lower case; empty when it has none."""
        return self._find(word)

    def _look_up(self, word: str) -> Variants:
        key = word.encode()
        if not key or any(mark in key for mark in (b" ", b"\n", b"(")):
            return ()
        self._misses += 1
        if self._misses > 50:  # a search costs about a millisecond, the index a hundred
            lines = self._indexed().get(key, [])
        else:
            pattern = rb"\n" + re.escape(key) + rb"(?:\(\d+\))? ([^\n]+)"
            lines = re.findall(pattern, self._data)
        return tuple(dict.fromkeys(tuple(line.decode().split()) for line in lines))[:_MAX_VARIANTS]

    def _indexed(self) -> dict[bytes, list[bytes]]:
        if self._index is None:
            self._index = {}
            for entry, phones in re.findall(rb"\n([^\s(]+)(?:\(\d+\))? ([^\n]+)", self._data):
                self._index.setdefault(entry, []).append(phones)
        return self._index


class Lexicon:
    """Words of an English text with their pronunciations."""

    def __init__(self, transcriber: Transcriber | None = None, path: Path | None = None) -> None:
        self._dictionary = Dictionary(path or dictionary_path())
        self._transcriber = transcriber or Transcriber()

    def close(self) -> None:
        """Ends the espeak-ng process, if one was needed."""
        self._transcriber.close()

    def words(self, text: str, extra: dict[str, Sequence[str]] | None = None) -> list[Word]:
        """The words of a reference text. `extra` gives pronunciations (ARPAbet or IPA) for words of the caller's own.

        Raises InputError for an empty text and UnsupportedText for a word without a pronunciation.
        """
        cleaned = texts.clean(text)
        found = texts.words(cleaned)
        if not found:
            raise InputError(f'The text "{text.strip()[:40]}" holds no word that can be pronounced.')
        pauses = pauses_after(cleaned, found)
        own = {word.lower(): tuple(_own(word, item) for item in items) for word, items in (extra or {}).items()}
        return [
            Word(word, variants, source, pause)
            for word, pause in zip(found, pauses, strict=True)
            for variants, source in (self._pronounce(word, own),)
        ]

    def _pronounce(self, word: str, own: dict[str, Variants]) -> tuple[Variants, str]:
        key = word.lower().replace("’", "'").replace("‘", "'")
        if key in own:
            return own[key], "caller"
        if variants := self._dictionary.variants(key):
            return variants, "dictionary"
        parts = [part for part in _PARTS.split(key) if part]
        known = [self._dictionary.variants(part) for part in parts]
        if len(parts) > 1 and all(known):
            return (tuple(phone for variants in known for phone in variants[0]),), "dictionary"
        return (self._spoken(word),), "espeak-ng"

    def _spoken(self, word: str) -> tuple[str, ...]:
        """By espeak-ng, also numbers and symbols."""
        result = self._transcriber.transcribe(word, "en-us", Options(per_word=True, allow_language_switch=False))
        if result.ipa is None:
            raise UnsupportedText(result.errors[0])
        phones = tuple(p for item in result.words for phone in item.phones for p in from_ipa(phone))
        if not phones:
            raise UnsupportedText(f'The word "{word[:40]}" has no sound in English.')
        return phones


def _own(word: str, pronunciation: str) -> tuple[str, ...]:
    symbols = pronunciation.upper().split()
    stripped = tuple(symbol.rstrip("012") for symbol in symbols)
    if stripped and all(symbol in PHONES for symbol in stripped):
        return stripped
    try:
        return from_ipa(pronunciation)
    except UnsupportedText as exc:
        raise InputError(f'The pronunciation "{pronunciation[:40]}" of "{word[:40]}": {exc.message}') from exc


def pauses_after(cleaned: str, found: Sequence[str]) -> list[bool]:
    """For each word whether punctuation that calls for a pause follows it."""
    pauses = []
    at = 0
    for word in found:
        at = cleaned.index(word, at) + len(word)
        after = re.match(r"[^\w]*", cleaned[at:])
        pauses.append(bool(after and re.search(r"[.,;:!?…—–。，、]|\n| - ", after.group())))
    if pauses:
        pauses[-1] = True
    return pauses
