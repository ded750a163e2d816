"""How the commands print: tables, JSON, emphasis."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

from zeroidle.insight.spans import span

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option --json."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def print_json(value: Any) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def note(text: str) -> None:
    """A line for the person, beside the output: on standard error."""
    print(text, file=sys.stderr, flush=True)


def style(text: str, code: str, stream: Any = None) -> str:
    """`text` in bold ("1"), dim ("2"), red ("31") ... when a terminal shows it."""
    stream = stream or sys.stdout
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def clean(text: str) -> str:
    """Text from elsewhere without the control characters that would steer a terminal."""
    return _CONTROL.sub("", text)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need to be; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(head), *cells]) for i in range(len(head))]
    right = [
        bool(rows) and all(isinstance(row[i], (int, float)) or row[i] is None for row in rows) for i in range(len(head))
    ]
    lines = [style(_line(list(head), widths, right), "1")]
    return "\n".join([*lines, *(_line(line, widths, right) for line in cells)])


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    return "  ".join(
        cell.rjust(width) if r else cell.ljust(width) for cell, width, r in zip(cells, widths, right, strict=True)
    ).rstrip()


def _cell(value: object) -> str:
    return "-" if value is None else clean(str(value))


def ago(at: float | None) -> str | None:
    """ "12.3 s ago"."""
    return None if at is None else f"{span(time.time() - at)} ago"


def size(n: int | None) -> str | None:
    """ "34 MiB"."""
    if n is None:
        return None
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n >= factor:
            return f"{n / factor:.1f} {unit}" if n < 10 * factor else f"{n // factor} {unit}"
    return f"{n} B"
