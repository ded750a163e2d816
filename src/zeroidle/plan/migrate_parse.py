"""A Dockerfile as a list of instructions, with the lines that each one takes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

_HEREDOC = re.compile(r"<<-?\s*([\"']?)([A-Za-z_][A-Za-z0-9_]*)\1")
_WORD = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?-([^}]*))?\}|([A-Za-z_]\w*))")


@dataclass(slots=True)
class Instruction:
    """One instruction. `text` is its argument with continued lines joined and comments left out; `heredocs` are the
    bodies of its here-documents; lines count from 0, `end` is the one after the last. `variables` are those of ARG
    and ENV that hold here."""

    keyword: str
    text: str
    start: int
    end: int
    heredocs: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str] | None:
        """The argument when it is written as a JSON list."""
        if not self.text.startswith("["):
            return None
        try:
            found = json.loads(self.text)
        except ValueError:
            return None
        return found if isinstance(found, list) and all(isinstance(w, str) for w in found) else None


def parse(text: str) -> list[Instruction]:
    """The instructions in order. Lines that make no sense are passed over: the builder will say so."""
    lines = text.splitlines()
    escape = _escape(lines)
    found: list[Instruction] = []
    variables: dict[str, str] = {}
    at = 0
    while at < len(lines):
        if not lines[at].strip() or lines[at].lstrip().startswith("#"):
            at += 1
            continue
        start = at
        pieces: list[str] = []
        while at < len(lines):
            line = lines[at]
            at += 1
            if pieces and line.lstrip().startswith("#"):
                continue  # comments may stand between continued lines
            stripped = line.rstrip()
            if not stripped.endswith(escape):
                pieces.append(stripped)
                break
            pieces.append(stripped[:-1])
        keyword, _, rest = " ".join(piece.strip() for piece in pieces).strip().partition(" ")
        instruction = Instruction(keyword.upper(), rest.strip(), start, at, variables=dict(variables))
        at = _heredocs(instruction, lines, at)
        found.append(instruction)
        if instruction.keyword in ("ARG", "ENV"):
            variables.update(settings(instruction))
        if instruction.keyword == "FROM":
            variables = {}
    return found


def _escape(lines: list[str]) -> str:
    for line in lines:
        found = re.match(r"#\s*escape\s*=\s*(\S)", line.strip())
        if found:
            return found[1]
        if not line.strip().startswith("#"):
            break
    return "\\"


def _heredocs(instruction: Instruction, lines: list[str], at: int) -> int:
    if instruction.keyword not in ("RUN", "COPY", "ADD"):
        return at
    for _, word in _HEREDOC.findall(instruction.text):
        body = []
        while at < len(lines) and lines[at].strip() != word:
            body.append(lines[at])
            at += 1
        at += 1
        instruction.heredocs.append("\n".join(body))
    instruction.end = min(at, len(lines))
    return at


def settings(instruction: Instruction) -> dict[str, str]:
    """The variables that an ARG or ENV sets, with those before it put in."""
    text = instruction.text
    found: dict[str, str] = {}
    if instruction.keyword == "ENV" and "=" not in text.split(" ", 1)[0]:
        name, _, value = text.partition(" ")
        found[name] = expand(value.strip().strip("\"'"), instruction.variables)
        return found
    for name, double, single, plain in re.findall(r"(\w+)=(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|(\S*))", text):
        found[name] = expand(double or single or plain, instruction.variables | found)
    return found


def expand(text: str, variables: dict[str, str]) -> str:
    """The text with known variables put in; unknown ones stay as they are."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        return variables.get(name, match[2] if match[2] is not None else match[0])

    return _WORD.sub(value, text)
