"""The pronunciation-assessment recipe: Azure's form, progress, reports, and the whole way through the plane."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import zeroidle
from zeroidle import Audio
from zeroidle.recipes.speech.assess import overall
from zeroidle.recipes.speech.assess_service import Answer, AssessService, Request

pytestmark = pytest.mark.usefixtures("espeak")
RECIPE = Path(zeroidle.__file__).parent / "recipes" / "pronunciation_assessment"
LONG = "sense_and_sensibility_01_austen_64kb-0880.wav"
TEXT = "He was not an ill disposed young man."


@pytest.fixture(scope="module")
def service() -> AssessService:
    return AssessService()


@pytest.fixture(scope="module")
def answer(service: AssessService, testdata: Path) -> Answer:
    return service.run(Request(testdata / "librivox" / LONG, TEXT))


def test_the_answer_has_azures_form(answer: Answer) -> None:
    body = answer.body
    assert body["RecognitionStatus"] == "Success"
    assert set(body) >= {"Id", "RecognitionStatus", "Offset", "Duration", "DisplayText", "SNR", "NBest"}
    best = body["NBest"][0]
    assert set(best) == {"Confidence", "Lexical", "Display", "PronunciationAssessment", "Words"}
    assert best["Lexical"] == "he was not an ill disposed young man"
    assert set(best["PronunciationAssessment"]) == {"AccuracyScore", "FluencyScore", "CompletenessScore", "PronScore"}
    assert best["PronunciationAssessment"]["CompletenessScore"] == 100.0
    assert [word["Word"] for word in best["Words"]] == TEXT.rstrip(".").split()
    word = best["Words"][5]
    assert word["PronunciationAssessment"]["ErrorType"] in ("None", "Mispronunciation")
    assert [s["Syllable"] for s in word["Syllables"]] == ["dɪ", "spoʊzd"]
    assert [p["Phoneme"] for p in word["Phonemes"]] == ["d", "ɪ", "s", "p", "oʊ", "z", "d"]
    candidates = word["Phonemes"][2]["PronunciationAssessment"]["NBestPhonemes"]
    assert candidates[0] == {"Phoneme": "s", "Score": 100.0}
    assert len(candidates) == 5
    json.dumps(body, allow_nan=False)


def test_backend_and_calibration_are_named_with_versions(answer: Answer) -> None:
    assert re.fullmatch(r"pocketsphinx \d+\.\d+\.\d+", answer.body["Backend"])
    assert answer.body["Calibration"] == "sphinx-2026.11"
    assert "not on learners" in answer.body["CalibrationNote"]
    assert answer.body["TextMatchesAudio"] is True


def test_times_are_ticks_and_parts_lie_within_their_whole(answer: Answer) -> None:
    end = 0
    for word in answer.body["NBest"][0]["Words"]:
        assert word["Offset"] >= end
        end = word["Offset"] + word["Duration"]
        for parts in (word["Phonemes"], word["Syllables"]):
            assert parts[0]["Offset"] == word["Offset"]
            assert sum(part["Duration"] for part in parts) == word["Duration"]
    assert end <= answer.recording.duration_s * 1e7


def test_the_overall_score_follows_azures_published_samples() -> None:
    assert overall(100, 74, 100) == pytest.approx(84.4)
    assert overall(100, 100, 100) == 100


def test_granularity_alphabet_candidates_and_grading(service: AssessService, testdata: Path) -> None:
    clip = testdata / "librivox" / LONG

    def best(**wish: Any) -> dict[str, Any]:
        found: dict[str, Any] = service.run(Request(clip, TEXT, **wish)).body["NBest"][0]
        return found

    assert "Words" not in best(granularity="fulltext")
    assert "Phonemes" not in best(granularity="word")["Words"][0]
    arpabet = best(alphabet="arpabet", candidates=1)["Words"][5]["Phonemes"]
    assert [phone["Phoneme"] for phone in arpabet] == ["D", "IH", "S", "P", "OW", "Z", "D"]
    assert len(arpabet[0]["PronunciationAssessment"]["NBestPhonemes"]) == 1
    assert "NBestPhonemes" not in best(candidates=0)["Words"][0]["Phonemes"][0]["PronunciationAssessment"]
    assert 0 <= best(five_points=True)["PronunciationAssessment"]["PronScore"] <= 5


def test_miscue_off_keeps_every_word_and_lets_it_score_low(service: AssessService, testdata: Path) -> None:
    text = "He was not an umbrella ill disposed young man."
    clip = testdata / "librivox" / LONG
    on = service.run(Request(clip, text)).body["NBest"][0]
    off = service.run(Request(clip, text, miscue=False)).body["NBest"][0]
    errors = {word["Word"]: word["PronunciationAssessment"]["ErrorType"] for word in on["Words"]}
    assert errors["umbrella"] == "Omission"
    assert on["PronunciationAssessment"]["CompletenessScore"] == pytest.approx(100 * 8 / 9, abs=0.1)
    errors = {word["Word"]: word["PronunciationAssessment"]["ErrorType"] for word in off["Words"]}
    assert errors["umbrella"] == "Mispronunciation"


def test_an_insertion_is_named_by_the_words_that_were_heard(service: AssessService, testdata: Path) -> None:
    words = service.run(Request(testdata / "librivox" / LONG, "He was not an ill young man.")).body["NBest"][0]["Words"]
    inserted = [word for word in words if word["PronunciationAssessment"]["ErrorType"] == "Insertion"]
    assert len(inserted) == 1
    assert "posed" in inserted[0]["Word"]  # heard without context, "disposed" may be "exposed"
    assert [word["Word"] for word in words].index(inserted[0]["Word"]) == 5


def test_breaks_follow_the_punctuation(service: AssessService, alsa: Path) -> None:
    """In "Rear Right" there is a pause of half a second: wrong inside a phrase, right after a comma."""
    clip = alsa / "Rear_Right.wav"
    plain = service.run(Request(clip, "rear right")).body["NBest"][0]["Words"][1]["PronunciationAssessment"]
    comma = service.run(Request(clip, "rear, right")).body["NBest"][0]["Words"][1]["PronunciationAssessment"]
    length_s = comma["Feedback"]["Prosody"]["Break"]["BreakLength"] / 1e7
    assert length_s > 0.25
    if length_s >= 0.4:
        assert plain["Feedback"]["Prosody"]["Break"]["ErrorTypes"] == ["UnexpectedBreak"]
    assert comma["Feedback"]["Prosody"]["Break"]["ErrorTypes"] == ["None"]


def test_without_a_text_the_words_are_recognised_first(service: AssessService, testdata: Path) -> None:
    body = service.run(Request(testdata / "librivox" / LONG)).body
    assert body["RecognisedBy"].startswith("pocketsphinx")
    assert "young man" in body["DisplayText"]


def test_a_word_of_the_callers_own_and_one_that_no_dictionary_has(service: AssessService, alsa: Path) -> None:
    own = service.run(Request(alsa / "Front_Center.wav", "frunt center", pronunciations={"frunt": ["F R AH N T"]}))
    first = own.body["NBest"][0]["Words"][0]
    assert first["PronunciationSource"] == "caller"
    assert [phone["Phoneme"] for phone in first["Phonemes"]] == ["f", "ɹ", "ʌ", "n", "t"]
    spelled = service.run(Request(alsa / "Front_Center.wav", "frunnt center"))
    assert spelled.body["NBest"][0]["Words"][0]["PronunciationSource"] == "espeak-ng"
    assert spelled.body["TextMatchesAudio"]


def test_progress_tells_the_steps_in_order(service: AssessService, alsa: Path) -> None:
    events: list[dict[str, Any]] = []
    service.run(Request(alsa / "Front_Center.wav", "front center"), events.append)
    assert [event["step"] for event in events] == ["heard", "transcribed", "aligned", "scored"]


class _Page(HTMLParser):
    """Collects what a page holds, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.classes: list[str] = []
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.classes += (values.get("class") or "").split()
        self.loads += [values[key] or "" for key in ("src", "href") if key in values]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def endpoint() -> Any:
    """The recipe's class, loaded from its file as the worker does."""
    from zeroidle_worker.api import declare

    known = list(declare.DECLARED)
    spec = importlib.util.spec_from_file_location("pronunciation_app", RECIPE / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    declare.DECLARED[:] = known
    made = module.PronunciationAssessment()
    made.setup()
    return made


def test_the_page_shows_everything_and_loads_nothing(endpoint: Any, testdata: Path) -> None:
    text = 'He was not an umbrella, "ill" disposed <young> man & all.'
    output = endpoint(Audio(testdata / "librivox" / LONG), text.replace("<", "(").replace(">", ")"), html=True)
    source = output["Report"].bytes().decode()
    page = _Page()
    page.feed(source)
    assert "{{" not in source
    assert all(load.startswith("data:") for load in page.loads) and len(page.loads) == 2
    assert "http:" not in source and "https:" not in source
    phones = sum(len(word.get("Phonemes", [])) for word in output["NBest"][0]["Words"])
    assert page.classes.count("phone") == phones
    assert "omitted" in page.classes
    assert "Words to practise" in page.text and "was left out" in page.text
    assert output["Backend"] in page.text
    assert (output["Report"].name, output["Report"].media_type) == ("report.html", "text/html")


def test_the_text_cannot_smuggle_markup_into_the_page(service: AssessService, alsa: Path) -> None:
    from zeroidle.recipes.speech.report import html

    answer = service.run(Request(alsa / "Front_Center.wav", "front center"))
    evil = '"><script>alert(1)</script>{{audio}}'
    source = html(answer.assessment, answer.recording.samples, evil, answer.form, evil, [evil])
    assert source.count("<script>") == 1
    assert source.count("data:audio/wav") == 1
    assert source.count("{{audio}}") == 4  # title, text, warning and footer show it as it was written


def test_the_picture_is_a_png_of_that_recording(endpoint: Any, testdata: Path) -> None:
    data = endpoint(Audio(testdata / "librivox" / LONG), TEXT, png=True)["Picture"].bytes()
    width, height = struct.unpack_from(">II", data, 16)
    assert width >= 1200 and height >= 500
    colours = _colours(data)
    assert len(colours) > 50  # a blank canvas has one


def _colours(data: bytes) -> set[bytes]:
    width, _ = struct.unpack_from(">II", data, 16)
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        packed += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    raw = zlib.decompress(packed)
    return {raw[n : n + 4] for n in range(1, min(len(raw), 400 * (4 * width + 1)), 4)}


def test_a_failure_is_an_error_with_a_sentence(endpoint: Any, testdata: Path, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("no sound")
    assert "no sound that can be read" in endpoint(Audio(tmp_path / "x.wav"), "front")["error"]
    assert endpoint(Audio(testdata / "librivox" / LONG), TEXT)["TextMatchesAudio"]


def test_the_shared_modules_do_not_need_matplotlib_or_torch_to_start() -> None:
    program = (
        "import sys; from zeroidle.recipes.speech.assess_service import AssessService; AssessService().warm();"
        "heavy = {'matplotlib', 'torch', 'transformers', 'av', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
