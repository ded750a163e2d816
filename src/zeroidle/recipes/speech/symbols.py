"""From what espeak-ng 1.51 prints as the IPA of a sound to the IPA that it means.

`espeak-ng --ipa` prints a phoneme's IPA where its phoneme sources (phsource/ph_*) give one, and otherwise the phoneme's
own name, letter by letter, through the table `ipa1` of its dictionary.c; that table has no entry for ^ . ` " + and the
like. Some of the sources' IPA strings are none either: Kirghiz ones hold names (oe, d[), German and Oromo ones question
marks, Danish ones a Greek epsilon. Each entry here says what the phoneme is: by the sources where a ph_ file is named,
by the compiled tables of 1.51 (phontab, phonindex) and the words that have it where the comment says so.
"""

from __future__ import annotations

import re
import unicodedata

_VOWELS = "aeiouyæøœɐɑɒɔɘəɚɛɜɝɞɤɨɪɯɵɶʉʊʌʏᵻ"
#: The letters of the IPA's chart of 2020, with the Latin and Greek ones that it shares, and ᵻ: not of the chart, but
#: of dictionaries for the English vowel between ɪ and ə, which espeak-ng has and nothing in the chart names.
_LETTERS = frozenset(
    "abcdefhijklmnopqrstuvwxyz" + _VOWELS + "ɡçðħŋβθχɓɕɖɗɟɠɢɣɥɦɧɫɬɭɮɰɱɲɳɴɸɹɺɻɽɾʀʁʂʃʄʈʋʍʎʐʑʒʔʕʘʙʛʜʝʟʡʢǀǁǂǃ"
)
#: Marks above, below and through a letter, the tie, and letters raised, which is how the IPA writes a secondary sound.
_DIACRITICS = frozenset(
    "\u0334\u0325\u032c\u0339\u031c\u031f\u0320\u0329\u032f\u0324\u0330\u033c\u032a\u033a\u033b\u031d\u031e\u0318\u0319"
    "\u0303\u0306\u0308\u030a\u033d\u031a\u0300\u0301\u0302\u030c\u0361\u035c˞ʰʲʷʼˤˠⁿˡʱˀᵐᵑᶯᶮᵝ"
)
#: Stress, length, tone letters and the blank between words.
_SUPRASEGMENTALS = frozenset("ˈˌːˑ˥˦˧˨˩ ")
ALPHABET = _LETTERS | _DIACRITICS | _SUPRASEGMENTALS

#: Names and IPA strings that mean the same wherever they are printed.
_EVERYWHERE = {
    # phsource/phonemes, consonants: retroflex sounds have a full stop, palatal ones a circumflex.
    "s.": "ʂ", "z.": "ʐ", "ts.": "tʂ", "ts.h": "tʂʰ", "r.": "ɽ", "r.ʰ": "ɽʰ", "n^": "ɲ", "k^": "c", "ɣ^": "ʝ",
    # IPA strings in the sources that are names: Kirghiz tS dZ S, Luxembourgish and Kirghiz X, Kirghiz N and oe.
    "tS": "tʃ", "dZ": "dʒ", "S": "ʃ", "X": "χ", "N": "ŋ", "oe": "ø", "oeː": "øː",
    # Setswana K, the voiceless lateral fricative of X-SAMPA; P, whose entry of `ipa1` is the Greek capital phi.
    "K": "ɬ", "Φ": "ɸ",
    # Unicode has one code for the affricate; Luxembourgish prints it, the IPA has two letters.
    "ʦ": "ts",
}  # fmt: skip
#: What one character means wherever it is left: ASCII for IPA's own letters, Greek epsilon for Latin.
_CHARACTERS = str.maketrans({"g": "ɡ", ":": "ː", "[": "̪", "ε": "ɛ"})
_DEVOICED = {"l": "l̥", "m": "m̥", "n": "n̥", "ɲ": "ɲ̊", "ŋ": "ŋ̊", "r": "r̥", "tl": "tɬ"}

#: What is particular to a language, by the first part of its tag or by all of it.
_BY_LANGUAGE: dict[str, dict[str, str]] = {
    # ph_arabic: "dark" vowels after "thick" consonants, by the spectra aa, ii and u.
    "ar": {"a.": "ɑ", "i.": "ɪ", "u.": "u"},
    # Mandarin and Hakka, by the words: the vowel of si and shi; ong; h after a stop or affricate is its aspiration.
    "cmn": {"i.": "ɨ", "onɡ": "ʊŋ", "th": "tʰ", "ph": "pʰ", "kh": "kʰ", "tsh": "tsʰ"},
    "hak": {"i.": "ɨ"},
    # ph_danish: "?" before a vowel marks the short one of a pair, no glottal stop; two IPA strings hold it as well.
    "da": {f"{mark}{vowel}": vowel for mark in "ʔ?" for vowel in ("a", "ɑ", "e", "ɛ", "i", "o", "ɒ", "ɔ", "u", "y", "œ",
                                                               "ʌ", "ø", "æ")},
    # ph_german: "ipa ʊɐ" and "ipa iɐ", whose second letters (of UR, both) the compiled data lost.
    "de": {"??": "ʊɐ", "i?": "iɐ"},
    # Persian rules write q1 for ق and غ; the default tone 1 of the base table has no sound.
    "fa": {"1": ""},
    # Irish, by the compiled tables: the IPA string of phoneme 0 is A, in words with a broad a (cat).
    "ga": {"A": "ɑ"},
    # Latvian, by the words: a and o before j (vajadzīgo, projektiem), where no diphthong is meant.
    "lv": {"a`": "a", "o`": "o"},
    # Maori, by the compiled tables: u" as in Russian, the fronted u of today's speakers.
    "mi": {'u"': "ʉ", 'u"ː': "ʉː"},
    # Oromo's letter y is the consonant j; its phoneme was copied from the Amharic vowel ɨ, with "ipa ?".
    "om": {"?": "j", "??": "jj"},
    # ph_russian: u" is the fronted u of ю, я ... after soft consonants; I^ a silent i that softens the consonant.
    "ru": {'u"': "ʉ", "ɪ^": "ʲ"},
    "uk": {'u"': "ʉ", "ɪ^": "ʲ"},
    "be": {'u"': "ʉ", "ɪ^": "ʲ"},
    # ph_vietnam: the o of ong and oc; the k that ends a syllable in the centre and the south.
    "vi": {"ɔ+": "ɔ", "kh": "k"},
    # Malayalam, by the words: ഴ, the retroflex approximant.
    "ml": {"r.": "ɻ"},
}  # fmt: skip
#: Tones of languages whose phonemes for them have no IPA: what follows the vowel. "ɜ" is what 3 is printed as.
_TONES: dict[str, dict[str, str]] = {
    # ph_vietnam names them: ngang (7: at the end of a clause), huyền, sắc, hỏi, ngã, nặng; the contours are those of
    # Hanoi, Huế and Saigon as dictionaries write them.
    "vi": {"1": "˧", "2": "˨˩", "3": "˧˥", "4": "˧˩˧", "5": "˧ˀ˥", "6": "˧˨ʔ", "7": "˧"},
    "vi-vn-x-central": {"1": "˧", "2": "˦˩", "3": "˨˩˦", "4": "˧˨", "5": "˧˨", "6": "˨˩ʔ", "7": "˧"},
    "vi-vn-x-south": {"1": "˧", "2": "˨˩", "3": "˦˥", "4": "˨˩˦", "5": "˨˩˦", "6": "˨˩˨", "7": "˧"},
    # Cantonese, by the compiled tables: the numbers of Jyutping; 7 is the falling first tone.
    "yue": {"1": "˥", "2": "˧˥", "3": "˧", "4": "˨˩", "5": "˩˧", "6": "˨", "7": "˥˧"},
    # ph_shan gives the contours in comments; the Thai voice has the same phonemes.
    "shn": {"1": "˨˦", "2": "˩˩", "3": "˧˨", "4": "˥˥", "5": "˦˨", "6": "˧˦˧"},
    "th": {"1": "˨˦", "2": "˩˩", "3": "˧˨", "4": "˥˥", "5": "˦˨", "6": "˧˦˧"},
    # Hakka: the compiled tables hold these contours as IPA, which --ipa does not print.
    "hak": {"1": "˨˦", "2": "˩˩", "3": "˧˩", "4": "˥˥", "5": "˨", "6": "˥"},
    # ph_myanmar names them: low, high, creaky, checked.
    "my": {"1": "˨", "2": "˥", "3": "˥ˀ", "4": "˥ʔ"},
}
#: Mandarin tones are named by the digits of their contours. Of these --ipa prints only the first, so that "5" is 55 and
#: 51 alike (`with_contours`).
_CONTOUR = str.maketrans("12345", "˩˨˧˦˥")
_NAMED_TONE = re.compile(r"(?<=[^\W\d_])[@.:^-]*(\d\d+)(?=;?(?:_|\s|$))")
_PRINTED_TONE = re.compile(r"(?<=[^\s\d_ˈˌ])(?:\d|ɜ)(?=ʲ?(?:_|\s|$))")

#: Jyutping, in which the Cantonese phonemes are named.
_JYUTPING = {
    "b": "p", "d": "t", "ɡ": "k", "z": "ts", "c": "tsʰ", "ng": "ŋ", "a": "ɐ", "aa": "aː", "ai": "ɐi", "aai": "aːi",
    "au": "ɐu", "aau": "aːu", "e": "ɛː", "eu": "ɛːu", "eo": "ɵ", "eoi": "ɵy", "i": "iː", "iu": "iːu", "o": "ɔː",
    "oi": "ɔːi", "oe": "œː", "u": "uː", "ui": "uːi", "yu": "yː", "ang": "ɐŋ", "aang": "aːŋ", "eng": "ɛːŋ",
    "ing": "ɪŋ", "ong": "ɔːŋ", "oeng": "œːŋ", "ung": "ʊŋ",
}  # fmt: skip


def has_contours(language: str) -> bool:
    """True where a tone's printed digit does not tell it from others, so that the phonemes' names are needed too."""
    return language.split("-", 1)[0] == "cmn"


def with_contours(printed: str, named: str) -> str:
    """A clause as --ipa prints it with each tone as tone letters, by the same clause as -x prints it. Unchanged, and so
    no IPA, when the two do not have the same number of tones."""
    contours = [tone.translate(_CONTOUR) for tone in _NAMED_TONE.findall(named)]
    if len(contours) != len(_PRINTED_TONE.findall(printed)):
        return printed
    left = iter(contours)
    return _PRINTED_TONE.sub(lambda _: next(left), printed)


def ipa(printed: str, language: str) -> str:
    """The IPA of one phone that espeak-ng prints, which may begin with a stress mark. Empty for what has no sound."""
    rest = printed.lstrip("ˈˌ")
    stress = printed[: len(printed) - len(rest)]
    rest, tone = _split_tone(rest, language)
    if len(rest) > 1:
        rest = rest.rstrip("-")  # marks a schwa that quick speech may drop
    sound = _sound(rest, language)
    return stress + sound + tone if sound + tone else ""


def _split_tone(rest: str, language: str) -> tuple[str, str]:
    base = language.split("-", 1)[0]
    bare = rest.rstrip("˥˦˧˨˩")
    if bare != rest:
        return bare, rest[len(bare) :]
    tones = _TONES.get(language) or _TONES.get(base)
    if tones and len(rest) > 1:
        tone = tones.get("3" if rest[-1] == "ɜ" else rest[-1])
        if tone:
            return rest[:-1], tone
    if base == "pa" and rest.endswith("+"):  # the low tone of what is spelt gh, jh, dh, bh: a mark of its vowel
        return f"{rest[0]}\u0300{rest[1:-1]}", ""
    return rest, ""


def _sound(rest: str, language: str) -> str:
    base = language.split("-", 1)[0]
    plain = rest.translate(_CHARACTERS)
    own = _BY_LANGUAGE.get(base, {})
    if base == "yue":
        return _JYUTPING.get(rest.replace("ɡ", "g"), _JYUTPING.get(rest, plain))
    for table in (own, _EVERYWHERE):
        for name in (rest, plain):
            if name in table:
                return table[name]
    if plain.endswith("ː") and plain[:-1] in own:
        return own[plain[:-1]] + "ː"
    if plain.endswith("#"):  # ph_icelandic, Greenlandic: a voiceless sound
        return _DEVOICED.get(plain[:-1], plain)
    if len(plain) > 1 and plain.endswith("^"):  # Estonian s^, d^, t^: palatalised
        return plain[:-1] + "ʲ"
    if len(plain) > 1 and plain.endswith("`"):  # ph_oromo, Amharic, Quechua: ejectives
        return plain[:-1] + "ʼ"
    return plain


def phones(printed: list[str], language: str) -> list[str]:
    """The IPA of the phones of one word."""
    found = [ipa(phone, language) for phone in printed]
    if language.split("-", 1)[0] == "yue":
        # p, t and k are aspirated where they begin a syllable, unreleased where they end one: one phoneme is for both.
        begins = [_begins_vowel(after) for after in [*found[1:], ""]]
        found = [
            sound + ("ʰ" if before else "\u031a") if written in ("p", "t", "k") else sound
            for written, sound, before in zip(printed, found, begins, strict=True)
        ]
    return [phone for phone in found if phone]


def _begins_vowel(phone: str) -> bool:
    letter = phone.lstrip("ˈˌ")[:1]
    return letter != "" and (letter in _VOWELS or letter == "w")


def not_ipa(text: str) -> str | None:
    """The first character that is neither of the IPA's letters nor of its diacritics and suprasegmentals."""
    for char in text:
        if char not in ALPHABET and not all(part in ALPHABET for part in unicodedata.normalize("NFD", char)):
            return char
    return None
