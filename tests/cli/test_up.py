"""`zeroidle up`: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.up import COMMAND, DECLARED, HANDLER, TIMEOUT_S, Up, environment, until, zeroidle

Start = Callable[..., Up]


@pytest.mark.skipif(shutil.which("curl") is None and not os.environ.get("CI"), reason="curl is not installed")
def test_each_endpoint_has_a_curl_line_that_works(start: Start) -> None:
    files = {"handler.py": HANDLER, "app.py": DECLARED, "test_input.json": '{"input": {"text": "from the file"}}'}
    up = start("echo=handler.py", "app.py:speak", files=files)
    assert [e["name"] for e in up.told["endpoints"]] == ["echo", "speak"]
    answers = []
    for endpoint in up.told["endpoints"]:
        done = subprocess.run(["sh", "-c", endpoint["curl"]], capture_output=True, text=True, timeout=30, check=True)
        answers.append(json.loads(done.stdout))
    assert [answer["status"] for answer in answers] == ["COMPLETED", "COMPLETED"]
    assert answers[0]["output"] == {"said": {"text": "from the file"}}
    up.end()


def test_the_curl_line_follows_the_schema(start: Start) -> None:
    up = start("app.py", files={"app.py": DECLARED})
    assert '{"input": {"text": "hello"}}' in up.told["endpoints"][0]["curl"]


def test_ctrl_c_lets_the_running_job_end(start: Start) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    job = up.ok("run", "handler", "seconds:=1.5", "--detach").strip()
    up.until_status(job, "IN_PROGRESS")
    up.end()
    again = start("handler.py")
    assert again.job(job)["status"] == "COMPLETED"


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_at_once_and_the_job_runs_again(start: Start, first: int) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    job = up.ok("run", "handler", "seconds:=600", "--detach").strip()
    up.until_status(job, "IN_PROGRESS")
    up.signal(first)
    until(lambda: "Waiting up to 10 s for 1 job" in up.errors.read_text(), "it says what it waits for")
    later = time.monotonic() + 0.2  # what comes right after the first one is the same wish
    until(lambda: time.monotonic() > later, "the second wish is another one")
    up.signal(signal.SIGINT)
    assert up.wait(15) == 130
    until(lambda: not up.left(), "no process is left")
    again = start("handler.py")
    row = until(lambda: again.job(job) if again.job(job)["status"] == "IN_PROGRESS" else None, "it runs again")
    assert row["losses"] == 0  # nobody's fault: it has all its retries


def test_a_signal_that_comes_twice_at_once_is_one_wish(start: Start) -> None:
    """As from `timeout` and `uv run`, which hand on what the process group has had as well."""
    up = start("handler.py", files={"handler.py": HANDLER})
    job = up.ok("run", "handler", "seconds:=1.5", "--detach").strip()
    up.until_status(job, "IN_PROGRESS")
    up.signal(signal.SIGINT)
    up.signal(signal.SIGTERM)
    assert up.wait() == 0, up.errors.read_text()
    assert "plane.signal name=" in up.errors.read_text()
    assert start("handler.py").job(job)["status"] == "COMPLETED"


def test_a_terminal_that_closes_ends_it_in_order(start: Start) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    up.ok("run", "handler", "text=x")
    up.signal(signal.SIGHUP)
    assert up.wait() == 0 and "name=SIGHUP" in up.errors.read_text()
    until(lambda: not up.left(), "no process is left")


def test_stop_ends_it_as_ctrl_c_does(start: Start) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    up.ok("run", "handler", "text=x")
    assert "Stopped" in up.ok("stop")
    assert up.wait() == 0
    until(lambda: not up.left(), "no process is left")
    done = up.call("ps")
    assert done.returncode == 1 and "No plane runs" in done.stderr


def test_stop_now_does_not_wait_for_the_job(start: Start) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    job = up.ok("run", "handler", "seconds:=600", "--detach").strip()
    up.until_status(job, "IN_PROGRESS")
    up.ok("stop", "--now")
    assert up.wait(15) == 130
    until(lambda: not up.left(), "no process is left")


def test_no_worker_outlives_a_killed_plane(start: Start) -> None:
    up = start("handler.py", "--min-workers", "2", files={"handler.py": HANDLER})
    until(lambda: [w["state"] for w in up.data_of("ps")["endpoints"][0]["workers"]] == ["ready"] * 2, "2 are ready")
    assert len(up.left()) >= 2
    up.kill()
    until(lambda: not up.left(), "no process is left")
    done = up.call("ps")
    assert done.returncode == 1 and "not running any more" in done.stderr


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = zeroidle("up", "handler.py", "--port", str(port), cwd=tmp_path)
    assert done.returncode == 2
    assert str(port) in done.stderr and "--port" in done.stderr and len(done.stderr.splitlines()) == 1


def test_two_planes_cannot_share_a_folder(start: Start) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    done = up.call("up", "handler.py", "--port", "0")
    assert done.returncode == 1 and ".zeroidle" in done.stderr and len(done.stderr.splitlines()) == 1
    assert up.call("ps").returncode == 0


@pytest.mark.parametrize("folder", ["a-file", "a-file/below", "/proc/nowhere"])
def test_a_data_folder_that_cannot_be_is_one_sentence(tmp_path: Path, folder: str) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    (tmp_path / "a-file").touch()
    done = zeroidle("up", "handler.py", "--port", "0", "--data", folder, cwd=tmp_path)
    assert done.returncode == 1 and folder in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_data_folder_with_a_long_path_leaves_nothing_outside_of_it(start: Start, tmp_path: Path) -> None:
    """Its socket lies in a folder for temporary files, which is used again after a kill and removed at the end."""
    data, scratch = tmp_path / ("d" * 60) / ("e" * 60), tmp_path / "t"
    scratch.mkdir()
    for end in ("kill", "stop"):
        up = start("handler.py", "--data", str(data), files={"handler.py": HANDLER}, TMPDIR=str(scratch))
        assert up.ok("run", "handler", "text=x", "--data", str(data))
        assert len(list(scratch.glob("zeroidle-*/worker.sock"))) == 1
        if end == "kill":
            up.kill()
    up.ok("stop", "--data", str(data))
    assert up.process.wait(TIMEOUT_S) == 0
    assert not list(scratch.glob("zeroidle-*"))


def test_a_socket_folder_of_somebody_else_is_not_used(start: Start, tmp_path: Path) -> None:
    data, scratch = tmp_path / ("d" * 60) / ("e" * 60), tmp_path / "t"
    scratch.mkdir()
    start("handler.py", "--data", str(data), files={"handler.py": HANDLER}, TMPDIR=str(scratch)).kill()
    next(scratch.glob("zeroidle-*")).chmod(0o777)
    done = zeroidle("up", "handler.py", "--port", "0", "--data", str(data), cwd=tmp_path, TMPDIR=str(scratch))
    assert done.returncode == 2 and "that only this user may enter" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nothing.py"], "There is no file or folder nothing.py"),
        (["handler.py", "--idle", "soon"], "--idle = 'soon' is not a duration"),
        (["handler.py", "--min-workers", "5"], "makes the range of workers 5:3"),
        (["handler.py", "--rate-limits", "aws"], "--rate-limits = 'aws' is not one of none, runpod."),
        (["handler.py", "--python", "/no/python"], "does not exist"),
        (["handler.py", "--port", "70000"], "is not a port"),
        (["handler.py", "--set", "handlr.idle=5s"], "did you mean handler?"),
        (["handler.py", "--env", "NOT_SET_ANYWHERE"], "there is no such variable"),
        (["handler.py", "--sclaer", "default"], "Unrecognized arguments"),
    ],
)
def test_wrong_settings_end_in_one_sentence(tmp_path: Path, args: list[str], words: str) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    done = zeroidle("up", *args, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_missing_module_is_said_at_once_and_the_job_is_kept(start: Start) -> None:
    up = start("handler.py", files={"handler.py": "import nowhere_to_be_found\n"})
    job = up.ok("run", "handler", "text=x", "--detach").strip()
    until(lambda: "has no module nowhere_to_be_found" in up.errors.read_text(), "up says it")
    verdict = up.data_of("why", job)["verdict"]
    assert verdict["code"] == "missing-module" and "-m pip install nowhere_to_be_found" in verdict["advice"]
    assert "nowhere_to_be_found" in up.ok("logs", "handler")
    assert up.data_of("why", "handler")["verdict"]["code"] == "missing-module"
    assert up.job(job)["status"] == "IN_QUEUE"
    up.end()


def test_another_address_makes_a_key_and_needs_it(start: Start) -> None:
    up = start("handler.py", "--host", "0.0.0.0", files={"handler.py": HANDLER})
    key = up.told["key"]
    assert key in up.told["endpoints"][0]["curl"]
    elsewhere = ("--url", up.url)
    assert up.call("run", "handler", "text=x", *elsewhere).returncode == 1
    assert "said" in up.ok("run", "handler", "text=x", *elsewhere, ZEROIDLE_API_KEY=key)
    assert "said" in up.ok("run", "handler", "text=x")  # on this machine, by the plane's own file
    assert key not in up.errors.read_text()


def test_variables_reach_the_handler_and_nothing_else_does(start: Start) -> None:
    code = HANDLER.replace('return {"said": given}', "import os; return dict(os.environ)")
    files = {"handler.py": code, ".env": "FROM_FILE=yes\nMODE=slow\n"}
    given = ("--env", "MODE=turbo", "--env", "PASSED", "--set", "handler.env.ONE=1")
    up = start("handler.py", *given, files=files, PASSED="on", MY_TOKEN="secret")
    got = json.loads(up.ok("run", "handler"))
    assert {name: got.get(name) for name in ("MODE", "PASSED", "ONE", "FROM_FILE")} == {
        "MODE": "turbo", "PASSED": "on", "ONE": "1", "FROM_FILE": "yes",
    }  # fmt: skip
    assert "MY_TOKEN" not in got and "ZEROIDLE_WORKER_TOKEN" not in got


def test_the_banner_is_for_people(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    out = tmp_path / "out"
    with out.open("wb") as file, (tmp_path / "err").open("wb") as err:
        up = subprocess.Popen(
            [*COMMAND, "up", "handler.py", "--port", "0"], cwd=tmp_path, env=environment(), stdout=file, stderr=err
        )
    try:
        text = until(lambda: out.read_text() if "Ctrl-C stops it" in out.read_text() else "", "the banner")
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(30) == 0
    assert text.count("curl -s http://127.0.0.1:") == 1 and "\x1b" not in text


def test_a_variable_that_nothing_reads_is_named(start: Start) -> None:
    up = start("handler.py", "--env", "MFA_ROOT_DIRECTORY=/volume/mfa", files={"handler.py": HANDLER})
    until(lambda: "MFA_ROOT_DIR" in up.errors.read_text(), "it is said")
    assert up.errors.read_text().startswith("handler: MFA_ROOT_DIRECTORY")
    up.end()
