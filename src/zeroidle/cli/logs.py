"""`zeroidle logs`: what a worker, a job or an endpoint's workers wrote."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from zeroidle.cli.http import Unreachable
from zeroidle.cli.output import note, style
from zeroidle.cli.plane import add_place, admin

_WAIT_S = 20
_MAX_LINES = 10_000


def add_logs(parser: argparse.ArgumentParser) -> None:
    """The arguments of `logs`."""
    parser.add_argument("ref", metavar="ENDPOINT|WORKER|JOB", help="a name or an id; the beginning of an id will do")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    parser.add_argument("-n", "--lines", type=_lines, default=100, help="how many last lines (default: %(default)s)")
    add_place(parser)
    parser.set_defaults(run=logs)


def logs(args: argparse.Namespace) -> int:
    """Prints the last lines; with --follow until Ctrl-C, or until no more can come."""
    client = admin(args)
    answer = client.get("logs", args.ref, lines=args.lines)
    printer = _Printer()
    after: dict[str, int] = {}
    printer.show(answer, after)
    if not after and not args.follow:
        note("Nothing was written yet: no worker has run this.")
    while _more(answer) or (args.follow and not answer["done"]):
        wait = _WAIT_S if args.follow and not _more(answer) else 0
        position = ",".join(f"{worker}:{offset}" for worker, offset in after.items())
        try:
            answer = client.get("logs", args.ref, lines=args.lines, after=position, wait=wait)
        except Unreachable:
            if args.follow and after:
                note("The plane has ended.")
                return 0
            raise
        printer.show(answer, after)
    return 0


def _more(answer: dict[str, Any]) -> bool:
    """Whether an ended log was too long for one answer."""
    return any(part["more"] for part in answer["parts"])


class _Printer:
    """Writes text to standard output, with the worker's id before each line once there are several."""

    def __init__(self) -> None:
        self._last: str | None = None

    def show(self, answer: dict[str, Any], after: dict[str, int]) -> None:
        """Prints what came and notes how far."""
        for part in answer["parts"]:
            worker = part["worker"]
            if part["text"]:
                if self._last not in (None, worker) or (self._last is None and len(answer["parts"]) > 1):
                    sys.stdout.write(style(f"== {worker}\n", "2"))
                self._last = worker
                sys.stdout.write(part["text"])
            after[worker] = part["next"]
        sys.stdout.flush()


def _lines(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _MAX_LINES):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines up to {_MAX_LINES}")
    return int(text)
