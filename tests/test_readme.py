"""The README's quickstart: each line is taken from the page and run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.cli.up import Up, environment

ROOT = Path(__file__).parent.parent
QUICKSTART = (ROOT / "README.md").read_text().partition("## Quickstart\n")[2].partition("\n## ")[0]
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", QUICKSTART, re.MULTILINE | re.DOTALL))
#: The commands, without the remarks behind them.
LINES = [line.removeprefix("$ ").partition(" #")[0].strip() for line in BLOCKS["console"].splitlines()]


def shell(line: str, folder: Path, **env: str) -> tuple[str, Path]:
    """Runs a line as a terminal does; its output and the folder in which it ends."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", f"{line}\npwd"], cwd=folder, env=environment(PATH=path) | env, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout}"
    output, _, end = done.stdout.rstrip("\n").rpartition("\n")
    return output, Path(end)


def answer(url: str, body: object = None) -> tuple[int, str]:
    """Status and text of a request; POST when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_each_line_does_what_it_says(tmp_path: Path) -> None:
    install, init, serve, *rest = LINES
    assert (install, serve) == ("pip install .", "zeroidle up")  # the first is tried below
    _, folder = shell(init, tmp_path)
    assert folder != tmp_path
    signature = BLOCKS["python"].partition("    ...")[0]
    assert all(line in (folder / "app.py").read_text() for line in signature.splitlines())
    up = Up(folder)
    try:
        outputs = [shell(line, folder)[0] for line in rest]
        assert outputs and '"word": "to"' in outputs[0].replace("'", '"'), outputs
        base = f"{up.url}/v2/word-count"
        status, text = answer(f"{base}/runsync?wait=60000", {"input": {"text": "a b a", "top": 1}})
        job = json.loads(text)
        assert (status, job["status"], len(job["output"])) == (200, "COMPLETED", 1)
        status, text = answer(f"{base}/run", {"input": {"text": "a", "top": "x"}})
        assert status == 400 and "input.top" in text
        for page in ("/docs", "/openapi.json", "/metrics"):
            assert answer(up.url + page)[0] == 200
        for line in ("ps", "why word-count", f"why {job['id']}", f"timeline {job['id']}", "logs word-count"):
            shell(f"zeroidle {line}", folder)
        up.end()
    finally:
        up.kill()


@pytest.mark.slow
def test_the_install_line_gives_the_command(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    done = subprocess.run(
        [python, "-m", *LINES[0].split()], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != 0 and "Could not find a version" in done.stderr and "CI" not in os.environ:
        pytest.skip("no package registry can be reached")
    assert done.returncode == 0, done.stderr
    made, folder = shell(LINES[1], tmp_path, PATH=f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    assert made and (folder / "app.py").is_file()
    tested, _ = shell("zeroidle test", folder, PATH=f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    assert "word-count" in tested
