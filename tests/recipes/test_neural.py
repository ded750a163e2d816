"""The neural backends' real loading code on tiny random checkpoints in the real formats, in their own environments."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import zeroidle

ROOT = Path(__file__).parents[2]
SPEECH = Path(zeroidle.__file__).parent / "recipes" / "speech"
PROGRAMS = Path(__file__).parent / "neural"
pytestmark = [pytest.mark.timeout(1800), pytest.mark.usefixtures("espeak")]


def environment(name: str, *steps: tuple[str, ...]) -> Path:
    """The interpreter of an environment under .cache, made once for each state of its requirement files."""
    files = [SPEECH / step[-1] for step in steps]
    stamp = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = ROOT / ".cache" / f"speech-{name}"
    if not (folder / f".made-{stamp}").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for *options, file in steps:
            command = [
                folder / "bin" / "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                *options,
                "-r",
                SPEECH / file,
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                shutil.rmtree(folder)
                if os.environ.get("CI"):
                    pytest.fail(done.stderr[-2000:])
                pytest.skip(f"the environment {name} could not be made: {done.stderr.strip().splitlines()[-1]}")
        for library in folder.glob("lib/python3*/site-packages/torchaudio/lib/*.so"):
            library.unlink()
        (folder / f".made-{stamp}").touch()
    return folder / "bin" / "python"


def output(python: Path, program: str, *arguments: Path) -> Any:
    """What the program printed last, as JSON."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([python, PROGRAMS / program, *arguments], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None


@pytest.fixture(scope="module")
def transformers(tmp_path_factory: pytest.TempPathFactory, alsa: Path) -> dict[str, Any]:
    python = environment("transformers", ("requirements-transformers.txt",))
    models = tmp_path_factory.mktemp("models")
    output(python, "tiny_transformers.py", models)
    found: dict[str, Any] = output(python, "use_transformers.py", models, alsa / "Front_Center.wav")
    return found


@pytest.fixture(scope="module")
def powsm(tmp_path_factory: pytest.TempPathFactory, alsa: Path) -> dict[str, Any]:
    python = environment("espnet", ("requirements-espnet.txt",), ("--no-deps", "requirements-espnet-nodeps.txt"))
    found: dict[str, Any] = output(
        python, "tiny_powsm.py", tmp_path_factory.mktemp("powsm") / "m", alsa / "Front_Center.wav"
    )
    return found


def test_wav2vec2_gives_log_posteriors_every_20_ms(transformers: dict[str, Any]) -> None:
    found = transformers["wav2vec2"]
    frames, phones, states = found["shape"]
    assert states == 1 and phones == 48
    assert frames == pytest.approx(transformers["seconds"] / 0.02, abs=2)
    assert found["blank"] and found["frame_s"] == 0.02
    low, high = found["sums"]  # the special tokens hold the rest
    assert 0.8 < low <= high < 1.0


def test_wav2vec2_joins_the_parts_of_long_audio_without_a_seam(transformers: dict[str, Any]) -> None:
    assert transformers["wav2vec2"]["joined"] < 0.05


def test_both_forms_of_whisper_give_words_with_times(transformers: dict[str, Any]) -> None:
    for form in ("whisper", "whisper-ct2"):
        words = transformers[form]
        assert words, form
        for text, start_s, end_s, probability in words:
            assert text == text.strip() != ""
            assert 0 <= start_s <= end_s <= transformers["seconds"] + 0.1
            assert 0 <= probability <= 1


def test_byt5_pronounces_in_batches_the_same_each_time(transformers: dict[str, Any]) -> None:
    assert len(transformers["byt5"]) == 3 and all(transformers["byt5"])
    assert transformers["byt5"] == transformers["byt5 again"]
    assert 'does not know the language "te"' in transformers["byt5 refuses"]
    assert transformers["ipa"]["method"] == "byt5"
    assert len(transformers["ipa"]["ipa"].split()) == 2


def test_an_assessment_by_wav2vec2_has_the_same_form_in_any_language(transformers: dict[str, Any]) -> None:
    english, german = transformers["assessed"], transformers["german"]
    assert english["Backend"] == "wav2vec2 wav2vec2"
    assert english["Calibration"] == "ctc-2026.11"
    assert [word["Word"] for word in english["NBest"][0]["Words"]] == ["front", "center"]
    assert german["NBest"][0]["Words"][1]["Phonemes"][0]["Phoneme"] == "m"
    assert english["RecognitionStatus"] == "NoMatch"  # random weights know nothing, and that is said


def test_powsm_scores_phones_every_40_ms_and_drops_nothing_of_long_audio(powsm: dict[str, Any]) -> None:
    frames, phones, _ = powsm["shape"]
    assert phones == 40
    assert frames == pytest.approx(powsm["seconds"] / 0.04, abs=1)
    assert powsm["frames of 45 s"] == 45 / 0.04
    assert powsm["sums"] == pytest.approx([1.0, 1.0])
    assert powsm["pr of 45 s"] >= 2 * len(powsm["pr"])  # three parts, each with its own answer


def test_powsm_serves_all_tasks_with_one_model(powsm: dict[str, Any]) -> None:
    assert powsm["pr"] and powsm["g2p"] and powsm["asr"]
    assert all("/" not in phone for phone in powsm["pr"] + powsm["g2p"])
    assert "with a text, POWSM takes at most 20 s" in powsm["g2p refuses"]


def test_ipa_from_audio_names_the_task(powsm: dict[str, Any]) -> None:
    assert powsm["ipa pr"]["method"] == "powsm <pr>"
    assert powsm["ipa g2p"]["method"] == "powsm <g2p>"
    assert powsm["ipa pr"]["ipa"] == "".join(powsm["ipa pr"]["phones"])


def test_an_assessment_by_powsm_has_the_same_form(powsm: dict[str, Any]) -> None:
    assert powsm["assessed"]["Backend"].startswith("powsm ")
    assert [word["Word"] for word in powsm["assessed"]["NBest"][0]["Words"]] == ["front", "center"]
