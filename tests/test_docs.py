"""The documentation: what it shows is run, and what there is stands in it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.up import COMMAND, environment, until
from zeroidle.cli.commands import COMMANDS
from zeroidle.cli.main import make_parser
from zeroidle.cli.reference import MADE, commands_page, settings_page
from zeroidle.cli.reference_api import api_page
from zeroidle.project import load
from zeroidle.project.settings import KEYS, SETTINGS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
#: Pages whose commands are run from top to bottom in one folder.
RUN = ("guide.md",)

_FENCE = re.compile(r"^```(\w+)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, the file that it is, its text."""

    language: str
    file: str | None
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for language, info, text in _FENCE.findall(page.read_text()):
        yield Block(language, info.removeprefix("file=") if info.startswith("file=") else None, text)


class Shell:
    """Runs the commands of a page as a reader would in two terminals; `zeroidle up` gets the first one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.up: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.env = environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

    def run(self, command: str, expected: list[str]) -> None:
        """One command and the lines that its output must hold."""
        if command.startswith("zeroidle up"):
            return self.begin(command.split()[1:])
        done = subprocess.run(
            ["bash", "-c", command.replace("http://127.0.0.1:8000", self.url)], cwd=self.folder, env=self.env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        for line in expected:
            assert line in done.stdout, f"{command}\nmust say {line!r}, but said:\n{done.stdout}"
        return None

    def begin(self, args: list[str]) -> None:
        """Starts a plane in the place of the one before."""
        self.end()
        out = self.folder / "up.out"
        with out.open("wb") as file:
            self.up = subprocess.Popen(
                [*COMMAND, *args, "--port", "0"], cwd=self.folder, env=self.env, stdout=file, stderr=subprocess.STDOUT
            )
        text = until(lambda: out.read_text() if "Ctrl-C stops it" in out.read_text() else "", f"{args} answers")
        self.url = re.search(r"http://127\.0\.0\.1:\d+", text).group(0)  # type: ignore[union-attr]  # it was waited for

    def end(self) -> None:
        """Ctrl-C."""
        if self.up is not None and self.up.poll() is None:
            self.up.send_signal(signal.SIGINT)
            assert self.up.wait(60) == 0
        self.up = None


@pytest.mark.parametrize("name", RUN)
def test_what_a_page_shows_is_true(name: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    ran = 0
    try:
        for block in blocks(DOCS / name):
            if block.file is not None:
                (tmp_path / block.file).write_text(block.text)
            elif block.language == "console":
                for piece in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                    command, *expected = piece.rstrip("\n").split("\n")
                    shell.run(command, expected)
                    ran += 1
        shell.end()
    finally:
        if shell.up is not None:
            with contextlib.suppress(ProcessLookupError):
                shell.up.kill()
    assert ran > 10


def test_every_command_that_a_message_names_exists() -> None:
    known = set(re.findall(r"^#+ zeroidle (.+)$", commands_page(), re.MULTILINE))
    below = {name.split()[0] for name in known if " " in name}
    wrong = []
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        for verb, word in re.findall(r"\bzeroidle ([a-z]+) ([a-z]+)\b(?![-.:=/])", path.read_text()):
            if verb in below and f"{verb} {word}" not in known:
                wrong.append(f"{path.name}: zeroidle {verb} {word}")
    assert not wrong


def test_the_reference_is_the_one_that_the_tables_give() -> None:
    how = "run: python -m zeroidle.cli.reference docs"
    assert (DOCS / "cli.md").read_text() == commands_page(), how
    assert (DOCS / "configuration.md").read_text() == settings_page(), how
    assert (DOCS / "api.md").read_text() == api_page(MADE), how


def test_every_command_option_and_setting_is_documented() -> None:
    commands, settings = (DOCS / "cli.md").read_text(), (DOCS / "configuration.md").read_text()
    for name in COMMANDS:
        assert f"\n## zeroidle {name}\n" in commands
        for action in make_parser(name)._actions:
            assert all(f"`{option}" in commands for option in action.option_strings if action.dest != "help")
    assert all(f"\n## {key}\n" in settings for key in KEYS)


def test_the_examples_of_the_settings_are_valid(tmp_path: Path) -> None:
    (tmp_path / "handler.py").touch()
    (tmp_path / "production.env").touch()
    for setting in SETTINGS:
        value = tomllib.loads(f"x = {setting.example}")["x"]
        if setting.name not in ("handler", "python"):
            setting.read(value, tmp_path)
    for block in blocks(DOCS / "configuration.md"):
        if block.language == "toml" and "[endpoint." in block.text:
            (tmp_path / "zeroidle.toml").write_text(block.text)
            assert load([], None, tmp_path, {})


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"
