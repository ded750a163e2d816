"""One virtual environment per version of `runpod`, made once under .cache/sdk and then reused."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[3] / ".cache" / "sdk"

#: Tried on every run.
FAST = ("1.12.0", "1.10.1", "1.9.1")

#: Tried as well in the slow tier (scripts/test --all).
SLOW = ("1.7.9", "1.5.3")

#: Takes sync handlers only, and knows neither progress nor streams; slow too.
OLDEST = "0.8.4"

#: Packages that a release needs and does not name (1.7.12 to 1.9 import filelock).
MISSING = ("filelock",)

#: Every version that has the whole worker protocol.
VERSIONS = [*FAST, *(pytest.param(version, marks=pytest.mark.slow) for version in SLOW)]

#: Every version, for what the oldest has as well.
ALL_VERSIONS = [*VERSIONS, pytest.param(OLDEST, marks=pytest.mark.slow)]


def python(version: str) -> Path:
    """The interpreter of the environment that has this version; makes it when it is not there.

    Never half made: it is built under another name and then renamed. Without an index to install from the test is
    skipped, and fails where CI is set.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / f"runpod-{version}"
    with (CACHE / f"runpod-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _make(target, version)
    return target / "bin" / "python"


def _make(target: Path, version: str) -> None:
    draft = target.with_name(f"{target.name}.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        _run(sys.executable, "-m", "venv", str(draft))
        _run(str(draft / "bin/python"), "-m", "pip", "install", "-q", f"runpod=={version}", *MISSING)
        draft.rename(target)
    except subprocess.CalledProcessError as exc:
        message = f"runpod {version} cannot be installed: {exc.stderr[-500:]}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(*command: str) -> None:
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(command, check=True, env=env, capture_output=True, text=True)
