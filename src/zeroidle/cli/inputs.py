"""From `key=value`, `key=@file`, `key:=json` and --input to the input of a job."""

from __future__ import annotations

import base64
import json
import mimetypes
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zeroidle.errors import ConfigError

_ITEM = re.compile(r"([^=:@\s][^=:@]*)(:=@|:=|=@|=)(.*)", re.DOTALL)
_ENVELOPE = {"input", "id", "webhook", "policy", "s3Config"}
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def build_input(items: Sequence[str], base: str | None, schema: Mapping[str, Any] | None) -> Any:
    """The input. `schema` (JSON Schema, when the endpoint has one) says what a plain `key=value` means.

    Raises ConfigError with one sentence.
    """
    start = _base(base) if base is not None else {}
    if items and not isinstance(start, dict):
        raise ConfigError("--input is not an object, so key=value cannot be added to it.")
    known = _members(schema)
    for item in items:
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ConfigError(f"{item!r} is not key=value, key=@FILE or key:=JSON.")
        key, operator, text = match.groups()
        if known is not None and key not in known and (schema or {}).get("additionalProperties") is False:
            raise ConfigError(_unknown(key, known))
        start[key] = _value(key, operator, text, (known or {}).get(key))
    return start


def _base(text: str) -> Any:
    """The value of --input: JSON, @FILE or - for standard input. RunPod's test_input.json is unpacked."""
    if text == "-":
        source, text = "standard input", sys.stdin.read()
    elif text.startswith("@"):
        source, text = text[1:], _read(text[1:], "--input").decode("utf-8", "replace")
    else:
        source = "--input"
    value = _json(text, source)
    if isinstance(value, dict) and "input" in value and set(value) <= _ENVELOPE:
        return value["input"]
    return value


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise ConfigError(f"{source} is not JSON: {exc}.") from None


def _value(key: str, operator: str, text: str, schema: Mapping[str, Any] | None) -> Any:
    if operator == ":=":
        return _json(text, f"{key}:=")
    if operator == ":=@":
        return _json(_read(text, key).decode("utf-8", "replace"), text)
    if operator == "=@":
        return _file(key, text, schema)
    return text if schema is None else _typed(key, text, schema)


def _read(name: str, key: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
    except OSError as exc:
        raise ConfigError(f"{key}=@{name} cannot be read: {exc.strerror}.") from None


def _file(key: str, name: str, schema: Mapping[str, Any] | None) -> Any:
    """A file as the handler wants it: an object for a File, text for a text, else text or base64 by its content."""
    data = _read(name, key)
    if schema is not None and any("x-file" in option for option in _options(schema)):
        content = {"data": base64.b64encode(data).decode(), "name": Path(name).name}
        media_type = mimetypes.guess_type(name)[0]
        return content | ({"media_type": media_type} if media_type else {})
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()


def _typed(key: str, text: str, schema: Mapping[str, Any]) -> Any:
    """A text as the first of the schema's types that it can be; as it is when it can be none."""
    options = list(_options(schema))
    if not options or any(not option.get("type") and "x-file" not in option for option in options):
        return text
    kinds = [kind for option in options for kind in _kinds(option)]
    lower = text.lower()
    if "boolean" in kinds and lower in _TRUE | _FALSE and not ("integer" in kinds and lower in "01"):
        return lower in _TRUE
    for kind, convert in (("integer", int), ("number", float)):
        if kind in kinds:
            try:
                return convert(text)
            except ValueError:
                continue
    if "string" in kinds or "x-file" in schema:
        return text
    if "null" in kinds and lower in ("null", "none", ""):
        return None
    if "array" in kinds or "object" in kinds:
        return _json(text, f"{key} must be {' or '.join(kinds)}, but {key}={text}")
    wanted = " or ".join(kinds)
    raise ConfigError(f"{key}={text!r} is not {'an' if wanted[0] in 'aeio' else 'a'} {wanted}.")


def _options(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A schema's alternatives, flattened."""
    for key in ("anyOf", "oneOf"):
        if key in schema and "x-file" not in schema:
            return [option for each in schema[key] for option in _options(each)]
    return [schema]


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    if "x-file" in schema:
        return ["string"]
    kind = schema.get("type")
    return [kind] if isinstance(kind, str) else list(kind or ())


def _members(schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if schema is None or not isinstance(schema.get("properties"), Mapping):
        return None
    members: Mapping[str, Any] = schema["properties"]
    return members


def _unknown(key: str, known: Mapping[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'no input'}."
    return f"The endpoint has no input {key}; {hint}"
