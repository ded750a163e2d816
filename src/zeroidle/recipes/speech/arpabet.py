"""The 39 phones of the CMU dictionary, their IPA, and syllables of English made of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .errors import UnsupportedText

IPA: dict[str, str] = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "B": "b", "CH": "tʃ", "D": "d", "DH": "ð",
    "EH": "ɛ", "ER": "ɝ", "EY": "eɪ", "F": "f", "G": "ɡ", "HH": "h", "IH": "ɪ", "IY": "i", "JH": "dʒ", "K": "k",
    "L": "l", "M": "m", "N": "n", "NG": "ŋ", "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ",
    "T": "t", "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
PHONES = tuple(IPA)
VOWELS = frozenset(("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"))

#: What IPA of English can hold beyond the 39: length marks and stress are taken off before.
_FROM_IPA: dict[str, tuple[str, ...]] = {
    **{ipa: (phone,) for phone, ipa in IPA.items()},
    "ə": ("AH",), "ɐ": ("AH",), "ɚ": ("ER",), "ɜ": ("ER",), "ᵻ": ("IH",), "ɨ": ("IH",), "a": ("AA",), "ɒ": ("AA",),
    "e": ("EH",), "o": ("OW",), "r": ("R",), "ɾ": ("T",), "ʔ": ("T",), "x": ("K",), "g": ("G",), "ɬ": ("L",),
    "ɫ": ("L",), "ts": ("T", "S"), "n̩": ("AH", "N"), "m̩": ("AH", "M"), "l̩": ("AH", "L"), "əl": ("AH", "L"),
    "oɹ": ("AO", "R"), "aɪɚ": ("AY", "ER"), "ɑ̃": ("AA", "N"), "ɔ̃": ("AO", "N"), "y": ("UW",), "ø": ("ER",),
    "ʍ": ("W",), "ɛɹ": ("EH", "R"), "ɲ": ("N", "Y"), "ç": ("HH",), "β": ("V",), "ɹ̩": ("ER",),
}  # fmt: skip
_LONGEST = max(map(len, _FROM_IPA))
_MARKS = str.maketrans("", "", "ˈˌːˑ.‿͡-")

#: What a syllable of English may begin with, besides one consonant.
_CLUSTERS = """P.L P.R P.Y B.L B.R B.Y T.R T.W T.Y D.R D.W D.Y K.L K.R K.W K.Y G.L G.R G.W F.L F.R F.Y V.Y TH.R TH.W
S.P S.T S.K S.M S.N S.L S.W S.F SH.R HH.Y HH.W M.Y N.Y L.Y S.P.L S.P.R S.P.Y S.T.R S.T.Y S.K.L S.K.R S.K.W S.K.Y"""
_ONSETS = frozenset([*_CLUSTERS.split(), *(phone for phone in PHONES if phone not in VOWELS and phone != "NG")])


def from_ipa(ipa: str) -> tuple[str, ...]:
    """The phones of an English IPA string, longest match first. Raises UnsupportedText for a symbol English lacks."""
    text = ipa.translate(_MARKS).replace(" ", "")
    phones: list[str] = []
    at = 0
    while at < len(text):
        for length in range(min(_LONGEST, len(text) - at), 0, -1):
            found = _FROM_IPA.get(text[at : at + length])
            if found is not None:
                phones += found
                at += length
                break
        else:
            raise UnsupportedText(f'"{text[at]}" in "{ipa}" is no sound of English.')
    return tuple(phones)


def to_ipa(phones: Sequence[str]) -> str:
    """The phones as one IPA string."""
    return "".join(IPA.get(phone, phone) for phone in phones)


def syllables(phones: Sequence[str]) -> list[tuple[int, int]]:
    """The syllables as (first, past the last) positions: each consonant goes to the later syllable while the onset
    stays one that English has. Without a vowel, all phones are one syllable."""
    nuclei = [at for at, phone in enumerate(phones) if phone in VOWELS]
    if not nuclei:
        return [(0, len(phones))] if phones else []
    starts = [0]
    for left, right in pairwise(nuclei):
        start = right
        while start - 1 > left and ".".join(phones[start - 1 : right]) in _ONSETS:
            start -= 1
        starts.append(start)
    return list(zip(starts, [*starts[1:], len(phones)], strict=True))
