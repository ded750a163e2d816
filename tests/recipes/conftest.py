"""Programs and recordings that the tests of the speech services take from Debian packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.recipes.clips import SpeechClip, alsa_clips, testdata_clips
from zeroidle.recipes.speech.sphinx import Sphinx

_NEEDS = {
    "espeak-ng": "/usr/bin/espeak-ng",
    "flite": "/usr/bin/flite",
    "pocketsphinx-testdata": "/usr/share/pocketsphinx/test/data/goforward.raw",
    "alsa-utils": "/usr/share/sounds/alsa/Front_Center.wav",
}


def _installed(package: str) -> None:
    """Installs a Debian package when that is possible; else skips, or fails where CI is set."""
    if Path(_NEEDS[package]).exists():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-qq", package], check=False, capture_output=True)
    if Path(_NEEDS[package]).exists():
        return
    if os.environ.get("CI"):
        pytest.fail(f"{package} is not installed and could not be installed")
    pytest.skip(f"needs {package}: apt-get install {package}")


@pytest.fixture(scope="session")
def espeak() -> None:
    _installed("espeak-ng")


@pytest.fixture(scope="session")
def flite() -> None:
    _installed("flite")


@pytest.fixture(scope="session")
def testdata() -> Path:
    """The recordings of pocketsphinx-testdata."""
    _installed("pocketsphinx-testdata")
    return Path(_NEEDS["pocketsphinx-testdata"]).parent


@pytest.fixture(scope="session")
def alsa() -> Path:
    """The spoken clips of alsa-utils, 48 kHz."""
    _installed("alsa-utils")
    return Path(_NEEDS["alsa-utils"]).parent


@pytest.fixture(scope="session")
def clips(testdata: Path, alsa: Path, tmp_path_factory: pytest.TempPathFactory) -> list[SpeechClip]:
    """All recordings of real speech whose words are known."""
    return testdata_clips(testdata, tmp_path_factory.mktemp("clips")) + alsa_clips(alsa)


@pytest.fixture(scope="session")
def sphinx() -> Sphinx:
    """The CPU backend, loaded once."""
    return Sphinx()
