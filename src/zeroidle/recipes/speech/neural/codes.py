"""Language codes of the neural models, by the tags that this service takes."""

from __future__ import annotations

#: First part of a tag -> ISO 639-3 (POWSM) and the code of CharsiuG2P ("" where it does not know the language).
_CODES: dict[str, tuple[str, str]] = {
    "af": ("afr", "afr"), "am": ("amh", "amh"), "an": ("arg", "arg"), "ar": ("ara", "ara"), "az": ("aze", "aze"),
    "ba": ("bak", "bak"), "be": ("bel", "bel"), "bg": ("bul", "bul"), "bn": ("ben", ""), "bs": ("bos", "bos"),
    "ca": ("cat", "cat"), "cmn": ("cmn", "zho-s"), "cs": ("ces", "cze"), "cy": ("cym", "wel-nw"), "da": ("dan", "dan"),
    "de": ("deu", "ger"), "el": ("ell", "gre"), "en": ("eng", "eng-us"), "eo": ("epo", "epo"), "es": ("spa", "spa"),
    "et": ("est", "est"), "eu": ("eus", "eus"), "fa": ("fas", "fas"), "fi": ("fin", "fin"), "fr": ("fra", "fra"),
    "ga": ("gle", "gle"), "gl": ("glg", "glg"), "grc": ("grc", "grc"), "gu": ("guj", ""), "hak": ("hak", ""),
    "he": ("heb", ""), "hi": ("hin", "hin"), "hr": ("hrv", "hbs-latn"), "hu": ("hun", "hun"), "hy": ("hye", "arm-e"),
    "ia": ("ina", "ina"), "id": ("ind", "ind"), "io": ("ido", "ido"), "is": ("isl", "ice"), "it": ("ita", "ita"),
    "ja": ("jpn", "jpn"), "ka": ("kat", "geo"), "kk": ("kaz", "kaz"), "kn": ("kan", ""), "ko": ("kor", "kor"),
    "ku": ("kmr", "kur"), "ky": ("kir", ""), "la": ("lat", "lat-clas"), "lb": ("ltz", "ltz"), "lt": ("lit", "lit"),
    "lv": ("lav", ""), "mi": ("mri", "mri"), "mk": ("mkd", "mac"), "ml": ("mal", ""), "mr": ("mar", ""),
    "ms": ("msa", "msa"), "mt": ("mlt", "mlt"), "my": ("mya", "bur"), "nb": ("nob", "nob"), "ne": ("nep", ""),
    "nl": ("nld", "dut"), "or": ("ori", "ori"), "pa": ("pan", ""), "pap": ("pap", "pap"), "pl": ("pol", "pol"),
    "pt": ("por", "por-po"), "ro": ("ron", "ron"), "ru": ("rus", "rus"), "sd": ("snd", "snd"), "sk": ("slk", "slk"),
    "sl": ("slv", "slv"), "sq": ("sqi", "sqi"), "sr": ("srp", "srp"), "sv": ("swe", "swe"), "sw": ("swa", "swa"),
    "ta": ("tam", "tam"), "te": ("tel", ""), "th": ("tha", "tha"), "tk": ("tuk", "tuk"), "tl": ("tgl", "tgl"),
    "tr": ("tur", "tur"), "tt": ("tat", "tat"), "ug": ("uig", "uig"), "uk": ("ukr", "ukr"), "ur": ("urd", "urd"),
    "uz": ("uzb", "uzb"), "vi": ("vie", "vie-n"), "yue": ("yue", "yue"),
}  # fmt: skip
#: Where a longer tag means another code of CharsiuG2P.
_CHARSIU = {"en-gb": "eng-uk", "en-us": "eng-us", "es-419": "spa-latin", "pt-br": "por-bz", "hyw": "arm-w",
            "vi-vn-x-central": "vie-c", "vi-vn-x-south": "vie-s", "cmn-latn-pinyin": ""}  # fmt: skip


def iso3(language: str) -> str:
    """The ISO 639-3 code of a tag; "unk" when there is none."""
    return _CODES.get(language.split("-", 1)[0], ("unk", ""))[0]


def charsiu(language: str) -> str:
    """The code of CharsiuG2P for a tag; "" when the model does not know the language."""
    tag = language
    while tag:
        if tag in _CHARSIU:
            return _CHARSIU[tag]
        tag = tag.rpartition("-")[0]
    return _CODES.get(language.split("-", 1)[0], ("", ""))[1]
