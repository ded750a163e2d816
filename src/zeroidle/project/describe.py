"""Learns which endpoints a handler file declares, by running it in the interpreter that it needs."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeroidle.errors import ConfigError

#: A file that imports our names may declare endpoints; no other is run.
_IMPORTS = re.compile(rb"^[ \t]*(?:from[ \t]+zeroidle\b|import[ \t]+[^#\n]*\bzeroidle\b)", re.MULTILINE)
_VERSION = 3
_TIMEOUT_S = 300.0
_SHOWN_LINES = 6


@dataclass(frozen=True, slots=True)
class Description:
    """One declared endpoint: its raw settings as written in the decorator, its schemas and its description."""

    name: str
    settings: Mapping[str, Any]
    input_schema: Mapping[str, Any] | None
    output_schema: Mapping[str, Any] | None
    doc: str
    form: str | None
    #: The two schemas that it has when requests are handed over in lists, though the decorator does not say so.
    batched: tuple[Mapping[str, Any], Mapping[str, Any] | None] | None = None
    sources: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Describer:
    """Asks `python` what `handler` declares. `cache` is a folder in which the answers are kept."""

    python: str
    root: Path
    env: Mapping[str, str] = field(repr=False)
    cache: Path | None = None

    def describe(self, handler: Path) -> list[Description]:
        """What the file declares, in its order; empty when it declares nothing. Raises ConfigError when the file
        cannot be imported."""
        try:
            text = handler.read_bytes()
        except OSError as exc:
            raise ConfigError(f"{handler} cannot be read: {exc.strerror}.") from exc
        if not _IMPORTS.search(text):
            return []
        kept = self._kept(handler)
        if kept is None:
            kept = self._run(handler)
            self._keep(handler, kept)
        sources = tuple(Path(name) for name in kept["files"])
        return [
            Description(
                name=one["name"],
                settings=one["settings"],
                input_schema=one["input"] if one.get("typed", True) else None,
                output_schema=one["output"],
                doc=one["doc"] or "",
                form=one["form"],
                batched=one["batched"] and (one["batched"]["input"], one["batched"]["output"]),
                sources=sources,
            )
            for one in kept["endpoints"]
        ]

    def _run(self, handler: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="zeroidle-describe-") as folder:
            out = Path(folder) / "out.json"
            try:
                done = subprocess.run(
                    [self.python, str(_program()), str(handler), str(out)], cwd=self.root, env=dict(self.env),
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_TIMEOUT_S,
                    check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise ConfigError(
                    f"{handler} was not imported within {_TIMEOUT_S:.0f} s; keep slow work out of its top level: load "
                    "models in setup()."
                ) from None
            except OSError as exc:
                raise ConfigError(f"The interpreter {self.python} does not run: {exc.strerror}.") from exc
            try:
                found: dict[str, Any] = json.loads(out.read_text())
            except (OSError, ValueError):
                said = done.stdout.decode("utf-8", "replace").strip().splitlines()[-_SHOWN_LINES:]
                words = "".join(f"\n  | {line}" for line in said)
                raise ConfigError(
                    f"{self.python} ended (exit {done.returncode}) while it read {handler}.{words}"
                ) from None
        if found.get("error"):
            raise ConfigError(_failure(handler, self.python, found))
        return found

    # Answers are kept by what they depend on: the interpreter, the variables and the contents of the user's files.

    def _place(self, handler: Path) -> Path | None:
        if self.cache is None:
            return None
        variables = sorted((name, value) for name, value in self.env.items() if os.environ.get(name) != value)
        key = json.dumps([_VERSION, str(handler), self.python, str(self.root), variables, _stamp(self.python)])
        return self.cache / (hashlib.sha256(key.encode()).hexdigest()[:32] + ".json")

    def _kept(self, handler: Path) -> dict[str, Any] | None:
        path = self._place(handler)
        try:
            kept = json.loads(path.read_text()) if path else None
        except (OSError, ValueError):
            return None
        if kept is None or any(_digest(Path(name)) != digest for name, digest in kept["digests"].items()):
            return None
        found: dict[str, Any] = kept["found"]
        return found

    def _keep(self, handler: Path, found: dict[str, Any]) -> None:
        path = self._place(handler)
        if path is None:
            return
        names = {*found["files"], str(handler), *(str(p) for p in _program().parent.rglob("*.py"))}
        content = json.dumps({"digests": {name: _digest(Path(name)) for name in names}, "found": found})
        with contextlib.suppress(OSError):  # without it, the file is only read again next time
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_text(content)
            part.replace(path)


def _program() -> Path:
    spec = importlib.util.find_spec("zeroidle_worker")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("The package zeroidle_worker is not installed beside zeroidle; install zeroidle again.")
    return Path(spec.submodule_search_locations[0]) / "describe.py"


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _stamp(python: str) -> list[int]:
    """Changes when the interpreter is another one, or its environment was made anew."""
    found = []
    for path in (Path(python), Path(python).parent.parent / "pyvenv.cfg"):
        with contextlib.suppress(OSError):
            status = path.stat()
            found += [status.st_mtime_ns, status.st_size]
    return found


def _failure(handler: Path, python: str, found: Mapping[str, Any]) -> str:
    """One sentence, the last lines of the traceback, and what to do."""
    missing = found.get("missing")
    sentence = f"{handler} cannot be imported by {python}: {str(found['error']).splitlines()[0]}"
    lines = [line for line in str(found.get("traceback", "")).splitlines() if line.strip()][-_SHOWN_LINES:-1]
    words = "".join(f"\n  | {line}" for line in lines)
    if missing:
        words += f"\nAdd it ({python} -m pip install {missing}), or name the interpreter that has it: --python PATH"
    return sentence + words
