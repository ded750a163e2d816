"""Turns a form with file uploads (multipart/form-data) into the JSON of an input."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from zeroidle.endpoint import Endpoint
from zeroidle.errors import RequestError


class InvalidForm(RequestError):
    """The form cannot be read; send multipart/form-data as browsers and curl -F do."""


def form_to_input(endpoint: Endpoint, content_type: str, body: bytes | Path) -> bytes:
    """The raw JSON of an input: a text field becomes a member, an uploaded file {"data": base64, "name", "media_type"}.

    A field whose schema is not text is read as JSON (`n=3`, `stress=true`); a field named several times becomes a
    list; a field `input` holds JSON that the others add to. Raises InvalidForm.
    """
    properties = (endpoint.input_schema or {}).get("properties", {})
    given: dict[str, Any] = {}
    for name, value, is_file in _fields(content_type, body):
        if name == "input" and not is_file and "input" not in properties:
            base = _json(name, value)
            if not isinstance(base, dict):
                raise InvalidForm("The form's field input must be a JSON object.")
            given = {**base, **given}
            continue
        schema = properties.get(name, {})
        member = value if is_file or not isinstance(value, str) else _typed(name, value, schema, endpoint)
        if name in given:
            before = given[name]
            given[name] = [*before, member] if isinstance(before, list) else [before, member]
        else:
            given[name] = [member] if schema.get("type") == "array" and not isinstance(member, list) else member
    return msgspec.json.encode(given)


def _fields(content_type: str, body: bytes | Path) -> Iterator[tuple[str, Any, bool]]:
    """(name, text or file, whether it is a file) of each part."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import File, FormParser, parse_options_header

    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidForm(f"The content type {content_type[:100]!r} is not multipart/form-data with a boundary.")
    found: list[tuple[str, Any, bool]] = []

    def on_field(field: Any) -> None:
        found.append((_text(field.field_name), _text(field.value or b""), False))

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        data = base64.b64encode(file.file_object.read()).decode()
        given = {"data": data, "name": _text(file.file_name or b"file")}
        found.append((_text(file.field_name or b""), given, True))
        file.close()

    parser = FormParser(
        "multipart/form-data", on_field, on_file, boundary=boundary, config={"MAX_MEMORY_FILE_SIZE": 64 * 1024 * 1024}
    )
    try:
        parser.write(body if isinstance(body, bytes) else body.read_bytes())
        parser.finalize()
    except (FormParserError, ValueError) as exc:
        raise InvalidForm(f"The form cannot be read: {exc}.") from exc
    yield from found


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise InvalidForm(
            "The form has text that is not UTF-8; send a file as a file part (curl -F audio=@FILE)."
        ) from exc


def _json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        raise InvalidForm(f"The form's field {name} is not valid JSON: {exc}.") from exc


def _typed(name: str, text: str, schema: Mapping[str, Any], endpoint: Endpoint) -> Any:
    """The value of a text field, as its schema wants it."""
    schema = _plain(schema, endpoint)
    kinds = schema.get("type")
    if kinds == "array" and not text.lstrip().startswith("["):  # one of several fields of this name
        return _typed(name, text, schema.get("items", {}), endpoint)
    if schema.get("x-file") or kinds in (None, "string") or "enum" in schema:
        return text
    return _json(name, text)


def _plain(schema: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
    """Follows a reference and takes the null out of a choice of two; a choice with text in it is text."""
    for _ in range(10):
        if "$ref" in schema:
            target: Any = endpoint.input_schema
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target
        elif "anyOf" in schema and not schema.get("x-file"):
            forms = [s for s in schema["anyOf"] if s.get("type") != "null"]
            texts = [s for s in forms if s.get("type") == "string"]
            schema = (texts or forms)[0]
        else:
            break
    return schema
