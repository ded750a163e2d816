"""The files of `zeroidle batch`: inputs are read line by line, results written so."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TextIO

from zeroidle.errors import ConfigError

#: What a line may have beside its input, to be a whole request.
_KEYS = ("input", "policy", "webhook", "s3Config")


class Line(NamedTuple):
    """A line of the file, counted from 1: what /run takes, and how long it is."""

    number: int
    request: dict[str, Any]
    size_bytes: int


def read_lines(name: str, given: dict[str, Any]) -> Iterator[Line]:
    """The requests of a file, "-" for standard input. `given` is the policy of all, which a line's own wins over key
    by key. Raises ConfigError, which names the line."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{name} cannot be read: {why}.") from exc
    empty = True
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        empty = False
        try:
            value = json.loads(line, parse_constant=_refuse)
        except ValueError as exc:
            raise ConfigError(f"Line {number} of {name} is not JSON: {exc}.") from exc
        except RecursionError as exc:
            raise ConfigError(f"Line {number} of {name} is nested too deeply.") from exc
        yield Line(number, given | _request(value, given, f"Line {number} of {name}"), len(line.encode()) + 32)
    if empty:
        raise ConfigError(f"{name} has no lines; write one JSON value per line.")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON value")


def _request(value: Any, given: dict[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or "input" not in value:
        return {"input": value}
    more = [key for key in value if key not in _KEYS]
    if more:
        raise ConfigError(
            f"{where} has the key input and also {more[0]}; a whole request has only {', '.join(_KEYS)}, and an input "
            'with a key of that name is written {"input": {"input": ...}}.'
        )
    own = value.get("policy")
    if isinstance(own, dict) and "policy" in given:
        return value | {"policy": given["policy"] | own}
    return value


class Results:
    """Where results go."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.complete = False

    def write_all(self, results: Iterable[dict[str, Any]]) -> int:
        """Writes each as one line; answers how many."""
        written = 0
        for one in results:
            text = json.dumps(one, ensure_ascii=False)
            if not text.isprintable() and _has_surrogates(text):
                text = json.dumps(one)
            self._file.write(text + "\n")
            written += 1
        self._file.flush()
        self.complete = True
        return written


def _has_surrogates(text: str) -> bool:
    """Halves of surrogate pairs, which no UTF-8 can hold, stay escapes."""
    return any("\ud800" <= c <= "\udfff" for c in text)


@contextlib.contextmanager
def writing(name: str | None) -> Iterator[Results]:
    """Opens `name` (None or "-": standard output) before anything is sent. A regular file is replaced when all results
    are there, and left as it is otherwise. Raises ConfigError."""
    if name is None or name == "-":
        yield Results(sys.stdout)
        return
    path = Path(name).resolve()
    regular = path.is_file() or not path.exists()
    place = path.with_name(f"{path.name}.{os.getpid()}.part") if regular else path
    try:
        with place.open("w", encoding="utf-8") as file:
            results = Results(file)
            yield results
        if regular and results.complete:
            place.replace(path)
    except OSError as exc:
        raise ConfigError(f"{name} cannot be written: {exc.strerror}.") from exc
    finally:
        if regular:
            place.unlink(missing_ok=True)
