"""Writes the reference pages from the tables of commands and settings: `python -m zeroidle.cli.reference docs`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from zeroidle.cli.commands import COMMANDS
from zeroidle.cli.main import make_parser
from zeroidle.cli.reference_api import api_page
from zeroidle.project.settings import ENV_DOC, ENV_FILE_DOC, SETTINGS

MADE = "<!-- Made by `python -m zeroidle.cli.reference docs`; a test compares it. -->"


def commands_page() -> str:
    """docs/cli.md."""
    lines = ["# Commands", "", MADE, "", *_INTRO]
    for name, command in COMMANDS.items():
        lines += ["", f"## zeroidle {name}", "", command.summary, ""]
        lines += _command(make_parser(name))
    return "\n".join(lines).rstrip() + "\n"


_INTRO = [
    "A command that asks something finds its plane by the data folder: `.zeroidle` in the current folder or one above,",
    "`--data DIR`, or the variable `ZEROIDLE_DATA`. `--url URL` (or `ZEROIDLE_URL`) names a plane elsewhere; its API",
    "key is taken from `ZEROIDLE_API_KEY` or `RUNPOD_API_KEY` and never from the command line, where others could read",
    "it.",
    "A job's or worker's id may be shortened to its beginning. `--json` prints JSON for programs.",
    "",
    "Exit status: 0 it went well; 1 it failed, or the job did; 2 wrong usage or wrong settings; 130 Ctrl-C.",
]


def settings_page() -> str:
    """docs/configuration.md."""
    lines = ["# Settings", "", MADE, "", *_SETTINGS_INTRO, ""]
    for setting in SETTINGS:
        flag = f", on the command line `{setting.option}`" if setting.flag else ""
        default = f" Default: `{setting.default}`." if setting.default else ""
        lines += [f"## {setting.name}", "", f"{setting.doc}", ""]
        lines += [
            f"Form: {setting.form}{flag}.{default}",
            "",
            "```toml",
            f"{setting.name} = {setting.example}",
            "```",
            "",
        ]
    lines += ["## env", "", ENV_DOC, "", "```toml", 'env = { MODE = "turbo", TOKEN = "${MY_TOKEN:-none}" }', "```", ""]
    lines += ["## env_file", "", ENV_FILE_DOC, "", "```toml", 'env_file = "production.env"', "```"]
    return "\n".join(lines) + "\n"


_SETTINGS_INTRO = [
    "Every setting can be given in three places; a later one wins:",
    "",
    '1. as an argument of the decorator, `@endpoint(idle="60s")`, in a file that declares its endpoints;',
    "2. in `zeroidle.toml`, in a table `[endpoint.NAME]`;",
    "3. on the command line, for all endpoints (`--idle 60s`) or for one (`--set NAME.idle=60s`).",
    "",
    "An unknown key is an error that names the nearest known one. Durations are written `500ms`, `60s`, `5m`, `2h`,",
    "`1d` or as a number of seconds; sizes `512KB`, `10MB`, `1GB` (powers of 1024) or as a number of bytes. Relative",
    "paths belong to the folder of the file that holds them.",
    "",
    "```toml",
    "# zeroidle.toml",
    "[endpoint.hello]",
    'handler = "handler.py"',
    "workers = [0, 3]",
    'idle = "60s"',
    "```",
]


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The usage and the options of a command, and of those below it."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield from ["```", _usage(parser), "```", "", *_options(parser)]
        return
    for action in below:
        about = {choice.dest: choice.help for choice in action._choices_actions}
        for name, each in action.choices.items():
            if name in about:
                yield from [f"### {each.prog}", "", f"{_sentence(about[name] or '')}", "", *_command(each), ""]


def _usage(parser: argparse.ArgumentParser) -> str:
    words = [parser.prog]
    for action in parser._actions:
        if not action.option_strings:
            name = str(action.metavar or action.dest)
            many = {"*": f"[{name} ...]", "+": f"{name} ...", "?": f"[{name}]"}
            words.append(many.get(str(action.nargs), name))
    return " ".join([*words, "[OPTIONS]"])


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        text = _sentence((action.help or "") % {"default": action.default, "prog": parser.prog})
        if action.option_strings:
            value = "" if action.nargs == 0 else " " + _value(action)
            shown = ", ".join(f"`{name}{value}`" for name in action.option_strings)
        else:
            shown = f"`{action.metavar or action.dest}`"
        yield f"- {shown}: {text}"


def _value(action: argparse.Action) -> str:
    if action.metavar:
        return str(action.metavar)
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def main(folder: Path) -> None:
    """Writes the pages into `folder`."""
    (folder / "cli.md").write_text(commands_page())
    (folder / "configuration.md").write_text(settings_page())
    (folder / "api.md").write_text(api_page(MADE))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
