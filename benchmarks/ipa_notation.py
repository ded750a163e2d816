"""Two written transcriptions of one word made comparable: notation first, then broad classes of sounds.

`plain` takes off what is a habit of writing: stress, syllables, ties, length (a doubled letter and a length mark mean
the same), tones and accents, narrow diacritics, and superscript letters; all symbols for the one rhotic of a
language become r, ligatures become two letters, and a symbol that one phoneme of the language goes by elsewhere
(HABITS) becomes that of espeak-ng. `broad` also puts sounds into one class that
dictionaries of one language write with different symbols (the sounds of CLASSES): what is then still different is
another sound, a missing one or one too many.
"""

from __future__ import annotations

import re
import unicodedata

#: One letter for what dictionaries write with different ones.
_SPELLINGS = {
    "ʧ": "tʃ", "ʤ": "dʒ", "ʦ": "ts", "ʣ": "dz", "ʨ": "tɕ", "ʥ": "dʑ", "ꭧ": "tʂ", "ɚ": "ər", "ɝ": "ɜr", "ε": "ɛ",
    "g": "ɡ", "ɫ": "l", "ɹ": "r", "ɾ": "r", "ʁ": "r", "ʀ": "r", "ɻ": "r", "ɽ": "r", "ᵐ": "m", "ⁿ": "n", "ᵑ": "ŋ",
}  # fmt: skip
_SPELLING = str.maketrans(_SPELLINGS)
#: How a phoneme of a language is written by some, and how by others; for both sides.
HABITS: dict[str, dict[str, str]] = {
    "bg": {"ɤ": "ə"},  # ъ
    "de": {"ɔɪ̯": "ɔø", "ɐ": "ɜ", "l̩": "əl", "m̩": "əm", "n̩": "ən"},  # eu, er, and el, em, en
    "en-gb": {"l̩": "əl", "m̩": "əm", "n̩": "ən"},
    "et": {"b": "p", "d": "t", "ɡ": "k", "g": "k", "ɤ": "ɵ"},  # voice is no contrast there; õ
    "eu": {"ʂ": "s"},  # z
    "hi": {"t͡ʃ": "c", "tʃ": "c", "d͡ʒ": "ɟ", "dʒ": "ɟ"},  # च and ज
    "ka": {"ʁ": "ɣ", "χ": "x"},  # ღ and ხ
    "ko": {"b": "p", "d": "t", "ɡ": "k", "g": "k", "ʑ": "ɕ", "t͡ɕʰ": "t͡ɕh", "kʰ": "kh", "pʰ": "ph", "tʰ": "th"},
    "sk": {"c": "tʲ", "ɟ": "dʲ"},  # ť and ď
    "sv": {"ɧ": "sx"},  # sj, stj
    "sw": {"ʄ": "ɟ"},  # j
}
_OPTIONAL = re.compile(r"\(([^()]*)\)")
#: What one language writes so and another otherwise.
CLASSES = {
    "r": "ɹɾʁʀɻɽ", "a": "ɑɒæäɐʌ", "o": "ɔɵ", "e": "ɛəɜɝɚœøɘ", "i": "ɪɨyʏᵻ", "u": "ʊʉɯ", "v": "ʋβwɰ", "x": "χhɦħç",
    "g": "ɡɣ", "n": "ŋɲɳ", "l": "ɫʎɭ", "ʃ": "ɕʂ", "ʒ": "ʑʐ", "d": "ɖɗ", "t": "ʈ", "j": "ɥ", "c": "kq", "b": "ɓ",
}  # fmt: skip
#: The w of a falling diphthong (au, eu), which some write u: after a vowel, none behind it.
_GLIDE = re.compile(r"(?<=[aeiou])v(?![aeiou])")
_CLASS = str.maketrans({other: one for one, others in CLASSES.items() for other in others})


def variants(entry: str) -> list[str]:
    """An entry with its optional sounds, which stand in brackets, and without them."""
    return list(dict.fromkeys((_OPTIONAL.sub(r"\1", entry), _OPTIONAL.sub("", entry))))


def plain(ipa: str, language: str = "") -> str:
    """The letters of the sounds, one for each, without what is a habit of notation."""
    for other, own in HABITS.get(language, {}).items():
        ipa = ipa.replace(other, own)
    composed = unicodedata.normalize("NFC", ipa)
    decomposed = "".join(c if c == "ç" else unicodedata.normalize("NFD", c) for c in composed).translate(_SPELLING)
    letters = "".join(c for c in decomposed if unicodedata.category(c) in ("Ll", "Lo"))
    return _single(letters.replace("ʔ", ""))


def broad(ipa: str, language: str = "") -> str:
    """`plain` in broad classes; a glide beside a vowel counts as the vowel that it is the short form of."""
    letters = plain(ipa, language).translate(_CLASS).replace("ɟ", "g").replace("k", "c").replace("j", "i")
    return _single(_GLIDE.sub("u", letters))


def _single(letters: str) -> str:
    return "".join(c for at, c in enumerate(letters) if at == 0 or letters[at - 1] != c)


def distance(one: str, other: str) -> int:
    """How many sounds must be changed, added or left out."""
    row = list(range(len(other) + 1))
    for at, a in enumerate(one, 1):
        before, row[0] = row[0], at
        for n, b in enumerate(other, 1):
            before, row[n] = row[n], min(row[n] + 1, row[n - 1] + 1, before + (a != b))
    return row[-1]


def nearest(found: str, entries: list[str]) -> tuple[int, str]:
    """The smallest distance to one of the entries, and that entry; the first one of several."""
    return min(((distance(found, entry), entry) for entry in entries), key=lambda pair: pair[0])
