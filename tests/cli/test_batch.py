"""`zeroidle batch`: a file of inputs, its results in the same order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.up import COMMAND, Up, environment, until


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_results_come_in_the_order_of_the_inputs(plane: Up, tmp_path: Path) -> None:
    inputs = [{"text": f"t{n}"} for n in range(2500)]
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(json.dumps(one) + "\n\n" for one in inputs))
    done = plane.call("batch", "handler", str(file), "-o", str(out), "--name", "night")
    assert done.returncode == 0, done.stderr
    assert [one["output"] for one in lines(out.read_text())] == [{"said": one} for one in inputs]
    assert done.stderr.splitlines()[-1] == "2,500 of 2,500 done" and done.stdout == ""


def test_lines_may_be_whole_requests_and_failures_are_told(plane: Up, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    requests = [{"input": {"text": "a"}, "policy": {"ttl": 60_000}}, {"text": "b", "fail": "this"}, {"text": "ä"}]
    file.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in requests), "utf-8")
    done = plane.call("batch", "handler", str(file), "--timeout", "30s")
    assert done.returncode == 1
    first, failed, last = lines(done.stdout)
    assert first["output"] == {"said": {"text": "a"}} and last["output"] == {"said": {"text": "ä"}}
    assert failed["status"] == "FAILED" and "cannot do this" in failed["error"]
    assert done.stderr.splitlines()[-1] == "3 of 3 done, 1 failed"


def test_a_batch_can_be_left_and_taken_up_again(plane: Up, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"seconds": 0.5}\n{"text": "x"}\n')
    batch = plane.ok("batch", "handler", str(file), "--detach").strip()
    found = lines(plane.ok("batch", "handler", "--results", batch))
    assert [one["status"] for one in found] == ["COMPLETED"] * 2
    file.write_text('{"seconds": 60}\n' * 9)
    with subprocess.Popen(
        [*COMMAND, "batch", "handler", str(file)],
        cwd=plane.folder, env=environment(), stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        until(lambda: any(job["status"] == "IN_PROGRESS" for job in plane.data_of("jobs")["jobs"]), "a job runs")
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and "goes on" in said
    batch = said.split()[-1]
    assert "cancelled" in plane.ok("batch", "handler", "--cancel", batch)
    for job in plane.data_of("jobs")["jobs"]:
        if job["status"] == "IN_PROGRESS":
            plane.ok("cancel", job["id"])
    over = plane.call("batch", "handler", "--results", batch)
    assert over.returncode == 1 and [one["status"] for one in lines(over.stdout)] == ["CANCELLED"] * 9


@pytest.mark.parametrize(
    ("text", "args", "words"),
    [
        ("{\n", [], "Line 1 of in.jsonl is not JSON"),
        ("\n", [], "in.jsonl has no lines"),
        ("1\n", ["--results", "b"], "Give one of FILE"),
        ("1\n", ["--ttl", "soon"], "--ttl = 'soon'"),
        ("1\n", ["--webhook", "nowhere"], "webhook is 'nowhere'"),
        ('{"input": 1, "policy": {"ttl": 5}}\n', [], "Line 1: policy.ttl is 5 ms"),
        ("1\n", ["--out", "no/such/folder"], "cannot be written"),
    ],
)
def test_what_is_wrong_is_one_sentence(plane: Up, text: str, args: list[str], words: str) -> None:
    (plane.folder / "in.jsonl").write_text(text)
    done = plane.call("batch", "handler", "in.jsonl", *args)
    assert done.returncode in (1, 2) and words in done.stderr and "Traceback" not in done.stderr
    missing = plane.call("batch", "handler", "gone.jsonl")
    assert missing.returncode == 2 and "gone.jsonl cannot be read: No such file" in missing.stderr


def test_a_batch_that_is_not_taken_whole_leaves_nothing_to_run(plane: Up) -> None:
    (plane.folder / "in.jsonl").write_text("1\n" * 1500 + '{"input": 1, "policy": {"ttl": 5}}\n')
    done = plane.call("batch", "stream", "in.jsonl")
    assert done.returncode != 0 and "Line 1501: policy.ttl" in done.stderr
    endpoint = next(one for one in plane.data_of("ps")["endpoints"] if one["name"] == "stream")
    assert endpoint["queued"] == 0
