"""Every form of a declared handler through run, runsync, stream, cancel, time-out, retry and the loss of a worker."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.up import Up
from tests.declared.client import Client
from tests.declared.forms import FORMS, NAMES, result

EVERY = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A plane that serves every form; its workers stay for all tests of one form."""
    up = Up(tmp_path_factory.mktemp("forms"), "app.py", "--idle", "60s", "--max-workers", "1", files={"app.py": FORMS})
    try:
        yield up
        up.end()
    finally:
        up.kill()


@EVERY
def test_run_runsync_and_status(plane: Up, name: str) -> None:
    client = Client(plane.url, name)
    assert client.output(n=1) == result(name, 1)
    job = client.ended(client.run(n=2))
    assert (job["status"], job["output"]) == ("COMPLETED", result(name, 2))
    assert job["executionTime"] >= 0 and job["delayTime"] >= 0


@EVERY
def test_several_jobs_keep_their_results_apart(plane: Up, name: str) -> None:
    client = Client(plane.url, name)
    ids = [client.run(n=n) for n in range(10)]
    assert [client.ended(job_id)["output"] for job_id in ids] == [result(name, n) for n in range(10)]


@EVERY
def test_stream(plane: Up, name: str) -> None:
    client = Client(plane.url, name)
    job_id = client.run(n=5)
    assert client.stream(job_id) == ([6, 6] if NAMES[name] else [])
    assert client.status(job_id)["output"] == result(name, 5)


@EVERY
def test_cancel_ends_a_running_job_and_the_next_one_runs(plane: Up, name: str) -> None:
    client = Client(plane.url, name)
    job_id = client.run(n=1, seconds=600)
    client.until(job_id, "IN_PROGRESS")
    assert client.post(f"cancel/{job_id}").body["status"] == "CANCELLED"
    assert client.output(n=3) == result(name, 3)
    assert client.status(job_id)["status"] == "CANCELLED"


@EVERY
def test_a_failed_job_says_why_and_succeeds_when_it_is_retried(plane: Up, name: str, tmp_path: Path) -> None:
    client = Client(plane.url, name)
    file = tmp_path / "go"
    job_id = client.run(n=7, fail=str(file))
    job = client.ended(job_id)
    assert job["status"] == "FAILED" and "cannot do 7" in job["error"]
    file.touch()
    assert client.post(f"retry/{job_id}").status == 200
    job = client.until(job_id, "COMPLETED")
    assert job["output"] == result(name, 7)


@EVERY
def test_a_job_whose_worker_dies_runs_again(plane: Up, name: str, tmp_path: Path) -> None:
    client = Client(plane.url, name)
    file = tmp_path / "died"
    assert client.output(n=8, lose=str(file)) == result(name, 8)
    assert file.exists()


@EVERY
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "input.n is missing"),
        ({"n": "x"}, 'input.n is "x"; it is not of type "integer"'),
        ({"n": 1, "secnds": 2}, "did you mean seconds?"),
        ({"n": [1]}, "input.n is [1]"),
    ],
)
def test_wrong_input_is_a_400_that_names_the_field(plane: Up, name: str, given: dict[str, Any], words: str) -> None:
    answer = Client(plane.url, name).post("run", {"input": given})
    assert answer.status == 400 and words in answer.body["error"], answer


@EVERY
def test_a_form_gives_the_same_job(plane: Up, name: str) -> None:
    body = urllib.parse.urlencode({"n": "4"}).encode()
    parts = b'--x\r\ncontent-disposition: form-data; name="n"\r\n\r\n4\r\n--x--\r\n'
    client = Client(plane.url, name)
    answer = client.post("runsync?wait=60000", parts, "multipart/form-data; boundary=x")
    assert answer.body["output"] == result(name, 4), answer
    assert client.post("run", body, "application/x-www-form-urlencoded").status == 400  # it is read as JSON


def test_a_time_out_ends_a_job_of_every_form_and_the_next_one_runs(tmp_path: Path) -> None:
    up = Up(tmp_path, "app.py", "--idle", "60s", "--max-workers", "1", "--timeout", "1s", files={"app.py": FORMS})
    try:
        clients = {name: Client(up.url, name) for name in NAMES}
        ids = {name: client.run(n=1, seconds=600) for name, client in clients.items()}
        for name, job_id in ids.items():
            job = clients[name].ended(job_id)
            assert job["status"] == "TIMED_OUT", (name, job)
        after = {name: client.run(n=2) for name, client in clients.items()}
        for name, job_id in after.items():
            job = clients[name].ended(job_id)
            assert job.get("output") == result(name, 2), (name, job)
        up.end()
    finally:
        up.kill()
