"""`zeroidle up` in the speech folder serves both services, each in its own interpreter, on real speech."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zeroidle
from tests.cli.up import Up

pytestmark = pytest.mark.usefixtures("espeak")
RECIPES = Path(zeroidle.__file__).parent / "recipes"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A plane in a copy of the monorepo; ipa-generation gets an interpreter of its own."""
    import venv

    root = tmp_path_factory.mktemp("monorepo")
    for name in ("speech", "ipa_generation", "pronunciation_assessment"):
        shutil.copytree(RECIPES / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(root / "own", system_site_packages=False)
    config = (root / "speech" / "zeroidle.toml").read_text()
    config = config.replace('# python = ".venv-powsm/bin/python"', f'python = "{root}/own/bin/python" #')
    config = config.replace('# python = ".venv-gpu/bin/python"', f'python = "{sys.executable}" #')
    (root / "speech" / "zeroidle.toml").write_text(config)
    up = Up(root / "speech")
    try:
        yield up
        up.end()
    finally:
        up.kill()


def output(plane: Up, *args: str) -> Any:
    return plane.data_of("run", *args)["output"]


def test_both_services_answer_side_by_side(plane: Up, alsa: Path) -> None:
    names = [endpoint["name"] for endpoint in plane.told["endpoints"]]
    assert names == ["pronunciation-assessment", "ipa-generation", "pronunciation-assessment-live"]
    spoken = output(plane, "pronunciation-assessment", f"audio=@{alsa / 'Front_Center.wav'}", "text=Front center.")
    assert spoken["RecognitionStatus"] == "Success"
    assert spoken["NBest"][0]["PronunciationAssessment"]["AccuracyScore"] > 60
    assert output(plane, "ipa-generation", "text=Guten Morgen", "language=de")["ipa"] == "ɡˈuːtən mˈɔɾɡən"


def test_the_second_interpreter_is_another_one(plane: Up, alsa: Path) -> None:
    """Its environment has no pocketsphinx: text works, and audio says what is missing."""
    done = plane.call("run", "ipa-generation", f"audio=@{alsa / 'Front_Center.wav'}")
    assert done.returncode == 1
    assert 'Audio needs the package "numpy" in this environment' in done.stderr


def test_the_report_and_the_picture_are_saved(plane: Up, alsa: Path, tmp_path: Path) -> None:
    found = plane.data_of(
        "run", "pronunciation-assessment", f"audio=@{alsa / 'Rear_Center.wav'}", "text=rear center", "html=true",
        "png=true", "--out", str(tmp_path),
    )["output"]  # fmt: skip
    assert Path(found["Report"]["url"]).read_text().startswith("<!doctype html>")
    assert Path(found["Picture"]["url"]).read_bytes().startswith(b"\x89PNG")


def test_a_learner_sees_every_step_as_it_is_reached(plane: Up, testdata: Path) -> None:
    clip = testdata / "librivox" / "sense_and_sensibility_01_austen_64kb-0880.wav"
    arguments = (f"audio=@{clip}", "text=he was not an ill disposed young man", "granularity=word")
    lines = plane.ok("run", "pronunciation-assessment-live", *arguments, "--json").splitlines()
    chunks = [json.loads(line)["chunk"] for line in lines[:-1]]
    assert [chunk.get("step") for chunk in chunks] == ["heard", "transcribed", "aligned", "scored", None]
    assert chunks[-1]["RecognitionStatus"] == "Success"
    broken = plane.call("run", "pronunciation-assessment-live", f"audio=@{clip}", "text=...", "--json")
    assert broken.returncode == 1
    assert "no word that can be pronounced" in json.loads(broken.stdout.splitlines()[-1])["error"]


def test_no_sound_is_an_error_that_names_the_cause_and_the_worker_lives_on(plane: Up, alsa: Path) -> None:
    text = plane.folder / "text.wav"
    text.write_text("this is no sound")
    done = plane.call("run", "pronunciation-assessment", f"audio=@{text}", "text=hello")
    assert done.returncode == 1
    assert "no known audio format" in done.stderr
    spoken = output(plane, "pronunciation-assessment", f"audio=@{alsa / 'Side_Left.wav'}", "text=side left")
    assert spoken["TextMatchesAudio"]
