"""MFA 3's own Python aligns real recordings through our program; its compiled part is another (mfa/_kalpy.py)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.recipes.clips import SpeechClip
from tests.recipes.test_neural import environment
from zeroidle.recipes.speech import audio
from zeroidle.recipes.speech.assess_service import AssessService, Request
from zeroidle.recipes.speech.errors import EngineError, InputError
from zeroidle.recipes.speech.external_aligner import ExternalAligner, _write
from zeroidle.recipes.speech.lexicon import dictionary_path

PARTS = Path(__file__).parent / "mfa"
PROGRAM = Path(sys.modules[ExternalAligner.__module__].__file__ or "").parent / "mfa" / "program.py"
KALPY = "kalpy-kaldi==0.10.5"
VOICES = ("slt", "rms", "awb")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.usefixtures("espeak")]


@pytest.fixture(scope="module")
def python() -> Path:
    """An environment with MFA, the Python part of kalpy out of its source package, and the ports of Kaldi."""
    found = environment("mfa", (str(PARTS / "requirements.txt"),))
    (packages,) = found.parents[1].glob("lib/python3*/site-packages")
    if not (packages / "kalpy").exists():
        folder = found.parents[1] / "sources"
        command = [found, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder, KALPY]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            stop = pytest.fail if os.environ.get("CI") else pytest.skip
            stop(f"no {KALPY}: {done.stderr.strip()[-500:]}")
        (source,) = folder.glob("*.tar.gz")
        with tarfile.open(source) as archive:
            top = archive.getnames()[0].split("/")[0]
            members = [one for one in archive.getmembers() if one.name.startswith(f"{top}/kalpy/")]
            archive.extractall(folder, members, filter="data")
        (folder / top / "kalpy").rename(packages / "kalpy")
    return found


@pytest.fixture(scope="module")
def folder(clips: list[SpeechClip], flite: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the models are trained on: the recordings, their texts and other words spoken by flite, their dictionary."""
    made = tmp_path_factory.mktemp("mfa")
    known: dict[str, list[str]] = {}
    for line in dictionary_path().read_text().splitlines():
        name, phones = line.split(" ", 1)
        known.setdefault(re.sub(r"\(\d+\)$", "", name), []).append(phones)
    corpus = []
    for number, clip in enumerate(clips):
        _write(made / f"{number}.wav", audio.load(clip.path))
        corpus.append([str(made / f"{number}.wav"), clip.text.lower()])
    chosen = np.random.default_rng(1)
    common = [word for word in known if word.isalpha() and word.isascii() and 3 <= len(word) <= 7]
    texts = [text for _, text in corpus for _ in VOICES] + [" ".join(chosen.choice(common, 6)) for _ in range(60)]
    for number, text in enumerate(texts):
        path = made / f"spoken-{number}.wav"
        subprocess.run(["flite", "-voice", VOICES[number % len(VOICES)], "-t", text, "-o", str(path)], check=True)
        corpus.append([str(path), text])
    words = sorted({word for _, text in corpus for word in text.split()})
    (made / "words.dict").write_text("".join(f"{word} {phones}\n" for word in words for phones in known[word]))
    (made / "corpus.json").write_text(json.dumps(corpus))
    return made


@pytest.fixture(scope="module", params=["plain", "positions"])
def command(python: Path, folder: Path, request: pytest.FixtureRequest) -> str:
    """How our program is started with a model; its home cannot be written to, and MFA_ROOT_DIR is not set."""
    model = folder / f"{request.param}.zip"
    options = ["--positions"] if request.param == "positions" else []
    env = {**os.environ, "PYTHONPATH": str(PARTS), "MFA_ROOT_DIR": str(folder / "root")}
    train = [python, PARTS / "train.py", folder / "corpus.json", folder / "words.dict", model, *options]
    done = subprocess.run(train, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return f"env -u MFA_ROOT_DIR HOME=/proc/none PYTHONPATH={PARTS} {python} {PROGRAM} {model} {folder / 'words.dict'}"


@pytest.fixture
def aligner(command: str) -> Iterator[ExternalAligner]:
    made = ExternalAligner(command)
    yield made
    made.close()


def test_its_times_agree_with_ours(command: str, clips: list[SpeechClip], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFA_COMMAND", command)
    service = AssessService()
    differences_s: list[float] = []
    for clip in clips:
        theirs = service.run(Request(clip.path, clip.text, miscue=False, aligner="mfa"))
        ours = service.run(Request(clip.path, clip.text, miscue=False))
        assert theirs.body["Aligner"] in ("MFA plain", "MFA positions")
        for one, other in zip(theirs.assessment.words, ours.assessment.words, strict=True):
            if len(one.phones) == len(other.phones):  # else another variant of the word fits better
                differences_s += [a.start_s - b.start_s for a, b in zip(one.phones, other.phones, strict=True)]
    assert len(differences_s) > 350
    found_s = np.abs(differences_s)
    print(len(clips), len(found_s), np.median(found_s), np.mean(found_s <= 0.05), np.mean(found_s <= 0.1))
    assert float(np.median(found_s)) <= 0.02
    assert float(np.mean(found_s <= 0.05)) >= 0.9


def test_words_are_found_as_written(aligner: ExternalAligner, clips: list[SpeechClip]) -> None:
    clip = next(clip for clip in clips if clip.text.startswith("he was not"))
    recording = audio.load(clip.path)
    plain = aligner.align(recording, clip.text.split())
    written = aligner.align(recording, ["He", "was", "NOT,", "an", "ill-disposed", "young", "man."])
    assert written == [*plain[:4], plain[4] + plain[5], *plain[6:]]
    with pytest.raises(InputError, match="does not have blorptastic"):
        aligner.align(recording, ["he", "blorptastic"])


def test_a_missing_model_is_named(alsa: Path) -> None:
    aligner = ExternalAligner(f"{sys.executable} {PROGRAM} /nowhere/model.zip {__file__}")
    with pytest.raises(EngineError, match=r"There is no /nowhere/model\.zip"):
        aligner.align(audio.load(alsa / "Front_Center.wav"), ["front", "center"])
    aligner.close()


def test_a_text_that_is_too_long_is_the_callers_matter(aligner: ExternalAligner, alsa: Path) -> None:
    with pytest.raises(InputError, match="No alignment was found"):
        aligner.align(audio.load(alsa / "Front_Center.wav"), ["front", "center"] * 40)


def test_programs_share_nothing_and_leave_nothing(command: str, alsa: Path, tmp_path: Path) -> None:
    """MFA unpacks models into MFA_ROOT_DIR and deletes there what another process has unpacked."""
    recording = audio.load(alsa / "Front_Center.wav")
    (tmp_path / "scratch").mkdir()
    places = f"env MFA_ROOT_DIR={tmp_path / 'root'} TMPDIR={tmp_path / 'scratch'}"
    shared = command.replace("env -u MFA_ROOT_DIR", places)
    first, second = ExternalAligner(shared), ExternalAligner(shared)
    found = first.align(recording, ["front", "center"])
    assert second.align(recording, ["front", "center"]) == found
    unpacked = sorted(path.parent.parent for path in tmp_path.rglob("final.mdl"))
    assert len(unpacked) == 2 and {path.parent for path in unpacked} == {tmp_path / "scratch"}
    second.close()
    assert first.align(recording, ["front", "center"]) == found
    first.close()
    assert list((tmp_path / "scratch").iterdir()) == []
