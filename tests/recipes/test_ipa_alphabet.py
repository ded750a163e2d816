"""Sounds that espeak-ng prints by their own names come out as the IPA they mean, and nothing else comes out."""

from __future__ import annotations

import unicodedata

import pytest

from benchmarks.ipa_notation import broad, nearest
from tests.recipes.ipa_samples import SAMPLES
from zeroidle.recipes.speech import symbols
from zeroidle.recipes.speech.errors import UnsupportedText
from zeroidle.recipes.speech.espeak import voices
from zeroidle.recipes.speech.g2p import Options, Transcriber
from zeroidle.recipes.speech.ipa_service import IpaService

pytestmark = pytest.mark.usefixtures("espeak")

#: The IPA's chart of 2020, with ᵻ (see `symbols`), raised letters, and nothing else. Written out here again, so that
#: the product's own set is checked too.
CHART = frozenset(
    "pbtdʈɖcɟkɡqɢʔmɱnɳɲŋɴʙrʀⱱɾɽɸβfvθðszʃʒʂʐçʝxɣχʁħʕhɦɬɮʋɹɻjɰlɫɭʎʟʘǀǃǂǁɓɗʄɠʛʼʍwɥʜʢʡɕʑɺɧ"
    "iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝᵻ"
    "ˈˌːˑ˥˦˧˨˩ʰʲʷˠˤⁿˡʱˀᵐᵑᶯᶮᵝ˞ "
) | {chr(code) for code in (
    0x300, 0x301, 0x302, 0x303, 0x306, 0x308, 0x30A, 0x30C, 0x318, 0x319, 0x31A, 0x31C, 0x31D, 0x31E, 0x31F, 0x320,
    0x324, 0x325, 0x329, 0x32A, 0x32C, 0x32F, 0x330, 0x334, 0x339, 0x33A, 0x33B, 0x33C, 0x33D, 0x35C, 0x361,
)}  # fmt: skip
#: Words that were refused, as dictionaries and the sources of `ipa_references` write them: de, hi, ru, lv those
#: sources' own entries; the rest as Wiktionary or grammars of the language have them.
NAMED = {
    "is": {"vatn": "vahd̥n̥", "mjólk": "mjoul̥k", "hnífur": "n̥iːvʏr", "hljóð": "l̥jouːð", "lampi": "lam̥b̥ɪ"},
    "da": {"læsse": "lɛsə", "taktik": "taktik", "banken": "baŋkən"},
    "hi": {"लड़का": "ləɽkaː", "लड़की": "ləɽkiː", "सड़क": "səɽək"},
    "ru": {"люблю": "lʲ u b lʲ uː", "плетню": "p lʲ e t nʲ uː", "люди": "lʲ uː dʲ i"},
    "de": {"Geburtstag": "ɡəˈbuːɐ̯t͡sˌtaːk", "Geburtshilfe": "ɡəˈbuːɐ̯t͡sˌhɪlfə"},
    "fa": {"قلم": "qalam"},
    "lv": {"vajadzīgo": "ˈvajadziːɡuo"},
    "bn": {"বাড়ি": "baɽi"},
    "mi": {"tū": "tʉː"},
    "ky": {"Канада": "kɑnɑdɑ", "чех": "tʃeχ"},
    "am": {"ኢትዮጵያ": "ʔitɨjopʼɨja"},
    "qu": {"kʼanka": "kʼanka"},
    "cmn-latn-pinyin": {"hao3": "xau", "shi4": "ʂɨ"},
}


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    return Transcriber()


def test_every_language_has_a_sample() -> None:
    variants = {"en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc", "fr-be", "fr-ch"}
    unread = {"chr-us-qaaa-x-west"}  # 1.51 spells the code of each letter
    assert set(voices()) - variants - unread <= set(SAMPLES)


@pytest.mark.parametrize("language", sorted(SAMPLES))
def test_no_character_is_anything_but_ipa(transcriber: Transcriber, language: str) -> None:
    if language not in voices():
        pytest.skip(f"this espeak-ng has no {language}")
    for word in SAMPLES[language].split():
        found = transcriber.transcribe(word, language, Options(per_word=True, allow_unreliable=True))
        assert found.ipa, found.errors
        strange = [char for char in unicodedata.normalize("NFD", found.ipa.replace("ç", "")) if char not in CHART]
        assert not strange, (word, found.ipa, strange)
        assert found.ipa == found.words[0].ipa == "".join(found.words[0].phones) or " " in found.ipa


@pytest.mark.parametrize("language", sorted(NAMED))
def test_named_words_have_the_sounds_of_their_sources(language: str) -> None:
    service = IpaService()
    for word, entry in NAMED[language].items():
        answer = service.run({"text": word, "language": language}, lambda event: None)["ipa"]
        errors, _ = nearest(broad(answer, language), [broad(entry, language)])
        assert errors <= 1, (word, answer, entry)


@pytest.mark.parametrize(
    ("language", "word", "ipa"),
    [("is", "vatn", "ʋˈahdhn̥"), ("is", "mjólk", "mjˈoʊl̥ɡ"), ("da", "hund", "hˈun"), ("hi", "सड़क", "sˈʌɽək"),
     ("de", "hierdurch", "hiːɾdˈʊɐç"), ("ru", "люблю", "ɭʲʉbɭʲˈʉ"), ("fa", "قلم", "qalˈam"),
     ("ar", "إطارات", "ʔt̪ˈɑːraːt"), ("pa", "ਭੂਟਾਨੀ", "pu\u0300ʈˈani"), ("kl", "Estlandi", "ˌɛstɬˈandi"),
     ("vi", "Việt", "vˈiɛ˧˨ʔt̪"), ("vi", "chữ", "tʃˈy˧ˀ˥"), ("yue", "香港", "hˈœːŋ˥ kˈɔːŋ˧˥"),
     ("cmn-latn-pinyin", "ma1 ma2 ma3 ma4", "mˈɑ˥˥ mˈɑ˧˥ mˈɑ˨˩ mˈɑ˥˩")],
)  # fmt: skip
def test_mnemonics_become_what_they_mean(transcriber: Transcriber, language: str, word: str, ipa: str) -> None:
    assert transcriber.transcribe(word, language).ipa == ipa


def test_danish_question_marks_are_short_vowels_and_no_glottal_stops(transcriber: Transcriber) -> None:
    for word in SAMPLES["da"].split():
        assert "ʔ" not in (transcriber.transcribe(word, "da").ipa or ""), word


def test_what_is_no_ipa_is_told_from_what_is() -> None:
    assert symbols.not_ipa("ʋˈahdhn̥ ç ã ʈʂʰ") is None
    for strange in ('u"', "a1", "r.", "n#", "g", "ε", "tS", "?", "ɔ+", "k`", "а"):
        assert symbols.not_ipa(strange), strange


def test_a_name_that_nobody_explained_is_refused_and_said() -> None:
    assert symbols.not_ipa(symbols.ipa("q%", "ru")) == "%"
    with pytest.raises(UnsupportedText, match="script"):
        IpaService().run({"text": "water", "language": "ru"}, lambda event: None)
