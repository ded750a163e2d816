"""Reads .env files: one NAME=value a line.

- Blank lines and lines that begin with # are skipped; `export ` before a name is allowed.
- 'single quotes' keep everything as it is; "double quotes" know \\n, \\t, \\r, \\", \\\\ and \\$; both may span lines.
- A bare value ends at the line's end or at a # after a blank; blanks around it are dropped.
- ${NAME} and ${NAME:-other} are filled in, except in single quotes, from earlier lines of the file and then from the
  environment given; a name that is nowhere becomes empty, as in a shell.
- Of two lines for one name the last counts. A value is never part of an error message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from zeroidle.errors import ConfigError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=#'\"]+)[ \t]*=[ \t]*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"[^\n]*")
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}
_PIECE = re.compile(r"\\(.)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}", re.DOTALL)


def read(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file. Raises ConfigError that names the file and the line, never the value."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.") from exc
    return parse(text, environ, str(path))


def parse(text: str, environ: Mapping[str, str], source: str = ".env") -> dict[str, str]:
    """The variables of a text; `source` names it in errors."""
    text = text.replace("\r\n", "\n")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        blank = _REST.match(text, at)
        if blank and blank.end() > at:
            at = blank.end()
            continue
        at = _assignment(text, at, environ, found, source)
    return found


def _assignment(text: str, at: int, environ: Mapping[str, str], found: dict[str, str], source: str) -> int:
    """Reads one NAME=value at `at` into `found`; answers where the next line begins."""
    where = f"{source} line {text.count(chr(10), 0, at) + 1}"
    head = _LINE.match(text, at)
    if head is None or not NAME.fullmatch(head.group(1)):
        raise ConfigError(f"{where} is not NAME=value; names have letters, digits and _, and comments begin with #.")
    name, at = head.group(1), head.end()
    opening = text[at : at + 1]
    quoted = _SINGLE.match(text, at) if opening == "'" else _DOUBLE.match(text, at) if opening == '"' else None
    if quoted is not None:
        value = quoted.group(1) if opening == "'" else _fill(quoted.group(1), environ, found, escapes=True)
        rest = _REST.match(text, quoted.end())
        if rest is None:
            raise ConfigError(f"{where}: there is text after the closing quote of {name}.")
        found[name] = value
        return rest.end()
    if opening in ("'", '"') and opening:
        raise ConfigError(f"{where}: the quote that opens the value of {name} is never closed.")
    bare = _BARE.match(text, at)
    line = bare.group(0) if bare else ""
    value = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
    found[name] = _fill(value, environ, found, escapes=False)
    return at + len(line) + 1


def _fill(value: str, environ: Mapping[str, str], found: Mapping[str, str], escapes: bool) -> str:
    def piece(match: re.Match[str]) -> str:
        if match.group(2) is None:
            char = match.group(1)
            return _ESCAPES.get(char, "\\" + char) if escapes else match.group(0)
        name, other = match.group(2), match.group(3) or ""
        return found.get(name) or environ.get(name) or other

    return _PIECE.sub(piece, value)
