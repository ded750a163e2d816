"""Checks an input against its endpoint's JSON Schema at submission, so that a wrong one never starts a worker."""

from __future__ import annotations

import difflib
import mmap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from zeroidle.endpoint import Endpoint
from zeroidle.errors import RequestError

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

#: How many wrong fields one answer names.
MAX_SHOWN = 5
_MAX_VALUE_CHARS = 60


class InvalidInput(RequestError):
    """The input does not fit the endpoint's schema."""


class InputCheck:
    """Call it with an endpoint that has a schema and the raw JSON of an input; raises InvalidInput, naming fields."""

    def __init__(self) -> None:
        self._compiled: dict[str, tuple[Mapping[str, Any], Draft202012Validator]] = {}

    def __call__(self, endpoint: Endpoint, data: bytes | mmap.mmap) -> None:
        """Nothing for a valid input."""
        if endpoint.input_schema is None:
            return
        validator = self._validator(endpoint.name, endpoint.input_schema)
        value = msgspec.json.decode(data)
        if validator.is_valid(value):
            return
        sentences = [_sentence(error, endpoint.input_schema) for error in validator.iter_errors(value)]
        shown = list(dict.fromkeys(sentences))[:MAX_SHOWN]
        more = f" And {len(sentences) - MAX_SHOWN} more." if len(sentences) > MAX_SHOWN else ""
        raise InvalidInput(" ".join(shown) + more)

    def _validator(self, name: str, schema: Mapping[str, Any]) -> Draft202012Validator:
        known = self._compiled.get(name)
        if known is not None and known[0] is schema:
            return known[1]
        import jsonschema_rs  # 20 ms and 6 MB, which a plane without typed endpoints does not pay

        validator = jsonschema_rs.Draft202012Validator(dict(schema), mask="it")
        self._compiled[name] = (schema, validator)
        return validator


def _sentence(error: Any, schema: Mapping[str, Any]) -> str:
    """One wrong field in words: where it is, what it is, what it should be."""
    kind = error.kind
    if kind.name in ("anyOf", "oneOf"):
        deeper = _likeliest(error)
        if deeper is not None:
            return _sentence(deeper, schema)
    where = _where(error.instance_path)
    if kind.name == "required":
        return f"{where}.{kind.property} is missing."
    if kind.name == "additionalProperties":
        known = list(_at(schema, list(error.schema_path)[:-1]).get("properties", {}))
        near = difflib.get_close_matches(kind.unexpected[0], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there is: {', '.join(known) or 'none'}."
        return f"{where} has no field {', '.join(map(repr, kind.unexpected[:MAX_SHOWN]))}; {hint}"
    if kind.name == "pattern":
        form = _at(schema, list(error.schema_path)[:-1])
        words = form.get("format") or form.get("contentEncoding")
        if words:
            return f"{where} is {_shown(error.instance)}; it is not {words} text."
    rule = error.message.removeprefix("it ").rstrip(".")
    return f"{where} is {_shown(error.instance)}; it {rule}."


def _likeliest(error: Any) -> Any:
    """Of a choice of forms, what is wrong with the one that the value was meant for: the one of its JSON type; or the
    only one there is beside null."""
    found = [branch[0] for branch in error.kind.context if branch]
    here = len(error.instance_path)
    meant = [e for e in found if e.kind.name != "type" or len(e.instance_path) > here]
    if meant:
        return meant[0]
    solid = [e for e in found if list(getattr(e.kind, "types", [])) != ["null"]]
    return solid[0] if len(solid) == 1 else None


def _at(schema: Any, path: list[str | int]) -> Any:
    for key in path:
        schema = schema[key]
    return schema


def _where(path: Iterable[str | int]) -> str:
    return "input" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}… ({len(text)} characters)"
