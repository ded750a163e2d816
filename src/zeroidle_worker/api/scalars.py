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


def _parsed(what: str, parse: Callable[[str], Any], pattern: str = "") -> Load:
    def load(value: Any, path: str) -> Any:
        text = _text(value, path)
        try:
            if pattern and not re.fullmatch(pattern, text):
                raise ValueError("does not match")
            return parse(text)
        except InputError:
            raise
        except (ValueError, ArithmeticError) as exc:
            raise InputError(path, "is %s; it must be %s." % (shown(value), what)) from exc

    return load


def decode_base64(text: str) -> bytes:
    """The bytes of base64 text. Raises ValueError for anything that is not in its alphabet, complete and padded."""
    if len(text) % 4 or not re.fullmatch("[A-Za-z0-9+/]*={0,2}", text):
        raise ValueError("is not base64 text")
    return binascii.a2b_base64(text)


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
        {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        },
        _parsed("base64 text", decode_base64),
    ),
}

_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


class _Text(NamedTuple):
    """A simple type that is text in JSON, of a module that a worker does not import by itself. `pattern` stands in
    the schema, so that most mistakes are found before a worker has the job; `parser` makes the function from text out
    of the class."""

    module: str
    name: str
    format: str
    words: str
    pattern: str
    parser: Callable[[Any], Callable[[str], Any]]


_LIBRARY = (
    _Text("datetime", "datetime", "date-time", "a time as in 2026-01-31T12:00:00Z", _DAY + "[Tt ]" + _CLOCK, _datetime),
    _Text("datetime", "date", "date", "a date as in 2026-01-31", _DAY, lambda cls: cls.fromisoformat),
    _Text("datetime", "time", "time", "a time of day as in 12:00:00", _CLOCK, _datetime),
    _Text("uuid", "UUID", "uuid", "a UUID", "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}", lambda cls: cls),
    _Text("decimal", "Decimal", "decimal", "a decimal number as text",
          r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", lambda cls: cls),
    _Text("pathlib", "Path", "", "a path", "", lambda cls: cls),
)  # fmt: skip


def simple(hint: Any) -> Optional[Kind]:
    """The kind of a simple type, None for any other hint."""
    try:
        found = SIMPLE.get(hint)
    except TypeError:  # not hashable
        return None
    if found is None and isinstance(hint, type):
        for one in _LIBRARY:
            # Who names the class has imported its module.
            if hint is getattr(sys.modules.get(one.module), one.name, None):
                schema: Schema = {"type": "string"}
                if one.pattern:
                    schema = {"type": "string", "format": one.format, "pattern": "^(?:%s)$" % one.pattern}
                found = SIMPLE[hint] = Kind(schema, _parsed(one.words, one.parser(hint), one.pattern))
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
