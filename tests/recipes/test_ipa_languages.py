"""Words of 41 languages against broad transcriptions that were written down by hand, not taken from espeak-ng.

The references come from general knowledge of the languages; no dictionary was looked up for them. Two
transcriptions of one sound differ in habits (r or ɾ, long vowels marked or not, o or ɔ), so both sides are reduced to
broad classes before they are compared; a sound of another class counts as an error.
"""

from __future__ import annotations

import unicodedata

import pytest

from zeroidle.recipes.speech.ipa_service import IpaService

pytestmark = pytest.mark.usefixtures("espeak")

REFERENCES: dict[str, dict[str, str]] = {
    "en-us": {"water": "wɔtɚ", "house": "haʊs", "thing": "θɪŋ", "church": "tʃɝtʃ"},
    "en-gb": {"water": "wɔːtə", "bath": "bɑːθ", "house": "haʊs", "dog": "dɒɡ"},
    "de": {"Wasser": "vasɐ", "schön": "ʃøːn", "Haus": "haʊs", "Buch": "buːx"},
    "fr": {"bonjour": "bɔ̃ʒuʁ", "eau": "o", "femme": "fam", "nuit": "nɥi"},
    "es": {"agua": "aɣwa", "casa": "kasa", "noche": "notʃe", "perro": "pero"},
    "it": {"casa": "kasa", "notte": "nɔtte", "gatto": "ɡatto", "chiave": "kjave"},
    "pt-br": {"casa": "kazɐ", "noite": "nojtʃi", "carro": "kahu"},
    "ca": {"casa": "kazə", "nit": "nit", "aigua": "ajɣwə"},
    "ro": {"apă": "apə", "casă": "kasə", "cinci": "tʃintʃ"},
    "nl": {"water": "ʋaːtər", "huis": "ɦœys", "nacht": "nɑxt"},
    "af": {"water": "vɑːtər", "nag": "nax", "boek": "buk"},
    "sv": {"vatten": "vatːɛn", "hus": "hʉːs", "natt": "natː"},
    "nb": {"vann": "vanː", "hus": "hʉːs", "natt": "natː"},
    "da": {"hus": "huːs", "mand": "man", "fisk": "fesk"},
    "is": {"hús": "huːs", "maður": "maːðʏr", "fiskur": "fɪskʏr"},
    "fi": {"vesi": "ʋesi", "talo": "tɑlo", "yö": "yø"},
    "et": {"vesi": "vesi", "maja": "mɑjɑ", "öö": "øː"},
    "hu": {"víz": "viːz", "ház": "haːz", "nagy": "nɒɟ", "szép": "seːp"},
    "pl": {"woda": "vɔda", "dom": "dɔm", "noc": "nɔts", "szkoła": "ʃkɔwa"},
    "cs": {"voda": "voda", "dům": "duːm", "noc": "nots", "kočka": "kotʃka"},
    "sk": {"voda": "ʋoda", "dom": "dom", "noc": "nots", "škola": "ʃkola"},
    "sl": {"voda": "ʋɔda", "noč": "notʃ", "hiša": "hiʃa"},
    "hr": {"voda": "ʋoda", "kuća": "kutɕa", "noć": "notɕ"},
    "ru": {"вода": "vɐda", "дом": "dom", "ночь": "notɕ", "кот": "kot"},
    "uk": {"вода": "woda", "ніч": "nʲitʃ", "школа": "ʃkola"},
    "bg": {"вода": "voda", "дом": "dom", "нощ": "noʃt"},
    "mk": {"вода": "vɔda", "дом": "dɔm", "ноќ": "nɔc"},
    "lt": {"namas": "naːmas", "ranka": "raŋka", "medis": "mʲædʲɪs"},
    "lv": {"māja": "maːja", "nakts": "nakts", "koks": "kuoks"},
    "el": {"νερό": "nero", "σπίτι": "spiti", "νύχτα": "nixta"},
    "tr": {"su": "su", "ev": "ev", "gece": "ɟedʒe", "çocuk": "tʃodʒuk"},
    "sw": {"watoto": "watoto", "nyumba": "ɲumba", "usiku": "usiku"},
    "id": {"rumah": "rumah", "malam": "malam", "makan": "makan"},
    "cy": {"nos": "noːs", "llan": "ɬan", "cath": "kaːθ"},
    "eu": {"etxe": "etʃe", "gau": "ɡau", "mendi": "mendi"},
    "eo": {"akvo": "akvo", "domo": "domo", "ŝipo": "ʃipo"},
    "ka": {"სახლი": "saxli", "ღამე": "ɣame", "მზე": "mze"},
    "hi": {"पानी": "paːniː", "घर": "ɡʱər", "रात": "raːt"},
    "ko": {"물": "mul", "밤": "pam", "나무": "namu"},
    "ja": {"みず": "mizɯ", "よる": "joɾɯ", "さかな": "sakana"},
    "fa": {"آب": "ɒːb", "شب": "ʃæb", "خانه": "xɒːne"},
}
#: What one language writes so and another otherwise.
CLASSES = {
    "r": "ɹɾʁʀɻɽ", "a": "ɑɒæäɐʌ", "o": "ɔɵ", "e": "ɛəɜɝɚœøɘ", "i": "ɪɨyʏᵻ", "u": "ʊʉɯ", "v": "ʋβw", "x": "χhɦħ",
    "g": "ɡɣ", "n": "ŋɲɳ", "l": "ɫʎɭ", "ʃ": "ɕʂ", "ʒ": "ʑʐ", "d": "ɖɗ", "t": "ʈ", "j": "ɥ", "c": "kq", "b": "ɓ",
}  # fmt: skip
_TABLE = str.maketrans({other: one for one, others in CLASSES.items() for other in others})


def broad(ipa: str) -> str:
    """An IPA string in broad classes: no stress, length, ties, diacritics or doubled sounds."""
    plain = "".join(c for c in unicodedata.normalize("NFD", ipa) if unicodedata.category(c) in ("Ll", "Lo"))
    plain = plain.replace("ʔ", "").translate(_TABLE).replace("ɟ", "g").replace("k", "c")
    return "".join(c for at, c in enumerate(plain) if at == 0 or plain[at - 1] != c)


def distance(one: str, other: str) -> int:
    """How many sounds must be changed, added or left out."""
    row = list(range(len(other) + 1))
    for at, a in enumerate(one, 1):
        before, row[0] = row[0], at
        for n, b in enumerate(other, 1):
            before, row[n] = row[n], min(row[n] + 1, row[n - 1] + 1, before + (a != b))
    return row[-1]


def test_there_are_at_least_thirty_languages() -> None:
    assert len(REFERENCES) >= 40


@pytest.fixture(scope="module")
def service() -> IpaService:
    return IpaService()


@pytest.mark.parametrize("language", REFERENCES)
def test_words_sound_as_dictionaries_say(service: IpaService, language: str) -> None:
    words = REFERENCES[language]
    answer = service.run({"texts": list(words), "language": language}, lambda event: None)
    assert answer["failed"] == 0, answer
    errors = sounds = 0
    for result, reference in zip(answer["results"], words.values(), strict=True):
        found = distance(broad(result["ipa"]), broad(reference))
        assert found <= 1, (result, reference)
        errors += found
        sounds += len(broad(reference))
    assert errors / sounds <= 0.2, answer["results"]
