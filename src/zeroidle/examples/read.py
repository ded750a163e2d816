"""Reads example inputs: tests.json of the project, RunPod's .runpod/tests.json and test_input.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeroidle.errors import ConfigError

#: In each folder they are looked for in this order; the first that is there counts.
FILES = ("tests.json", ".runpod/tests.json", "test_input.json")
DEFAULT_TIMEOUT_S = 600.0
_KEYS = frozenset({"name", "endpoint", "input", "output", "error", "timeout"})


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True, slots=True)
class Example:
    """One input and what is expected of its answer.

    `endpoint` is None where the file names none. `output` (when it is not MISSING) is what the answer must contain:
    an object may have more members, everything else must be equal. `error` is a text that the failure must contain.
    """

    name: str
    endpoint: str | None
    input: Any
    output: Any = MISSING
    error: str | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S


def read(folders: Sequence[Path], endpoint: str | None) -> list[Example]:
    """The examples for one endpoint (all, when it is None) of the first folder that has any.

    Raises ConfigError when a file is damaged; an empty list means that there is none.
    """
    for folder in folders:
        for name in FILES:
            path = folder / name
            if path.is_file():
                found = [e for e in _of_file(path) if endpoint is None or e.endpoint in (None, endpoint)]
                if found:
                    return found
    return []


def _of_file(path: Path) -> list[Example]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path} cannot be read as JSON: {exc}.") from exc
    if path.name == "test_input.json":
        if not isinstance(content, dict) or "input" not in content:
            raise ConfigError(f'{path} has no "input"; RunPod wants {{"input": {{...}}}}.')
        return [Example("test_input.json", None, content["input"])]
    tests = content.get("tests") if isinstance(content, dict) else None
    if not isinstance(tests, list):
        raise ConfigError(f'{path} has no list "tests"; write {{"tests": [{{"name": ..., "input": {{...}}}}]}}.')
    return [_example(path, i, test) for i, test in enumerate(tests)]


def _example(path: Path, index: int, test: Any) -> Example:
    where = f"{path}: tests[{index}]"
    if not isinstance(test, dict) or "input" not in test:
        raise ConfigError(f'{where} has no "input".')
    unknown = sorted(set(test) - _KEYS)
    if unknown:
        raise ConfigError(f"{where} has an unknown key {unknown[0]!r}; there is: {', '.join(sorted(_KEYS))}.")
    timeout_ms = test.get("timeout", DEFAULT_TIMEOUT_S * 1000)
    if not isinstance(timeout_ms, int | float) or timeout_ms <= 0:
        raise ConfigError(f"{where}.timeout is {timeout_ms!r}; it must be a number of milliseconds.")
    for key in ("name", "endpoint", "error"):
        if not isinstance(test.get(key, ""), str):
            raise ConfigError(f"{where}.{key} is {test[key]!r}; it must be a text.")
    return Example(
        name=test.get("name") or f"tests[{index}]",
        endpoint=test.get("endpoint"),
        input=test["input"],
        output=test.get("output", MISSING),
        error=test.get("error"),
        timeout_s=timeout_ms / 1000,
    )
