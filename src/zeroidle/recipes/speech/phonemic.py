"""Reference pronunciations in IPA for backends whose phones are IPA: espeak-ng's, cut into the phones a model knows."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence

from . import text as texts
from .errors import InputError, UnsupportedText
from .espeak import Voice
from .g2p import Options, Transcriber
from .lexicon import Word, pauses_after

_STRESS = str.maketrans("", "", "ˈˌ.‿͡")
#: Other ways to write a phone, tried in order when a model does not know it.
_ALSO: dict[str, tuple[str, ...]] = {
    "ɚ": ("ɝ", "əɹ", "ɜɹ", "ə"), "ɝ": ("ɚ", "ɜɹ", "əɹ"), "ɜː": ("ɜ", "ɝ", "ɚ", "ə"), "ɡ": ("g",), "g": ("ɡ",),
    "ᵻ": ("ɪ", "ɨ"), "ɐ": ("ə", "ʌ", "a"), "ɹ": ("r", "ɻ"), "r": ("ɹ", "ɾ"), "ɾ": ("t", "d"), "ʔ": ("t",),
    "tʃ": ("t͡ʃ", "t ʃ"), "dʒ": ("d͡ʒ", "d ʒ"), "ʌ": ("ɐ", "ə"), "ɔ": ("ɔː", "ɒ"), "ɑː": ("ɑ",), "iː": ("i",),
    "uː": ("u",), "ɔː": ("ɔ",), "i": ("iː",), "u": ("uː",), "a": ("ä", "ɑ", "æ"), "e": ("ɛ",), "o": ("ɔ",),
    "ɛ": ("e",), "ɒ": ("ɔ", "ɑ"), "ɫ": ("l",), "x": ("χ", "h"), "ts": ("t͡s", "t s"),
}  # fmt: skip


def spell(
    text: str, voice: Voice, transcriber: Transcriber, phones: Collection[str], extra: Mapping[str, Sequence[str]] = {}
) -> list[Word]:
    """The words of a text, each in citation form. `extra` gives IPA for words of the caller's own.

    Raises InputError for an empty text and UnsupportedText for what cannot be pronounced or spelled.
    """
    cleaned = texts.clean(text)
    found = texts.words(cleaned)
    if not found:
        raise InputError(f'The text "{text.strip()[:40]}" holds no word that can be pronounced.')
    result = transcriber.transcribe(text, voice.language, Options(per_word=True))
    if result.errors:
        raise UnsupportedText(" ".join(dict.fromkeys(result.errors)))
    own = {word.lower(): items for word, items in extra.items()}
    words = []
    for word, spoken, pause in zip(found, result.words, pauses_after(cleaned, found), strict=True):
        ways = own.get(word.lower())
        variants = tuple(segment([way], phones) for way in ways) if ways else (segment(spoken.phones, phones),)
        words.append(Word(word, variants, "caller" if ways else "espeak-ng", pause))
    return words


def segment(pieces: Sequence[str], phones: Collection[str]) -> tuple[str, ...]:
    """IPA pieces as phones of a model: each piece whole if it is known, else cut by the longest known parts.

    Raises UnsupportedText for a sound without any counterpart.
    """
    result: list[str] = []
    for piece in pieces:
        result += _cut(unicodedata.normalize("NFC", piece).translate(_STRESS), phones)
    if not result:
        raise UnsupportedText(f'"{"".join(pieces)}" holds no sound.')
    return tuple(result)


def _cut(piece: str, phones: Collection[str]) -> list[str]:
    found: list[str] = []
    rest = piece.replace(" ", "")
    while rest:
        for length in range(len(rest), 0, -1):
            known = _known(rest[:length], phones)
            if known is not None:
                found += known
                rest = rest[length:]
                break
        else:
            if _is_mark(rest[0]):  # a length mark or a diacritic that this model does not write
                rest = rest[1:]
                continue
            raise UnsupportedText(f'The acoustic model has no phone for "{rest[0]}" in "{piece}".')
    return found


def _known(part: str, phones: Collection[str]) -> list[str] | None:
    if part in phones:
        return [part]
    for other in _ALSO.get(part, ()):
        pieces = other.split(" ")
        if all(piece in phones for piece in pieces):
            return pieces
    return None


def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Lm", "Sk") or char.isdigit()
