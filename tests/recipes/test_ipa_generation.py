"""The ipa-generation recipe with the real espeak-ng: right IPA, or an error that names the word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import zeroidle
from zeroidle.recipes.speech.errors import EngineError, InputError, MissingProgram, UnsupportedText
from zeroidle.recipes.speech.espeak import Espeak, Pool, voices
from zeroidle.recipes.speech.g2p import resolve
from zeroidle.recipes.speech.ipa_service import IpaService

pytestmark = pytest.mark.usefixtures("espeak")
RECIPE = Path(zeroidle.__file__).parent / "recipes" / "ipa_generation"


@pytest.fixture(scope="module")
def service() -> IpaService:
    return IpaService()


def ask(service: IpaService, **fields: Any) -> dict[str, Any]:
    return service.run(fields, lambda event: None)


def test_text_in_context(service: IpaService) -> None:
    answer = ask(service, text="The quick brown fox jumps over the lazy dog.")
    assert answer["ipa"] == "ðə kwˈɪk bɹˈaʊn fˈɑːks dʒˈʌmps ˌoʊvɚ ðə lˈeɪzi dˈɑːɡ"
    assert answer["method"] == "espeak-ng"
    assert answer["language"] == "en-us"


def test_words_are_citation_forms_and_the_text_is_in_context(service: IpaService) -> None:
    answer = ask(service, text="Comment allez-vous ?", language="fr", words=True, stress=False)
    assert answer["ipa"] == "kɔmɑ̃ alevu"
    assert [word["word"] for word in answer["words"]] == ["Comment", "allez-vous"]
    assert answer["words"][0]["phones"] == ["k", "ɔ", "m", "ɑ̃"]


def test_stress_marks_can_be_left_out(service: IpaService) -> None:
    assert ask(service, text="photography", stress=False)["ipa"] == "fətɑːɡɹəfi"


@pytest.mark.parametrize(
    ("language", "tag"),
    [("en", "en-us"), ("de_DE", "de"), ("German", "de"), ("english", "en-us"), ("no", "nb"), ("zh", "cmn"),
     ("pt-BR", "pt-br"), ("es-MX", "es-419"), ("sr-Latn", "sr")],
)  # fmt: skip
def test_language_tags(language: str, tag: str) -> None:
    assert resolve(language).language == tag


@pytest.mark.parametrize("language", ["klingonn", "../../etc/passwd", "-w/tmp/x", "en-us+f3 --stdout", ""])
def test_an_unknown_language_is_named_and_never_reaches_the_program(service: IpaService, language: str) -> None:
    if language.startswith("en-us"):
        assert resolve(language).language == "en-us"  # a tag is looked up, not passed on
        return
    with pytest.raises(InputError, match="has no language"):
        ask(service, text="hi", language=language)


@pytest.mark.parametrize(
    ("text", "language", "script"),
    [("привет", "en", "Cyrillic"), ("你好", "en", "Han"), ("日本語", "ja", "Han"), ("hello", "ru", "Latin"),
     ("नमस्ते", "de", "Devanagari"), ("םולש", "fr", "Hebrew"), ("\ue000\ue001", "en", "Private use")],
)  # fmt: skip
def test_a_foreign_script_is_an_error_that_names_word_script_and_language(
    service: IpaService, text: str, language: str, script: str
) -> None:
    with pytest.raises(UnsupportedText) as caught:
        ask(service, text=text, language=language)
    assert text in caught.value.message
    assert f"in {script} script" in caught.value.message
    assert f"({resolve(language).language})" in caught.value.message


def test_one_bad_word_leaves_the_others_their_ipa_and_the_text_none(service: IpaService) -> None:
    answer = ask(service, text="I said привет twice", language="en", words=True)
    assert answer["ipa"] is None
    assert [word.get("ipa") for word in answer["words"]] == ["ˈaɪ", "sˈɛd", None, "twˈaɪs"]
    assert "Cyrillic" in answer["words"][2]["error"]
    assert len(answer["errors"]) == 1


def test_a_language_switch_is_an_error_until_it_is_allowed(service: IpaService) -> None:
    with pytest.raises(UnsupportedText, match=r'"week-end" .*rules of "en", not of French'):
        ask(service, text="bon week-end", language="fr")
    answer = ask(service, text="bon week-end", language="fr", words=True, allow_language_switch=True)
    assert "(" not in answer["ipa"]
    assert answer["words"][1]["switched_to"] == "en"
    assert "switched_to" not in answer["words"][0]


def test_mandarin_without_its_dictionary_is_refused_not_spelled(service: IpaService) -> None:
    try:  # espeak-ng 1.51 of Debian spells the pinyin in English letters; 1.52 reads the characters
        answer = ask(service, text="你好", language="zh")
    except UnsupportedText as exc:
        assert "你好" in exc.message
    else:
        assert answer["ipa"].startswith("ni")


def test_a_language_with_an_incomplete_dictionary_or_faulty_rules_must_be_allowed(service: IpaService) -> None:
    with pytest.raises(UnsupportedText, match="not reliable for Thai"):
        ask(service, text="สวัสดี", language="th")
    answer = ask(service, text="สวัสดี", language="th", allow_unreliable=True)
    assert answer["ipa"] and "Thai" in answer["warnings"][0]


def test_numbers_symbols_and_punctuation_are_spoken(service: IpaService) -> None:
    assert ask(service, text="50%")["ipa"] == "fˈɪfti pɚsˈɛnt"
    assert ask(service, text="(42)!")["ipa"] == "fˈoːɹɾi tˈuː"
    assert "dˈɑːlɚ" in ask(service, text="$5")["ipa"]


@pytest.mark.parametrize("text", ["", "  \n\t", "...", "—", "🙂👍🏽", "\x00\x01"])
def test_a_text_without_a_word_is_refused(service: IpaService, text: str) -> None:
    with pytest.raises(InputError, match="empty"):
        ask(service, text=text)


@pytest.mark.parametrize("text", ["<speak>hi</speak>", 'a <break time="1s"/> b', "<!-- x -->"])
def test_markup_is_refused(service: IpaService, text: str) -> None:
    with pytest.raises(InputError, match="SSML is not read"):
        ask(service, text=text)


def test_phoneme_input_and_flags_are_plain_text(service: IpaService) -> None:
    assert ask(service, text="[[h@l'oU]] there")["ipa"] != ask(service, text="hello there")["ipa"]
    assert ask(service, text="--version")["ipa"] == "vˈɜːʒən"


def test_control_invisible_and_wide_characters(service: IpaService) -> None:
    plain = ask(service, text="hello world")["ipa"]
    assert ask(service, text="\ufeffhello\x00\x1b \u202eworld\u200b")["ipa"] == plain
    assert ask(service, text="ｈｅｌｌｏ ｗｏｒｌｄ")["ipa"] == plain
    with pytest.raises(InputError, match="surrogate"):
        ask(service, text="\ud800")


def test_a_long_text_loses_nothing(service: IpaService) -> None:
    words = 5_000
    answer = ask(service, text="ship " * words)
    assert answer["ipa"].count("ʃˈɪp") == words
    with pytest.raises(InputError, match="at most 100000"):
        ask(service, text="a" * 100_001)
    with pytest.raises(UnsupportedText, match="longer than 900 bytes"):
        ask(service, text="x" * 2_000)


def test_a_batch_keeps_order_and_one_failure_costs_one_text(service: IpaService) -> None:
    events: list[dict[str, Any]] = []
    texts = ["one", "привет", "", *(["two"] * 200)]
    answer = service.run({"texts": texts, "language": "en"}, events.append)
    assert [bool(result["ipa"]) for result in answer["results"][:4]] == [True, False, False, True]
    assert answer["failed"] == 2
    assert [event["done"] for event in events] == [100, 200]


@pytest.mark.parametrize(
    "body",
    [None, [], "hi", {}, {"text": 3}, {"text": "a", "texts": ["a"]}, {"texts": []}, {"texts": [1]}, {"texts": "abc"},
     {"text": "a", "language": 5}, {"text": "a", "stress": "yes"}, {"text": "a", "words": 1}, {"text": "a", "x": 1},
     {"texts": ["a"] * 1001}],
)  # fmt: skip
def test_bad_input_is_a_sentence(service: IpaService, body: Any) -> None:
    with pytest.raises(InputError) as caught:
        service.run(body, lambda event: None)
    assert caught.value.message.endswith(".")


def test_languages_are_listed_with_their_scripts(service: IpaService) -> None:
    languages = {item["language"]: item for item in ask(service, list_languages=True)["languages"]}
    assert len(languages) >= 100
    assert languages["ru"]["scripts"] == ["Cyrillic"]
    assert "unreliable" in languages["th"]


def test_a_killed_espeak_is_replaced() -> None:
    pool = Pool()
    voice = voices()["en-us"]
    before = pool.ask(voice, ["hello"])
    pid = pool._warm[voice.file]._process.pid
    os.kill(pid, signal.SIGKILL)
    assert pool.ask(voice, ["hello"]) == before
    pool.close()


def test_a_silent_espeak_is_given_up_with_a_sentence() -> None:
    espeak = Espeak(voices()["en-us"], timeout_s=0.3)
    os.kill(espeak._process.pid, signal.SIGSTOP)
    with pytest.raises(EngineError, match=r"did not answer within 0.3 s"):
        espeak.ask(["hello"])
    espeak.close()


def test_processes_are_few_and_end() -> None:
    pool = Pool(size=2)
    for language in ("de", "fr-fr", "it"):
        pool.ask(voices()[language], ["a"])
    assert len(pool._warm) == 2
    processes = [espeak._process for espeak in pool._warm.values()]
    pool.close()
    assert all(process.returncode is not None for process in processes)


def test_without_the_program_the_error_says_how_to_install_it(
    service: IpaService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match="apt-get install espeak-ng"):
        Espeak(voices()["en-us"])


def test_the_handler_runs_under_the_sdk_and_leaves_no_espeak_behind() -> None:
    body = json.dumps({"input": {"text": "Guten Morgen", "language": "de"}})
    done = subprocess.run(
        [sys.executable, "app.py", "--test_input", body], cwd=RECIPE, capture_output=True, text=True, timeout=60
    )
    assert "ɡˈuːtən mˈɔɾɡən" in done.stdout
    deadline = time.monotonic() + 5
    while (left := _children_of_recipe()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left


def _children_of_recipe() -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cwd").resolve() == RECIPE and b"espeak-ng" in (folder / "cmdline").read_bytes():
                found.append(folder.name)
        except OSError:
            continue
    return found
