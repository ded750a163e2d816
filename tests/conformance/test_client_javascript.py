"""The published npm package `runpod-sdk` as client against our API."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.conformance.client_plane import KEY, serving

VERSION = "1.1.2"
CACHE = Path(__file__).parents[2] / ".cache" / "npm"


def unavailable(message: str) -> NoReturn:
    """Skips here and fails where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def package() -> Path:
    """The package's folder; installed once under .cache/npm and then reused."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        unavailable("node and npm are not installed.")
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / f"runpod-sdk-{VERSION}"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            draft = CACHE / f"draft-{os.getpid()}"
            command = ["npm", "install", "--prefix", str(draft), "--no-audit", "--no-fund", f"runpod-sdk@{VERSION}"]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
                draft.rename(target)
            except subprocess.CalledProcessError as exc:
                unavailable(f"runpod-sdk {VERSION} cannot be installed: {exc.stderr[-500:]}")
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return target / "node_modules" / "runpod-sdk"


@pytest.fixture(scope="module")
def found(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the package got from a plane."""
    with serving(tmp_path_factory.mktemp("plane")) as url:
        script = Path(__file__).parent / "client.mjs"
        module = package / json.loads((package / "package.json").read_text())["main"]
        ran = subprocess.run(["node", str(script), str(module), url, KEY], capture_output=True, text=True, timeout=90)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)


def test_run_sync(found: Any) -> None:
    assert found["runSync"]["output"] == {"text": "hällo"}
    assert found["runSync"]["succeeded"] is True
    assert found["runSync"]["id"].startswith("sync-")
    assert (found["failed"]["status"], found["failed"]["succeeded"]) == ("FAILED", False)
    assert found["failed"]["error"] == "so"


def test_run_status_and_status_sync(found: Any) -> None:
    assert found["run"] == {"status": "IN_QUEUE"}
    for job in (found["status"], found["statusSync"]):
        assert (job["status"], job["output"], job["succeeded"]) == ("COMPLETED", {"n": 1}, True)
        assert isinstance(job["delayTime"], int) and isinstance(job["executionTime"], int)


def test_stream(found: Any) -> None:
    assert found["stream"] == ["a", {"b": 2}, None]


def test_cancel_health_and_purge(found: Any) -> None:
    assert found["queued"]["status"] == "IN_QUEUE"
    assert found["cancel"]["status"] == "CANCELLED"
    assert found["health"]["jobs"]["inQueue"] == 1
    assert set(found["health"]["workers"]) >= {"idle", "initializing", "ready", "running", "throttled"}
    assert found["purgeQueue"] == {"removed": 1, "status": "completed"}


def test_a_job_that_nobody_takes(found: Any) -> None:
    assert found["unfinished"]["status"] == "IN_QUEUE"
    assert found["unfinished"]["completed"] is False


def test_refusals(found: Any) -> None:
    assert found["unauthorized"] == 401
    assert found["missing"] == 404
