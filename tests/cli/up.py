"""Starts `zeroidle up` as a user does, and looks for what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "zeroidle"]
TIMEOUT_S = 30.0

HANDLER = """
import runpod, sys, time

def handler(job):
    given = job["input"]
    print("working on", given.get("text"))
    if given.get("fail"):
        raise ValueError("cannot do " + given["fail"])
    for step in range(int(given.get("steps", 0))):
        runpod.serverless.progress_update(job, {"step": step})
        time.sleep(0.05)
    end = time.monotonic() + float(given.get("seconds", 0))
    while time.monotonic() < end:
        time.sleep(0.01)
    return {"said": given}

runpod.serverless.start({"handler": handler})
"""

STREAM = """
import runpod

def handler(job):
    for n in range(3):
        yield {"n": n} if job["input"].get("objects") else "part%d " % n

runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
"""

DECLARED = '''
from zeroidle import File, endpoint

@endpoint(idle="60s")
def speak(text: str, times: int = 1, loud: bool = False) -> File:
    """Says a text."""
    assert isinstance(times, int) and isinstance(loud, bool)
    return File((text * times + ("!" if loud else "")).encode(), "text/plain", "said.txt")

@endpoint
def size(data: File) -> dict:
    return {"bytes": data.size_bytes, "name": data.name}
'''


def environment(**more: str) -> dict[str, str]:
    """The variables of the test without those that would lead to another plane."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZEROIDLE_", "RUNPOD_")) and k != "VIRTUAL_ENV"}
    return kept | more


def zeroidle(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    return subprocess.run(
        [*COMMAND, *args],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def until(condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Waits for a condition; answers its value."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class Up:
    """A running plane and the folder it runs in. `told` is what it printed first."""

    def __init__(self, folder: Path, *args: str, files: dict[str, str] | None = None, **env: str) -> None:
        self.folder = folder
        self.data = folder / ".zeroidle"
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        self.errors = folder / f"up-{time.monotonic_ns()}.err"
        with self.errors.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "up", *args, "--port", "0", "--json", "--grace", "10s"],
                cwd=folder, env=environment(**env), stderr=err, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.kill()
        assert line, f"zeroidle up said nothing; its errors:\n{self.errors.read_text()}"
        self.told: dict[str, Any] = json.loads(line)

    @property
    def url(self) -> str:
        url: str = self.told["url"]
        return url

    def call(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command in the plane's folder."""
        return zeroidle(*args, cwd=self.folder, **env)

    def ok(self, *args: str, **env: str) -> str:
        """The output of a command that must succeed."""
        done = self.call(*args, **env)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    def data_of(self, *args: str) -> Any:
        """The decoded output of a command with --json."""
        return json.loads(self.ok(*args, "--json"))

    def job(self, job_id: str) -> dict[str, Any]:
        """One job as `jobs` lists it."""
        found: dict[str, Any] = next(j for j in self.data_of("jobs")["jobs"] if j["id"] == job_id)
        return found

    def until_status(self, job_id: str, status: str) -> None:
        """Waits until the job is in that state."""
        until(lambda: self.job(job_id)["status"] == status, f"{job_id} is {status}")

    def signal(self, number: int) -> None:
        """Sends a signal to the plane alone."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """The exit status of the plane."""
        return self.process.wait(timeout_s)

    def end(self) -> None:
        """Ctrl-C; it must end well and leave nothing."""
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
            assert self.wait() == 0, self.errors.read_text()
        until(lambda: not self.left(), "no process is left")

    def kill(self) -> None:
        """Ends it in any case."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def left(self) -> list[int]:
        """Processes that carry the mark of this plane's folder in their environment."""
        mark = f"ZEROIDLE_PLANE={self.data}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found
