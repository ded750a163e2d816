"""The simple kinds of JSON values and the limits that may be put on them."""

from __future__ import annotations

import binascii
import re
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from zeroidle_worker.api.errors import InputError

Schema = Dict[str, Any]
#: Takes a JSON value and its path (for errors); answers the Python value or raises InputError.
Load = Callable[[Any, str], Any]


class Kind(NamedTuple):
    """One type: what it looks like in JSON, and how to load it."""

    schema: Schema
    load: Load


class UnsupportedType(TypeError):
    """A type hint that has no JSON form."""


def shown(value: Any, limit: int = 60) -> str:
    """A value in an error sentence, cut short."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def at(path: str, key: Any) -> str:
    """The path of a member: `clips[2]`, `voice.pitch`."""
    if isinstance(key, int):
        return "%s[%d]" % (path, key)
    return "%s.%s" % (path, key) if path else str(key)


def null(value: Any, path: str) -> None:
    if value is not None:
        raise InputError(path, "is %s; it must be null." % shown(value))


def _boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(path, "is %s; it must be true or false." % shown(value))
    return value


def _integer(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (isinstance(value, float) and value % 1 != 0):
        raise InputError(path, "is %s; it must be a whole number." % shown(value))
    return int(value)


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(path, "is %s; it must be a number." % shown(value))
    return float(value)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise InputError(path, "is %s; it must be text." % shown(value))
    return value


def _parsed(what: str, parse: Callable[[str], Any]) -> Load:
    def load(value: Any, path: str) -> Any:
        try:
            return parse(_text(value, path))
        except InputError:
            raise
        except (ValueError, ArithmeticError) as exc:
            raise InputError(path, "is %s; it must be %s." % (shown(value), what)) from exc

    return load


def decode_base64(text: str) -> bytes:
    """The bytes of base64 text. Raises ValueError for anything that is not in its alphabet, complete and padded."""
    if len(text) % 4 or not _BASE64.fullmatch(text):
        raise ValueError("is not base64 text")
    return binascii.a2b_base64(text)


_BASE64 = re.compile("[A-Za-z0-9+/]*={0,2}")


def _datetime(cls: Any) -> Callable[[str], Any]:
    return lambda text: cls.fromisoformat(re.sub("[zZ]$", "+00:00", text))


def choice(values: List[Any], members: List[Any]) -> Kind:
    def load(value: Any, path: str) -> Any:
        for known, member in zip(values, members):
            if known == value and isinstance(known, bool) == isinstance(value, bool):
                return member
        raise InputError(path, "is %s; it must be one of %s." % (shown(value), ", ".join(map(repr, values))))

    return Kind({"enum": values}, load)


SIMPLE: Dict[Any, Kind] = {
    str: Kind({"type": "string"}, _text),
    int: Kind({"type": "integer"}, _integer),
    float: Kind({"type": "number"}, _number),
    bool: Kind({"type": "boolean"}, _boolean),
    bytes: Kind(
        {"type": "string", "contentEncoding": "base64"},
        _parsed("base64 text", decode_base64),
    ),
}

#: Simple types of modules that a worker does not import: module, name, schema, what it is in words, and what makes
#: the function from text out of the class.
_LIBRARY: "Tuple[Tuple[str, str, Schema, str, Callable[[Any], Callable[[str], Any]]], ...]" = (
    ("datetime", "datetime", {"type": "string", "format": "date-time"}, "a time as in 2026-01-31T12:00:00Z", _datetime),
    ("datetime", "date", {"type": "string", "format": "date"}, "a date", lambda cls: cls.fromisoformat),
    ("uuid", "UUID", {"type": "string", "format": "uuid"}, "a UUID", lambda cls: cls),
    ("decimal", "Decimal", {"type": "string"}, "a decimal number as text", lambda cls: cls),
    ("pathlib", "Path", {"type": "string"}, "a path", lambda cls: cls),
)


def simple(hint: Any) -> Optional[Kind]:
    """The kind of a simple type, None for any other hint."""
    try:
        found = SIMPLE.get(hint)
    except TypeError:  # not hashable
        return None
    if found is None and isinstance(hint, type):
        for module, name, schema, words, parser in _LIBRARY:
            # Who names the class has imported its module.
            if hint is getattr(sys.modules.get(module), name, None):
                found = SIMPLE[hint] = Kind(schema, _parsed(words, parser(hint)))
                break
    return found


#: Attributes of annotated_types, pydantic.Field and zeroidle.Limits, and their JSON Schema keywords.
KEYWORDS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf", "min_length": "minLength", "max_length": "maxLength", "pattern": "pattern",
    "description": "description", "title": "title",
}  # fmt: skip


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, dict)) else 0


CHECKS: "Dict[str, Tuple[str, Callable[[Any, Any], bool]]]" = {
    "minimum": ("be at least %s", lambda v, n: not isinstance(v, (int, float)) or v >= n),
    "exclusiveMinimum": ("be more than %s", lambda v, n: not isinstance(v, (int, float)) or v > n),
    "maximum": ("be at most %s", lambda v, n: not isinstance(v, (int, float)) or v <= n),
    "exclusiveMaximum": ("be less than %s", lambda v, n: not isinstance(v, (int, float)) or v < n),
    "multipleOf": ("be a multiple of %s", lambda v, n: not isinstance(v, (int, float)) or v % n == 0),
    "minLength": ("be at least %s long", lambda v, n: _length(v) >= n),
    "maxLength": ("be at most %s long", lambda v, n: _length(v) <= n),
    "minItems": ("have at least %s members", lambda v, n: _length(v) >= n),
    "maxItems": ("have at most %s members", lambda v, n: _length(v) <= n),
    "pattern": ("match %s", lambda v, p: not isinstance(v, str) or re.search(p, v) is not None),
}


class Limits(NamedTuple):
    """Limits of a value, for `Annotated[int, Limits(ge=1, le=50)]`. Lengths count characters or members."""

    ge: Optional[float] = None
    gt: Optional[float] = None
    le: Optional[float] = None
    lt: Optional[float] = None
    multiple_of: Optional[float] = None
    min_length: Optional[int] = None
    max_length: Optional[int] = None
    pattern: Optional[str] = None
