"""Turns what a handler returned into JSON bytes, or into one sentence that says what is not JSON."""

from __future__ import annotations

import _thread
import json
import math
from typing import Any, Dict, List, Optional, Tuple

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)

#: The beginning of every sentence about a result that is not JSON.
NOT_JSON = "The handler returned"

_ADVICE = {
    "bytes": "return text, for example base64.b64encode(data).decode()",
    "bytearray": "return text, for example base64.b64encode(data).decode()",
    "memoryview": "return text, for example base64.b64encode(data).decode()",
    "ndarray": "return a list: array.tolist()",
    "Tensor": "return a list: tensor.tolist()",
    "datetime": "return text: value.isoformat()",
    "date": "return text: value.isoformat()",
    "set": "return a list: list(value)",
    "frozenset": "return a list: list(value)",
    "Decimal": "return float(value) or str(value)",
    "UUID": "return str(value)",
    "PosixPath": "return str(path)",
    "generator": "make the handler itself a generator, or return a list",
}


_make = getattr(json.encoder, "c_make_encoder", None)


class _Strict(_thread._local):
    """What refuses NaN and infinities, which JSON does not have; most results never need more. One for each thread.

    JSONEncoder.encode makes an encoder for every value, which costs as much as encoding a small one.
    """

    def __init__(self) -> None:
        self._open: Dict[int, Any] = {}  # the containers around the value, by which a circle is found
        self._pieces: Any = None
        if _make is not None:
            form = (json.encoder.encode_basestring, None, ":", ",", False, False, False)
            self._pieces = _make(self._open, _encoder.default, *form)

    def text(self, value: Any) -> str:
        """The JSON text. Raises what JSONEncoder.encode raises."""
        if self._pieces is None or self._open:  # the second: a container's own code encodes something meanwhile
            return _encoder.encode(value)
        try:
            return "".join(self._pieces(value, 0))
        finally:
            self._open.clear()  # after a failure it still holds some


_strict = _Strict()


class NotJson(ValueError):
    """A value that has no JSON form; the text is one sentence for the user."""


def encode(value: Any, where: str = "output") -> bytes:
    """The JSON text of `value`. NaN and infinities become null, because JSON has no word for them and a client could
    not read the answer; halves of surrogate pairs become U+FFFD. Raises NotJson, which names the type and the place
    (`where` is the name of the whole)."""
    try:
        text = _strict.text(value)
    except ValueError:
        text = _encode_without_nan(value, where)
    except (TypeError, RecursionError, OverflowError) as exc:
        raise NotJson(_sentence(value, where, exc)) from None
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")


def _encode_without_nan(value: Any, where: str) -> str:
    try:
        return _strict.text(_plain(value))
    except (TypeError, ValueError, RecursionError, OverflowError) as exc:
        raise NotJson(_sentence(value, where, exc)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_plain_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _plain_key(key: Any) -> Any:
    # A key is text in JSON, so it cannot become null.
    return str(key) if isinstance(key, float) and not math.isfinite(key) else key


def _sentence(value: Any, where: str, exc: BaseException) -> str:
    if isinstance(exc, RecursionError):
        return "%s %s that contains itself or is nested too deeply." % (NOT_JSON, where)
    found = _offender(value, where)
    if found is None:
        return "%s %s that has no JSON form: %s." % (NOT_JSON, where, exc)
    path, thing, is_key = found
    kind = type(thing)
    name = kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)
    if is_key:
        return "%s a dict with a key of type %s at %s, which is not JSON; use text as keys." % (NOT_JSON, name, path)
    advice = _ADVICE.get(kind.__name__)
    if advice is None:
        # numpy's and torch's scalars have it, and so it names the remedy for many others
        advice = "return value.item()" if hasattr(kind, "item") else "return plain values: dict, list, str, numbers"
    return "%s a value of type %s at %s, which is not JSON; %s." % (NOT_JSON, name, path, advice)


def _offender(value: Any, where: str) -> Optional[Tuple[str, Any, bool]]:
    """The first value (or key) without a JSON form: its place, itself, whether it is a key."""
    stack: List[Tuple[str, Any]] = [(where, value)]
    while stack:
        path, item = stack.pop()
        if item is None or isinstance(item, (str, int, float)):
            continue
        if isinstance(item, dict):
            for key in item:
                if key is not None and not isinstance(key, (str, int, float)):
                    return path, key, True
            stack.extend((_member(path, key), item[key]) for key in reversed(list(item)))
        elif isinstance(item, (list, tuple)):
            stack.extend(("%s[%d]" % (path, n), item[n]) for n in reversed(range(len(item))))
        else:
            return path, item, False
    return None


def _member(path: str, key: Any) -> str:
    return "%s.%s" % (path, key) if isinstance(key, str) and key.isidentifier() else "%s[%r]" % (path, key)
