"""An aligner in its own process: its times are used, its failures are sentences, and it is started again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recipes.clips import SpeechClip
from zeroidle.recipes.speech import audio
from zeroidle.recipes.speech.assess_service import AssessService, Request
from zeroidle.recipes.speech.errors import EngineError, InputError, MissingProgram
from zeroidle.recipes.speech.external_aligner import ExternalAligner, alignment_of
from zeroidle.recipes.speech.sphinx import Sphinx

PROGRAM = f"{sys.executable} {Path(__file__).parent / 'builtin_aligner.py'}"


@pytest.fixture
def aligner() -> Iterator[ExternalAligner]:
    made = ExternalAligner(PROGRAM)
    yield made
    made.close()


def test_an_assessment_by_another_aligner_agrees_with_ours(
    espeak: None, clips: list[SpeechClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFA_COMMAND", PROGRAM)
    service = AssessService()
    clip = next(clip for clip in clips if clip.text.startswith("he was not"))
    theirs = service.run(Request(clip.path, clip.text, aligner="mfa"))
    ours = service.run(Request(clip.path, clip.text))
    assert theirs.body["Aligner"] == "built-in"
    assert "Aligner" not in ours.body
    assert theirs.assessment.accuracy == pytest.approx(ours.assessment.accuracy, abs=10)
    for one, other in zip(theirs.assessment.words, ours.assessment.words, strict=True):
        assert one.start_s == pytest.approx(other.start_s, abs=0.1)


def test_a_killed_aligner_is_started_again(aligner: ExternalAligner, alsa: Path) -> None:
    recording = audio.load(alsa / "Front_Center.wav")
    first = aligner.align(recording, ["front", "center"])
    assert aligner._process is not None
    os.kill(aligner._process.pid, signal.SIGKILL)
    aligner._process.wait()
    assert aligner.align(recording, ["front", "center"]) == first


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (f"{PROGRAM} --slow", r"did not answer within 0\.5 s"),
        (f"{PROGRAM} --die", "ended unexpectedly: the aligner had enough"),
        (f"{PROGRAM} --talk", "no JSON"),
        ("/nowhere/python program.py", "does not start"),
        (f"{sys.executable} -c pass", "ended unexpectedly"),
    ],
)
def test_its_failures_are_sentences(alsa: Path, command: str, says: str) -> None:
    aligner = ExternalAligner(command, answer_s=0.5)
    with pytest.raises(EngineError, match=says):
        aligner.align(audio.load(alsa / "Front_Center.wav"), ["front", "center"])
    aligner.close()


def test_a_word_that_it_does_not_know_is_the_callers_matter(aligner: ExternalAligner, alsa: Path) -> None:
    with pytest.raises(InputError, match="built-in could not align"):
        aligner.align(audio.load(alsa / "Front_Center.wav"), ["blorptastic"])


def test_without_mfa_the_error_says_what_to_set(alsa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MFA_COMMAND", raising=False)
    with pytest.raises(MissingProgram, match="set MFA_COMMAND"):
        AssessService().run(Request(alsa / "Front_Center.wav", "front center", aligner="mfa"))


def test_phones_in_other_alphabets_become_those_of_the_scorer(alsa: Path, sphinx: Sphinx) -> None:
    posteriors = sphinx.score(audio.load(alsa / "Front_Center.wav").samples)
    words = [[("F", 0.0, 0.1), ("R", 0.1, 0.2), ("AH1", 0.2, 0.3)], [("sil", 0.3, 0.5), ("ɑːɹ", 0.5, 0.7)]]
    found = alignment_of(words, posteriors, sphinx)
    assert [span.label for span in found.phones()] == ["F", "R", "AH", "AA", "R"]
    assert [(span.start, span.end) for span in found.spans][:5] == [(0, 10), (10, 20), (20, 30), (30, 50), (50, 60)]
    assert found.spans[-1].end == posteriors.frames
    with pytest.raises(EngineError, match='phone "ʕ" has no counterpart'):
        alignment_of([[("ʕ", 0.0, 0.1)]], posteriors, sphinx)
    with pytest.raises(EngineError, match="after the end"):
        alignment_of([[("F", 90.0, 91.0)]], posteriors, sphinx)
