"""Which scripts a language is written in, and in which script a word is."""

from __future__ import annotations

import unicodedata

#: Languages that are not written in Latin letters, by the first part of their tag. Every other language is Latin.
#: "HAN" is absent from Japanese on purpose: espeak-ng reads kana only and says "Chinese letter" for each kanji.
SCRIPTS: dict[str, tuple[str, ...]] = {
    "am": ("ETHIOPIC",),
    "ar": ("ARABIC",),
    "as": ("BENGALI",),
    "ba": ("CYRILLIC",),
    "be": ("CYRILLIC",),
    "bg": ("CYRILLIC",),
    "bn": ("BENGALI",),
    "bpy": ("BENGALI",),
    "bs": ("LATIN", "CYRILLIC"),
    "chr": ("CHEROKEE",),
    "cmn": ("HAN",),
    "cv": ("CYRILLIC",),
    "el": ("GREEK",),
    "fa": ("ARABIC",),
    "grc": ("GREEK",),
    "gu": ("GUJARATI",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "hr": ("LATIN", "CYRILLIC"),
    "hy": ("ARMENIAN",),
    "hyw": ("ARMENIAN",),
    "ja": ("HIRAGANA", "KATAKANA"),
    "ka": ("GEORGIAN",),
    "kk": ("CYRILLIC",),
    "kn": ("KANNADA",),
    "ko": ("HANGUL",),
    "kok": ("DEVANAGARI",),
    "ky": ("CYRILLIC",),
    "mk": ("CYRILLIC",),
    "ml": ("MALAYALAM",),
    "mr": ("DEVANAGARI",),
    "my": ("MYANMAR",),
    "ne": ("DEVANAGARI",),
    "nog": ("CYRILLIC",),
    "or": ("ORIYA",),
    "pa": ("GURMUKHI",),
    "ru": ("CYRILLIC",),
    "sd": ("ARABIC",),
    "shn": ("MYANMAR",),
    "si": ("SINHALA",),
    "sr": ("CYRILLIC", "LATIN"),
    "ta": ("TAMIL",),
    "te": ("TELUGU",),
    "th": ("THAI",),
    "tt": ("CYRILLIC",),
    "ug": ("ARABIC", "LATIN"),
    "uk": ("CYRILLIC",),
    "ur": ("ARABIC",),
    "uz": ("LATIN", "CYRILLIC"),
    "yue": ("HAN",),
}

#: One language to propose for a word in a script that the asked language does not use.
_PROPOSAL = {
    "ARABIC": "ar",
    "ARMENIAN": "hy",
    "BENGALI": "bn",
    "CYRILLIC": "ru",
    "DEVANAGARI": "hi",
    "ETHIOPIC": "am",
    "GEORGIAN": "ka",
    "GREEK": "el",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "HANGUL": "ko",
    "HEBREW": "he",
    "HIRAGANA": "ja",
    "KANNADA": "kn",
    "KATAKANA": "ja",
    "LATIN": "en-us",
    "MALAYALAM": "ml",
    "ORIYA": "or",
    "SINHALA": "si",
    "TAMIL": "ta",
    "TELUGU": "te",
}

#: First words of Unicode character names that are not the name of a script.
_ALIAS = {
    "CJK": "HAN",
    "IDEOGRAPHIC": "HAN",
    "KATAKANA-HIRAGANA": "KATAKANA",
    "MICRO": "GREEK",
    "FEMININE": "LATIN",
    "MASCULINE": "LATIN",
}


def scripts_of(language: str) -> tuple[str, ...]:
    """The scripts that espeak-ng reads in a language (Unicode names, upper case)."""
    if "-latn" in language:
        return ("LATIN",)
    return SCRIPTS.get(language.split("-", 1)[0], ("LATIN",))


def script_of(char: str) -> str | None:
    """The script of a letter; None for what belongs to every script (digits, marks, punctuation, symbols)."""
    category = unicodedata.category(char)
    if category in ("Co", "Cn"):
        return "PRIVATE USE" if category == "Co" else "UNASSIGNED"
    if category[0] != "L":
        return None
    first = unicodedata.name(char, "UNKNOWN").split(" ", 1)[0]
    if first == "MODIFIER":  # ʼ and the like are used with several scripts
        return None
    return _ALIAS.get(first, first)


def foreign_script(word: str, language: str) -> str | None:
    """The first script in a word that the language is not written in; None when all of the word can be read."""
    allowed = scripts_of(language)
    for char in word:
        script = script_of(char)
        if script is not None and script not in allowed:
            return script
    return None


def proposal(script: str) -> str | None:
    """A language that is written in a script, to name in an error."""
    return _PROPOSAL.get(script)
