"""Requests that are handed over in lists, on a real plane: how many calls, whose result, whose error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.up import Up, until
from tests.declared.client import Client

APP = """
import os, time
from zeroidle import endpoint

calls = 0


@endpoint(batch=(8, "10s"))
def count(n: list[int]) -> list[dict]:
    global calls
    calls += 1
    return [{"n": one, "call": calls, "size": len(n)} for one in n]


@endpoint(batch=(4, "10s"))
def pick(n: list[int]) -> list:
    if 100 in n:
        raise RuntimeError("the whole batch")
    return [ValueError("%d alone" % one) if one % 2 else one for one in n]


@endpoint(batch=(4, "10s"))
def wrong(n: list[int]) -> list:
    return [float("nan") if one == 1 else {1, 2}.__iter__() if one == 2 else one for one in n]


@endpoint(batch=(2, "50ms"))
def wait_for(path: list[str]) -> list[int]:
    while not all(os.path.exists(one) for one in path):
        time.sleep(0.01)
    return [len(path)] * len(path)
"""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A plane that serves the file."""
    up = Up(tmp_path_factory.mktemp("batch"), "app.py", "--idle", "60s", "--max-workers", "1", files={"app.py": APP})
    try:
        yield up
        up.end()
    finally:
        up.kill()


def submitted(client: Client, values: list[int]) -> list[dict[str, Any]]:
    """The ended jobs of these values, submitted in order before any is waited for."""
    ids = [client.run(n=n) for n in values]
    return [client.ended(job_id) for job_id in ids]


def test_a_fixed_cost_per_call_is_paid_once_per_batch(plane: Up) -> None:
    """What the throughput follows: with 20 ms a call, 40 jobs in 5 calls take 100 ms and not 800."""
    jobs = submitted(Client(plane.url, "count"), list(range(40)))
    outputs = [job["output"] for job in jobs]
    assert [one["n"] for one in outputs] == list(range(40))
    assert [one["size"] for one in outputs] == [8] * 40
    assert [one["call"] for one in outputs] == [1 + n // 8 for n in range(40)]  # in the order of submission


def test_an_error_for_a_member_is_that_job_s_alone(plane: Up) -> None:
    jobs = submitted(Client(plane.url, "pick"), [0, 1, 2, 3])
    assert [job["status"] for job in jobs] == ["COMPLETED", "FAILED"] * 2
    assert [job.get("output") for job in jobs] == [0, None, 2, None]
    assert "1 alone" in jobs[1]["error"] and "3 alone" in jobs[3]["error"]
    assert "3 alone" not in jobs[1]["error"]


def test_an_exception_fails_the_jobs_of_its_batch_and_no_other(plane: Up) -> None:
    jobs = submitted(Client(plane.url, "pick"), [0, 2, 100, 4, 6, 8, 10, 12])
    assert [job["status"] for job in jobs] == ["FAILED"] * 4 + ["COMPLETED"] * 4
    assert all("the whole batch" in job["error"] for job in jobs[:4])
    assert [job["output"] for job in jobs[4:]] == [6, 8, 10, 12]


def test_a_result_that_is_not_json_is_that_job_s_error(plane: Up) -> None:
    jobs = submitted(Client(plane.url, "wrong"), [0, 1, 2, 3])
    assert [jobs[n]["output"] for n in (0, 3)] == [0, 3]
    assert jobs[2]["status"] == "FAILED" and "which is not JSON" in jobs[2]["error"]
    assert jobs[1]["status"] == "COMPLETED" and jobs[1]["output"] is None  # NaN becomes null, as for any handler


def test_wrong_input_never_reaches_a_batch(plane: Up) -> None:
    client = Client(plane.url, "count")
    answer = client.post("run", {"input": {"n": [1]}})
    assert answer.status == 400 and "input.n" in answer.body["error"]


def test_a_cancelled_job_leaves_its_batch_to_the_others(plane: Up, tmp_path: Path) -> None:
    client = Client(plane.url, "wait-for")
    go = tmp_path / "go"
    ids = [client.run(path=str(go)) for _ in range(2)]
    for job_id in ids:
        client.until(job_id, "IN_PROGRESS")
    assert client.post(f"cancel/{ids[0]}").body["status"] == "CANCELLED"
    assert client.status(ids[1])["status"] == "IN_PROGRESS"
    go.touch()
    assert client.ended(ids[1])["output"] in (1, 2)
    until(lambda: client.get("health").body["jobs"]["inProgress"] == 0, "nothing runs")
