"""How a setting's value is written: durations, sizes, numbers, ranges, choices, scalers, paths.

Each parser takes the value as TOML, a decorator or a command line gives it, and the folder that relative paths
refer to. It raises ValueError with the rest of a sentence that begins with the setting's name and value.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from zeroidle.endpoint import Scaler

#: Takes a value and the folder of the file that holds it; answers the value in our units.
Parser = Callable[[object, Path], object]

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_KB, _MB, _GB = 1 << 10, 1 << 20, 1 << 30
_UNIT_BYTES = {"": 1, "b": 1, "kb": _KB, "kib": _KB, "mb": _MB, "mib": _MB, "gb": _GB, "gib": _GB}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")

#: How long requests are collected for a batch when nobody says.
DEFAULT_BATCH_WAIT_S = 0.01

DURATION_HINT = "write a time like 500ms, 60s, 5m, 2h, 1d, or a number of seconds"
SIZE_HINT = "write a size like 512KB, 10MB or 1GB, or a number of bytes"


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def seconds(value: object) -> float:
    """Seconds from "500ms", "60s", "1h30m" or a plain number of seconds."""
    plain = _number(value)
    if plain is None and isinstance(value, str):
        text = value.strip().lower().replace(" ", "")
        parts = list(_DURATION_PART.finditer(text))
        if parts and "".join(p.group(0) for p in parts) == text:
            plain = sum(float(p.group(1)) * _UNIT_S[p.group(2)] for p in parts)
    if plain is None or not math.isfinite(plain) or plain < 0:
        raise ValueError(f"is not a duration: {DURATION_HINT}.")
    return plain


def size_bytes(value: object) -> int:
    """Bytes from "10MB" or a plain number; KB, MB and GB are powers of 1024."""
    plain = _number(value)
    if plain is None and isinstance(value, str):
        match = _SIZE.fullmatch(value.strip().lower())
        if match and match.group(2) in _UNIT_BYTES:
            plain = float(match.group(1)) * _UNIT_BYTES[match.group(2)]
    if plain is None or not math.isfinite(plain) or plain < 0 or plain != int(plain):
        raise ValueError(f"is not a size: {SIZE_HINT}.")
    return int(plain)


def whole(value: object) -> int:
    """A whole number."""
    plain = _number(value)
    if plain is None or not math.isfinite(plain) or plain != int(plain):
        raise ValueError("is not a whole number.")
    return int(plain)


def show_seconds(value: float) -> str:
    """A duration as a user writes it: "500ms", "1.5s", "5m", "24h"."""
    if 0 < value < 1:
        return f"{value * 1000:.10g}ms"
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if value >= 2 * size and value % size == 0:
            return f"{value / size:.10g}{unit}"
    return f"{value:.10g}s"


def show_bytes(value: int) -> str:
    """A size as a user writes it: "10MB"."""
    for unit, size in (("GB", _GB), ("MB", _MB), ("KB", _KB)):
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value} bytes"


def duration(low: float, high: float) -> Parser:
    """A parser of durations within [low, high] seconds."""

    def parse(value: object, folder: Path) -> float:
        result = seconds(value)
        if not low <= result <= high:
            raise ValueError(f"is out of range: it must be from {show_seconds(low)} to {show_seconds(high)}.")
        return result

    return parse


def size(low: int, high: int) -> Parser:
    """A parser of sizes within [low, high] bytes."""

    def parse(value: object, folder: Path) -> int:
        result = size_bytes(value)
        if not low <= result <= high:
            raise ValueError(f"is out of range: it must be from {show_bytes(low)} to {show_bytes(high)}.")
        return result

    return parse


def count(low: int, high: int) -> Parser:
    """A parser of whole numbers within [low, high]."""

    def parse(value: object, folder: Path) -> int:
        result = whole(value)
        if not low <= result <= high:
            raise ValueError(f"is out of range: it must be from {low} to {high}.")
        return result

    return parse


def choice(*allowed: str) -> Parser:
    """A parser of one word out of a list."""

    def parse(value: object, folder: Path) -> str:
        if value not in allowed:
            raise ValueError(f"is not one of {', '.join(allowed)}.")
        return str(value)

    return parse


def yes_no(value: object, folder: Path) -> bool:
    """True or false."""
    found = {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, (bool, str)) else None
    if found is None:
        raise ValueError("is neither true nor false.")
    return found


def workers(value: object, folder: Path) -> tuple[int, int]:
    """(min, max) from [0, 3], "0:3", or 3, which is the maximum with a minimum of 0."""
    parts: list[object]
    if isinstance(value, (list, tuple)):
        parts = list(value)
    elif isinstance(value, str) and ":" in value:
        parts = list(value.split(":"))
    else:
        parts = [0, value]
    try:
        low, high = (whole(part) for part in parts)
    except ValueError:
        raise ValueError('is not a range of workers: write [0, 3], "0:3", or 3 for at most 3.') from None
    if not 0 <= low <= high <= 1000:
        raise ValueError("is not a range of workers: it must be 0 <= min <= max <= 1000.")
    return low, high


def scaler(value: object, folder: Path) -> Scaler:
    """The scaling rule from "default", "queue_delay:4s" or "request_count:4"."""
    kind, _, argument = str(value).partition(":")
    try:
        if kind == "default" and not argument:
            return Scaler()
        if kind == "queue_delay":
            return Scaler("queue_delay", seconds(argument or "4s"))
        if kind == "request_count":
            per_worker = whole(argument or "4")
            if per_worker >= 1:
                return Scaler("request_count", float(per_worker))
    except ValueError:
        pass
    raise ValueError("is not a scaling rule: write default, queue_delay:4s or request_count:4.")


def path(value: object, folder: Path) -> Path:
    """An absolute path; a relative one refers to the folder of the file that holds it."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("is not a path.")
    # Not resolved: a symbolic link's own place is what a reader expects to see and what its imports depend on.
    return Path(os.path.abspath(folder / Path(value).expanduser()))


def folder_path(value: object, folder: Path) -> Path:
    """An existing folder."""
    result = path(value, folder)
    if not result.is_dir():
        raise ValueError(f"is not a folder ({result}).")
    return result


def interpreter(value: object, folder: Path) -> str:
    """The absolute path of an interpreter: a path, an environment's folder, or a command found on PATH."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("is not the path of an interpreter.")
    if os.sep not in str(value) and not (folder / str(value)).exists():
        found = shutil.which(str(value))
        if found is None:
            raise ValueError("was not found on PATH; give the path of an interpreter, like .venv/bin/python.")
        return os.path.abspath(found)
    # Never resolved: .venv/bin/python is a link to the base interpreter, which lacks the environment's packages.
    result = path(value, folder)
    if result.is_dir():
        result = result / "bin" / "python"
    if not result.is_file():
        raise ValueError(f"does not exist ({result}); make the environment, or give the path of another interpreter.")
    if not os.access(result, os.X_OK):
        raise ValueError(f"may not be executed ({result}).")
    return str(result)


def text(value: object, folder: Path) -> str:
    """A word or a name."""
    if not isinstance(value, str) or not value:
        raise ValueError("is not a text.")
    return value


def texts(value: object, folder: Path) -> tuple[str, ...]:
    """One text or a list of texts; on a command line with commas between them."""
    if isinstance(value, str):
        value = value.split(",") if value else []
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item.strip() for item in value):
        raise ValueError("is not a text or a list of texts.")
    return tuple(item.strip() for item in value)


def names(value: object, folder: Path) -> tuple[str, ...]:
    """A list of names of variables."""
    found = texts(value, folder)
    for name in found:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"has {name!r}, which cannot be a variable's name: it takes letters, digits and _.")
    return found


def batch(value: object, folder: Path) -> tuple[int, float] | None:
    """(most requests, seconds to collect them) from 8, [8, "50ms"] or "8:50ms"; None for no batches (0)."""
    if isinstance(value, str) and ":" in value:
        value = value.split(":", 1)
    parts = list(value) if isinstance(value, (list, tuple)) else [value, DEFAULT_BATCH_WAIT_S]
    try:
        most, wait_s = (whole(parts[0]), seconds(parts[1])) if len(parts) == 2 else (-1, 0.0)
    except ValueError:
        most, wait_s = -1, 0.0
    if not 0 <= most <= 10_000 or wait_s > 60:
        raise ValueError('is not a batch: write 8 or [8, "50ms"], with at most 10000 requests and 60s.')
    return (most, wait_s) if most else None


def image(value: object, folder: Path) -> object:
    """An image's name or a table about it."""
    if not isinstance(value, (str, Mapping)) or not value:
        raise ValueError("is neither an image's name nor a table.")
    return value
