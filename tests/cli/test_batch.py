"""`zeroidle batch`: a file of inputs, its results in the same order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.up import COMMAND, HANDLER, Up, environment, until
from zeroidle.cli.batch_lines import writing


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
        ("1\nNaN\n", [], "Line 2 of in.jsonl is not JSON: NaN is no JSON value"),
        ("[" * 100_000 + "\n", [], "Line 1 of in.jsonl is nested too deeply"),
        ("\n", [], "in.jsonl has no lines"),
        ('1\n{"input": 1, "lang": "de"}\n', [], "Line 2 of in.jsonl has the key input and also lang"),
        ("1\n", ["--results", "b"], "Give one of FILE"),
        ("1\n", ["--ttl", "soon"], "--ttl = 'soon'"),
        ("1\n", ["--webhook", "nowhere"], "webhook is 'nowhere'"),
        ('\n{"input": 1, "policy": {"ttl": 5}}\n', [], "Line 2: policy.ttl is 5 ms"),
        ('1\n{"input": 1, "policy": 5}\n', [], "Line 2: "),
        ('"' + "x" * 11_000_000 + '"\n', [], "Line 1: The body is larger than"),
        ("1\n", ["--out", "no/such/folder"], "cannot be written: No such file"),
    ],
)
def test_what_is_wrong_is_one_sentence(plane: Up, text: str, args: list[str], words: str) -> None:
    (plane.folder / "in.jsonl").write_text(text)
    done = plane.call("batch", "handler", "in.jsonl", *args)
    assert done.returncode in (1, 2) and words in done.stderr and "Traceback" not in done.stderr, done.stderr[:500]
    missing = plane.call("batch", "handler", "gone.jsonl")
    assert missing.returncode == 2 and "gone.jsonl cannot be read: No such file" in missing.stderr
    assert plane.call("batch", "handler", "--results", "").returncode == 2


def test_a_batch_that_is_not_taken_whole_is_cancelled(plane: Up) -> None:
    (plane.folder / "in.jsonl").write_text("1\n" * 1500 + '{"input": 1, "policy": {"ttl": 5}}\n')
    done = plane.call("batch", "stream", "in.jsonl", "--name", "broken")
    assert done.returncode != 0 and "Line 1501: policy.ttl" in done.stderr
    (row,) = [line for line in plane.ok("batch", "stream").splitlines() if "broken" in line]
    assert "CANCELLED" in row and "1,000 of 1,000 done" in row


def test_odd_lines_are_what_they_say(plane: Up) -> None:
    (plane.folder / "in.jsonl").write_bytes(b'\xef\xbb\xbf{"half": "\\ud800"}\r\n{"input": {"input": 1}}\r\n"last"')
    done = plane.call("batch", "handler", "in.jsonl", "--ttl", "1h", "-o", "out.jsonl")
    assert done.returncode == 1, "a text has no .get, so the last fails"
    first, second, last = lines((plane.folder / "out.jsonl").read_text())
    assert first["output"] == {"said": {"half": "\ufffd"}} and second["output"] == {"said": {"input": 1}}
    assert last["status"] == "FAILED" and not list(plane.folder.glob("*.part"))


def test_half_of_a_surrogate_pair_loses_no_other_result(tmp_path: Path) -> None:
    found = [{"output": "ä"}, {"output": "\ud800"}, {"output": "z"}]
    with writing(str(tmp_path / "out.jsonl")) as out:
        assert out.write_all(found) == 3
    assert (tmp_path / "out.jsonl").read_text("utf-8").splitlines()[0] == '{"output": "ä"}'
    assert lines((tmp_path / "out.jsonl").read_text("utf-8")) == found


def test_what_is_no_regular_file_is_written_to_and_not_replaced(plane: Up, tmp_path: Path) -> None:
    (plane.folder / "in.jsonl").write_text("{}\n")
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_text("old")
    link.symlink_to(target)
    plane.ok("batch", "handler", "in.jsonl", "-o", str(link))
    assert link.is_symlink() and lines(target.read_text())[0]["status"] == "COMPLETED"
    plane.ok("batch", "handler", "in.jsonl", "-o", "/dev/null")
    assert Path("/dev/null").is_char_device()
    target.write_text("old")
    assert plane.call("batch", "handler", "--results", "none", "-o", str(target)).returncode == 1
    assert target.read_text() == "old" and not list(tmp_path.glob("*.part"))


def test_a_plane_that_is_started_again_is_waited_for(tmp_path: Path) -> None:
    up = Up(tmp_path, "handler.py", files={"handler.py": HANDLER, "in.jsonl": '{"seconds": 0.5}\n' * 8})
    try:
        with subprocess.Popen(
            [*COMMAND, "batch", "handler", "in.jsonl", "-o", "out.jsonl"],
            cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            until(lambda: re.search("[1-7] of 8 done", up.ok("batch", "handler")), "a job has ended")
            up.kill()
            up = Up(tmp_path, "handler.py")
            _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert [one["status"] for one in lines((tmp_path / "out.jsonl").read_text())] == ["COMPLETED"] * 8
    finally:
        up.kill()


def test_results_that_are_gone_are_told(tmp_path: Path) -> None:
    up = Up(tmp_path, "handler.py", "--set", "handler.retention_batch=1s", files={"handler.py": HANDLER})
    try:
        (tmp_path / "in.jsonl").write_text("{}\n" * 3)
        batch = up.ok("batch", "handler", "in.jsonl", "--detach").strip()
        until(lambda: "3 of 3" in up.ok("batch", "handler"), "the batch has ended")
        until(lambda: _left(up, batch) == 0, "the results are gone")
        over = up.call("batch", "handler", "--results", batch)
        assert over.returncode == 1 and "Only 0 results of 3 are still there" in over.stderr
    finally:
        up.kill()


def _left(up: Up, batch: str) -> int:
    return len(up.call("batch", "handler", "--results", batch).stdout.splitlines())
