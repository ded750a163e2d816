"""`zeroidle run`: inputs, streams, progress, files, exit status."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.up import COMMAND, HANDLER, Up, environment, until


def test_output_goes_to_standard_output_alone(plane: Up) -> None:
    done = plane.call("run", "handler", "text=hi", "steps:=2")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"said": {"text": "hi", "steps": 2}}
    assert "ran" in done.stderr


def test_options_may_stand_anywhere(plane: Up) -> None:
    first = json.loads(plane.ok("run", "--no-save", "handler", "a=1", "--json", "b=2"))
    assert first["output"] == {"said": {"a": "1", "b": "2"}} and first["status"] == "COMPLETED"


def test_progress_is_shown_while_it_runs(plane: Up) -> None:
    done = plane.call("run", "handler", "steps:=60")
    assert done.returncode == 0 and '{"step": ' in done.stderr and '{"step": ' not in done.stdout


def test_a_failed_job_has_exit_status_1_and_says_why(plane: Up) -> None:
    done = plane.call("run", "handler", "fail=this")
    assert done.returncode == 1 and done.stdout == ""
    assert "ValueError: cannot do this" in done.stderr and "zeroidle why" in done.stderr
    as_json = plane.call("run", "handler", "fail=this", "--json")
    assert as_json.returncode == 1 and json.loads(as_json.stdout)["status"] == "FAILED"


def test_a_stream_is_printed_as_it_comes(plane: Up) -> None:
    assert plane.ok("run", "stream") == "part0 part1 part2 \n"
    assert plane.ok("run", "stream", "objects:=true") == '{"n": 0}\n{"n": 1}\n{"n": 2}\n'
    lines = [json.loads(line) for line in plane.ok("run", "stream", "--json").splitlines()]
    assert lines[:3] == [{"chunk": f"part{n} "} for n in range(3)]
    assert lines[3]["output"] == ["part0 ", "part1 ", "part2 "]


def test_the_endpoints_types_are_kept_to(plane: Up, tmp_path: Path) -> None:
    done = plane.call("run", "speak", "text=7", "times=2", "loud=true", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "said.txt").read_text() == "77!"
    assert json.loads(done.stdout)["url"] == str(tmp_path / "said.txt")
    again = plane.call("run", "speak", "text=8", "-o", str(tmp_path))
    assert again.returncode == 0 and (tmp_path / "said-1.txt").read_text() == "8"
    assert (tmp_path / "said.txt").read_text() == "77!"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["speak", "txt=hi"], "has no input txt; did you mean text?"),
        (["speak", "text=hi", "times=many"], "times='many' is not an integer"),
        (["speek", "text=hi"], "There is no endpoint 'speek'"),
        (["handler", "text"], "'text' is not key=value"),
        (["handler", "a:={"], "a:= is not JSON"),
        (["handler", "a=@/no/such/file"], "cannot be read: No such file"),
        (["handler", "--input", "[1]", "a=1"], "--input is not an object"),
        (["handler", "--timeout", "1s"], "policy.executionTimeout"),
    ],
)
def test_wrong_input_is_one_sentence_and_sends_nothing(plane: Up, args: list[str], words: str) -> None:
    before = len(plane.data_of("jobs")["jobs"])
    done = plane.call("run", *args)
    assert done.returncode in (1, 2) and words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert len(plane.data_of("jobs")["jobs"]) == before


def test_files_go_in_as_the_handler_wants_them(plane: Up, tmp_path: Path) -> None:
    binary, text = tmp_path / "a.bin", tmp_path / "a.txt"
    binary.write_bytes(bytes(range(256)) * 4000)
    text.write_text("grüße")
    assert json.loads(plane.ok("run", "size", f"data=@{binary}")) == {"bytes": 1_024_000, "name": "a.bin"}
    assert json.loads(plane.ok("run", "handler", f"text=@{text}"))["said"] == {"text": "grüße"}
    said = json.loads(plane.ok("run", "handler", f"data=@{binary}", "--no-save"))["said"]["data"]
    assert said.startswith("AAECAwQF")


def test_the_whole_input_from_a_file_and_from_standard_input(plane: Up, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"input": {"text": "from a file"}}')
    said = json.loads(plane.ok("run", "handler", "--input", f"@{tmp_path}/in.json", "more=1"))["said"]
    assert said == {"text": "from a file", "more": "1"}
    done = subprocess.run(
        [*COMMAND, "run", "handler", "--input", "-"], cwd=plane.folder, env=environment(), input='{"text": "piped"}',
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["said"] == {"text": "piped"}


def test_ctrl_c_cancels_the_job(plane: Up) -> None:
    run = subprocess.Popen(
        [*COMMAND, "run", "handler", "seconds:=600"], cwd=plane.folder, env=environment(), stderr=subprocess.PIPE
    )
    job = until(
        lambda: next((j["id"] for j in plane.data_of("jobs", "--status", "IN_PROGRESS")["jobs"]), None), "it runs"
    )
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130 and f"Cancelled {job}" in errors.decode()
    assert plane.job(job)["status"] == "CANCELLED"


def test_any_api_of_runpods_form_by_its_url(start: Callable[..., Up]) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    key = up.ok("keys", "create", "me").strip()
    for url in (up.url, f"{up.url}/v2"):
        refused = up.call("run", "handler", "text=x", "--url", url)
        assert refused.returncode == 1 and "API key" in refused.stderr
        done = up.call("run", "handler", "text=x", "--url", url, RUNPOD_API_KEY=key)
        assert done.returncode == 0 and json.loads(done.stdout) == {"said": {"text": "x"}}
    gone = up.call("run", "handler", "--url", "http://127.0.0.1:9", "text=x")
    assert gone.returncode == 1 and "cannot be reached" in gone.stderr and len(gone.stderr.splitlines()) == 1
