"""The whole plane is killed in the middle of a burst, again and again, and workers with it: nothing is lost."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

from tests.cli.up import Up, until

JOBS = 2000
CLIENTS = 4
LARGE = 300_000  # more than a payload may have to stay out of the spool

HANDLER = """
import runpod

def handler(job):
    number = job["input"]["number"]
    with open("runs", "a") as file:
        file.write("%d\\n" % number)
    return {"number": number, "pad": "x" * (300000 if number % 50 == 0 else 10)}

runpod.serverless.start({"handler": handler})
"""


class Planes:
    """One data folder and the plane that serves it now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.up = self._start({"handler.py": HANDLER})

    def _start(self, files: dict[str, str] | None = None) -> Up:
        return Up(self._folder, "handler.py", files=files)

    def kill(self) -> None:
        """Ends the plane as a power failure would, and starts the next one."""
        assert self.up.process.poll() is None, f"it ended by itself:\n{self.up.errors.read_text()}"
        self.up.kill()
        self.up = self._start()

    def kill_a_worker(self, chance: random.Random) -> None:
        pids = self.up.left()
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Raises OSError or HTTPException while no plane answers."""
        address = self.up.url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, f"/v2/handler/{path}", body and json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())


def submit(planes: Planes, numbers: range, ids: dict[int, str], stop: threading.Event) -> None:
    """Sends each number until it is acknowledged, as a careful client does."""
    for number in numbers:
        body = {"input": {"number": number, "pad": "y" * (LARGE if number % 70 == 0 else 5)}}
        while number not in ids and not stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                status, answer = planes.ask("POST", "run", body, **{"Idempotency-Key": f"number-{number}"})
                if status == 200:
                    ids[number] = answer["id"]


def test_two_thousand_jobs_survive_a_plane_that_is_killed_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(1)
    planes = Planes(tmp_path)
    ids: dict[int, str] = {}
    stop = threading.Event()
    clients = [
        threading.Thread(target=submit, args=(planes, range(k, JOBS, CLIENTS), ids, stop)) for k in range(CLIENTS)
    ]
    try:
        for client in clients:
            client.start()
        for kills in range(1, 9):
            # Each plane comes to do some work, and is killed at no particular point of it.
            goal = min(JOBS, kills * JOBS // 9 + chance.randrange(50))
            until(lambda goal=goal: len(ids) >= goal, f"{goal} jobs are acknowledged", 60)  # type: ignore[misc]
            if kills % 2:
                planes.kill_a_worker(chance)
            planes.kill()
        for client in clients:
            client.join(60)
        assert len(ids) == JOBS

        def finished() -> bool:
            jobs = planes.ask("GET", "health")[1]["jobs"]
            return bool(jobs["inQueue"] + jobs["inProgress"] == 0)

        until(finished, "every job has ended", 60)
        assert len(set(ids.values())) == JOBS
        for number, job_id in ids.items():
            status, job = planes.ask("GET", f"status/{job_id}")
            assert (status, job["status"]) == (200, "COMPLETED"), job
            assert job["output"]["number"] == number
        health = planes.ask("GET", "health")[1]["jobs"]
        assert (health["completed"], health["failed"]) == (JOBS, 0)
        assert {int(line) for line in (tmp_path / "runs").read_text().split()} == set(range(JOBS))
        planes.up.end()
        large = len(range(0, JOBS, 70)) + len(range(0, JOBS, 50))  # inputs and outputs
        assert len([entry for entry in (planes.up.data / "spool").iterdir() if entry.is_file()]) == large
    finally:
        stop.set()
        planes.up.kill()
