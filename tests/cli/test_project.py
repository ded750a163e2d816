"""A project from its first line on: init, up --reload, test, bench."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.up import DECLARED, HANDLER, TIMEOUT_S, Up, environment, until, zeroidle

Start = Callable[..., Up]


def test_a_new_project_passes_its_own_tests(tmp_path: Path) -> None:
    made = zeroidle("init", "word-count", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "word-count"
    assert {p.name for p in folder.iterdir()} == {
        "app.py", "zeroidle.toml", "tests.json", "test_app.py", "AGENTS.md", ".gitignore",
    }  # fmt: skip
    tested = zeroidle("test", "--json", cwd=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    verdicts = json.loads(tested.stdout)
    assert [(v["endpoint"], v["status"], v["problem"]) for v in verdicts] == [
        ("word-count", "COMPLETED", None),
        ("word-count", "REFUSED", None),
    ]
    own = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder, capture_output=True, text=True,
        timeout=TIMEOUT_S, env=environment(), check=False,
    )  # fmt: skip
    assert own.returncode == 0, own.stdout
    assert "zeroidle up --reload" in (folder / "AGENTS.md").read_text()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "app.py").write_text("precious")
    done = zeroidle("init", "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "is there already and is left as it is" in done.stderr
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["app.py"]
    assert (tmp_path / "mine" / "app.py").read_text() == "precious"


def test_init_from_a_recipe_copies_what_it_imports(tmp_path: Path) -> None:
    done = zeroidle("init", "voice", "--from", "ipa-generation", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["endpoints"] == ["ipa-generation"]
    assert {"ipa_generation/app.py", "speech/__init__.py", "zeroidle.toml"} <= set(made["files"])
    both = json.loads(zeroidle("init", "both", "--from", "speech", "--json", cwd=tmp_path).stdout)
    assert both["endpoints"] == ["pronunciation-assessment", "ipa-generation", "pronunciation-assessment-live"]
    assert 'handler = "pronunciation_assessment/app.py"' in (tmp_path / "both" / "zeroidle.toml").read_text()
    assert zeroidle("init", "x", "--from", "nothing", cwd=tmp_path).stderr.startswith("zeroidle: There is no recipe")


def test_wrong_answers_are_named_and_fail_the_command(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    tests = [
        {"name": "right", "input": {"text": "a"}, "output": {"said": {"text": "a"}}},
        {"name": "wrong", "input": {"text": "a"}, "output": {"said": {"text": "b"}}},
        {"name": "fails", "input": {"fail": "this"}},
        {"name": "fails as it should", "input": {"fail": "that"}, "error": "cannot do that"},
        {"name": "too slow", "input": {"seconds": 600}, "timeout": 500},
    ]
    (tmp_path / ".runpod").mkdir()
    (tmp_path / ".runpod" / "tests.json").write_text(json.dumps({"tests": tests}))
    (tmp_path / "zeroidle.toml").write_text('[endpoint.echo]\nhandler = "handler.py"\n')
    done = zeroidle("test", "echo", "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    problems = {v["example"]: v["problem"] for v in json.loads(done.stdout)}
    assert problems["right"] is None and problems["fails as it should"] is None
    assert problems["wrong"] == "output.said.text is a; expected b."
    assert "cannot do this" in problems["fails"]
    assert "did not end within 0.5 s" in problems["too slow"]


def test_a_url_is_tested_with_the_examples_of_the_project(start: Start) -> None:
    up = start("echo=handler.py", files={"handler.py": HANDLER, "test_input.json": '{"input": {"text": "x"}}'})
    done = up.call("test", f"{up.url}/v2/echo", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)[0]["example"] == "test_input.json"
    assert "cannot be reached" in up.call("test", "http://127.0.0.1:9/v2/echo").stdout
    up.end()


def test_output_that_does_not_fit_the_schema_is_named(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from zeroidle import endpoint\n@endpoint\ndef size(n: int) -> dict[str, int]:\n    return {'size': 'big'}\n"
    )
    (tmp_path / "tests.json").write_text('{"tests": [{"name": "one", "input": {"n": 1}}]}')
    (tmp_path / "zeroidle.toml").write_text('[endpoint.size]\nhandler = "app.py"\n')
    done = zeroidle("test", cwd=tmp_path)
    assert done.returncode == 1
    assert "output.size does not fit the schema" in done.stdout


CHANGING = "import runpod\nrunpod.serverless.start({'handler': lambda job: %r})\n"


def test_reload_takes_over_code_settings_and_new_endpoints(start: Start) -> None:
    toml = '[endpoint.one]\nhandler = "one.py"\nidle = "60s"\n'
    up = start("--reload", files={"one.py": CHANGING % "old", "zeroidle.toml": toml})
    assert up.ok("run", "one").strip() == "old"
    (up.folder / "one.py").write_text(CHANGING % "new")
    until(lambda: "one.py changed; reloaded one" in up.errors.read_text(), "the change is seen")
    assert up.ok("run", "one").strip() == "new"
    (up.folder / "two.py").write_text(CHANGING % "second")
    (up.folder / "zeroidle.toml").write_text(toml + '[endpoint.two]\nhandler = "two.py"\n')
    until(lambda: up.call("run", "two").stdout.strip() == "second", "the new endpoint answers")
    (up.folder / "zeroidle.toml").write_text('[endpoint.two]\nhandler = "two.py"\n')
    until(lambda: "no endpoint" in up.call("run", "one").stderr, "the removed endpoint is gone")
    up.end()


def test_what_the_plane_itself_writes_is_no_change(start: Start, tmp_path: Path) -> None:
    up = start("--reload", "--data", "shown", "--idle", "60s", "one.py", files={"one.py": CHANGING % "old"})
    assert "old" in up.ok("run", "one", "--data", "shown")
    (tmp_path / "two.py").write_text("'a real change, which is seen after what was written before'")
    until(lambda: "two.py changed" in up.errors.read_text(), "the change is seen")
    assert "shown" not in up.errors.read_text()


WRITING = """
import os, pathlib, runpod

def handler(job):
    for name in ("state.json", "log.txt", "results/%s.json" % job["id"], "results/%s.yaml" % job["id"]):
        pathlib.Path(name).parent.mkdir(exist_ok=True)
        pathlib.Path(name).write_text(job["id"])
    return "old %d" % os.getpid()

pathlib.Path("state.json").write_text("begun %d" % os.getpid())
runpod.serverless.start({"handler": handler})
"""


def test_what_a_handler_writes_is_no_change(start: Start) -> None:
    up = start("--reload", "--idle", "60s", "one.py", files={"one.py": WRITING, "state.json": "{}", "log.txt": "-"})
    first = up.ok("run", "one")
    assert [up.ok("run", "one") for _ in range(3)] == [first] * 3  # all by one worker
    (up.folder / "one.py").write_text(WRITING.replace("old", "new"))
    until(lambda: "one.py changed; reloaded one" in up.errors.read_text(), "what came after it is seen")
    assert up.ok("run", "one").startswith("new")
    assert up.errors.read_text().count(" changed; ") == 1
    up.end()


def test_reload_keeps_waiting_jobs_and_lets_the_running_one_end(start: Start) -> None:
    up = start("--reload", "--max-workers", "1", "echo=handler.py", files={"handler.py": HANDLER})
    running = up.ok("run", "echo", "seconds:=1.5", "--detach").strip()
    up.until_status(running, "IN_PROGRESS")
    waiting = up.ok("run", "echo", "text=later", "--detach").strip()
    (up.folder / "handler.py").write_text(HANDLER.replace('"said"', '"told"'))
    up.until_status(running, "COMPLETED")
    up.until_status(waiting, "COMPLETED")
    assert up.data_of("run", "echo", "text=now")["output"] == {"told": {"text": "now"}}
    up.end()


def test_a_change_that_does_not_load_is_said_and_the_old_goes_on(start: Start) -> None:
    up = start("--reload", files={"app.py": DECLARED, "zeroidle.toml": '[endpoint.size]\nhandler = "app.py"\n'})
    (up.folder / "zeroidle.toml").write_text('[endpoint.size]\nhandler = "app.py"\nworkesr = 1\n')
    until(lambda: "The endpoints go on as they were" in up.errors.read_text(), "it is said")
    assert "workers" in up.errors.read_text()  # the nearest known key
    assert up.call("run", "size", "data=@zeroidle.toml").returncode == 0
    up.end()


def test_bench_cold_measures_every_phase(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    png = tmp_path / "cold.png"
    done = zeroidle(
        "bench", "cold", "handler.py", "-n", "3", "--input", '{"text": "x"}', "--imports", "--json", "--png", str(png),
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["total_s"]) == 3 == found["forked"]
    assert {"queued", "boot", "import", "run"} <= set(found["phases_s"])
    assert any("runpod" in line for line in found["imports"])
    assert png.read_bytes().startswith(b"\x89PNG")


def test_bench_cold_fails_above_the_limit(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    arguments = ("bench", "cold", "handler.py", "-n", "1", "--spawn", "--input", '{"seconds": 0.3}', "--max")
    slow = zeroidle(*arguments, "100ms", cwd=tmp_path)
    assert slow.returncode == 1
    assert "--max is" in slow.stderr
    assert "0 of 1 workers were forked" in slow.stdout
    assert zeroidle(*arguments, "1m", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("how", [("-c", "4"), ("--rate", "50")])
def test_bench_load_checks_the_answers(start: Start, how: tuple[str, str]) -> None:
    tests = [{"name": "a", "input": {"text": "a"}, "output": {"said": {"text": "a"}}}]
    files = {"handler.py": HANDLER, "tests.json": json.dumps({"tests": tests})}
    up = start("echo=handler.py", files=files)
    found = json.loads(up.ok("bench", "load", "echo", *how, "-n", "40", "--json"))
    assert found["n"] == 40 and found["errors"] == {} and found["p50_s"] > 0
    tests[0]["output"] = {"said": {"text": "b"}}
    (up.folder / "tests.json").write_text(json.dumps({"tests": tests}))
    wrong = up.call("bench", "load", "echo", *how, "-n", "8", "--json")
    assert wrong.returncode == 1
    assert json.loads(wrong.stdout)["errors"] == {"output.said.text is a; expected b.": 8}
    up.end()
