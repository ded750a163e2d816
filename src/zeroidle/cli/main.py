"""The command `zeroidle`: finds the command's module, parses, runs, and turns errors into one sentence."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from zeroidle.cli.commands import COMMANDS
from zeroidle.errors import ConfigError, Error

USAGE_STATUS = 2
ERROR_STATUS = 1
INTERRUPTED_STATUS = 130


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence and how to learn more, instead of a page of usage."""

    mixed = True

    def add_subparsers(self, **kwargs: Any) -> Any:
        """As in argparse, which cannot mix options and arguments then."""
        self.mixed = False
        return super().add_subparsers(**kwargs)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Options may stand before, between and after the arguments."""
        return self.parse_intermixed_args(arguments) if self.mixed else self.parse_args(arguments)

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        self.exit(USAGE_STATUS, f"{self.prog}: {message[:1].upper()}{message[1:]}. See: {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; answers the exit status: 0, 1 (it failed), 2 (wrong usage or settings), 130."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except ConfigError as exc:
        return _fail(exc.message, USAGE_STATUS)
    except Error as exc:
        return _fail(exc.message, ERROR_STATUS)
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    except BrokenPipeError:
        # The reader (head, less) has enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        if arguments[:1] == ["help"] and len(arguments) > 1:
            return _dispatch([arguments[1], "--help"])
        print(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        from zeroidle import __version__

        print(f"zeroidle {__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        return _fail(_unknown(name), USAGE_STATUS)
    args = make_parser(name).parse(arguments[1:])
    run: Callable[[argparse.Namespace], int] = args.run
    return run(args)


def make_parser(name: str) -> Parser:
    """The parser of one command; imports its module."""
    command = COMMANDS[name]
    module, _, function = command.target.partition(":")
    parser = Parser(prog=f"zeroidle {name}", description=command.summary, allow_abbrev=False)
    add: Callable[[argparse.ArgumentParser], None] = getattr(importlib.import_module(module), function)
    add(parser)
    return parser


def overview() -> str:
    """What `zeroidle --help` prints."""
    lines = [
        "Usage: zeroidle COMMAND ...",
        "",
        "Any Python handler becomes an API endpoint that sleeps at no cost.",
        "",
    ]
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        lines.append(f"{group}:")
        lines += [f"  {name:<10} {command.summary}" for name, command in COMMANDS.items() if command.group == group]
        lines.append("")
    lines.append("More about one of them: zeroidle COMMAND --help")
    return "\n".join(lines)


def _unknown(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {near[0]}?" if near else "see: zeroidle --help"
    return f"There is no command {name!r}; {hint}"


def _fail(message: str, status: int) -> int:
    print(f"zeroidle: {message}", file=sys.stderr)
    return status
