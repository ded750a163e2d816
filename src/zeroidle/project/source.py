"""Reads zeroidle.toml and knows on which line each key stands, so that errors can say so."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from zeroidle.errors import ConfigError
from zeroidle.project.settings import KEYS

FILE_NAME = "zeroidle.toml"

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the most similar known one, or all of them."""
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(words)}." if words else "."


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A parsed zeroidle.toml: the raw table of each endpoint, and the line of each key."""

    path: Path
    endpoints: dict[str, dict[str, object]]
    lines: dict[tuple[str, ...], int] = field(default_factory=dict, repr=False)

    @property
    def folder(self) -> Path:
        """The folder that relative paths in it refer to."""
        return self.path.parent

    def where(self, *keys: str) -> str:
        """ "zeroidle.toml line 7" for a key, or for the nearest table around it."""
        for n in range(len(keys), 0, -1):
            line = self.lines.get(keys[:n])
            if line is not None:
                return f"{self.path} line {line}"
        return str(self.path)


def read(path: Path) -> ProjectFile:
    """Reads and checks the keys (not the values) of a zeroidle.toml. Raises ConfigError with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path} is not valid TOML: {exc}.") from exc
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.") from exc
    source = ProjectFile(path, {}, _lines(text))
    for key in data:
        if key != "endpoint":
            raise ConfigError(
                f"{source.where(key)}: {key} is not known here; settings stand in tables [endpoint.NAME]."
            )
    tables = data.get("endpoint", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{source.where('endpoint')}: endpoint is not a table; write [endpoint.NAME].")
    for name, table in tables.items():
        _check_keys(source, name, table)
        source.endpoints[name] = table
    return source


def _check_keys(source: ProjectFile, name: str, table: object) -> None:
    if not isinstance(table, dict):
        hint = f" {name} is a setting: it stands in a table [endpoint.NAME]." if name in KEYS else ""
        raise ConfigError(f"{source.where('endpoint', name)}: endpoint.{name} is not a table.{hint}")
    for key in table:
        if key not in KEYS:
            where = source.where("endpoint", name, key)
            raise ConfigError(f"{where}: [endpoint.{name}] has no setting {key}{nearest(key, KEYS)}")


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """The line number of every table header and of every key that begins a line."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    closing: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if closing is not None:  # inside a text of several lines, where nothing is a key
            if closing in line:
                closing = None
            continue
        if header := _HEADER.match(line):
            table = _parts(header.group(1))
            _note(found, table, number)
        elif key := _KEY.match(line):
            _note(found, (*table, *_parts(key.group(1))), number)
            for quote in ('"""', "'''"):
                if line.count(quote) == 1:
                    closing = quote
    return found


def _note(found: dict[tuple[str, ...], int], keys: tuple[str, ...], number: int) -> None:
    for n in range(1, len(keys) + 1):
        found.setdefault(keys[:n], number)


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
