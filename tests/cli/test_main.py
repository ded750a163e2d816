"""The command itself: help, unknown words, and what it costs to say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.up import environment, zeroidle
from zeroidle.cli.commands import COMMANDS
from zeroidle.cli.main import make_parser, overview

#: None of them is needed to print a page of help.
HEAVY = {"asyncio", "uvloop", "aiohttp", "msgspec", "jinja2", "http.client", "sqlite3", "ssl", "logging", "subprocess"}


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = "import sys; from zeroidle.cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    page, modules = done.stdout.rstrip().rsplit("\n", 1)
    assert page == overview()
    assert all(f"  {name} " in page for name in COMMANDS)
    assert not HEAVY & set(modules.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        make_parser(name).parse(["--help"])
    assert caught.value.code == 0
    assert COMMANDS[name].summary.split()[0] in capsys.readouterr().out


def test_an_unknown_command_names_the_nearest(tmp_path: Path) -> None:
    done = zeroidle("pss", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "zeroidle: There is no command 'pss'; did you mean ps?\n"


def test_the_version(tmp_path: Path) -> None:
    assert zeroidle("--version", cwd=tmp_path).stdout.startswith("zeroidle 0.")
    assert zeroidle("help", "ps", cwd=tmp_path).stdout.startswith("usage: zeroidle ps")


def test_without_a_plane_it_says_what_to_do(tmp_path: Path) -> None:
    for args in (["ps"], ["why", "x"], ["logs", "x"], ["run", "x"], ["stop"], ["keys", "list"], ["webhooks", "list"]):
        done = zeroidle(*args, cwd=tmp_path)
        assert done.returncode == 1 and "zeroidle up" in done.stderr and len(done.stderr.splitlines()) == 1, args
