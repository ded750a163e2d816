"""Typed inputs: every wrong field is named, with what it is and what it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zeroidle.endpoint import Endpoint
from zeroidle.gateway.validate import InputCheck, InvalidInput

POINT = {
    "type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"], "additionalProperties": False,
}  # fmt: skip
SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "language": {"enum": ["en", "de"]},
        "count": {"type": "integer", "minimum": 1},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "audio": {
            "anyOf": [{"type": "string", "minLength": 1}, {"type": "object", "properties": {"url": {"type": "string"}}}]
        },
        "point": {"$ref": "#/$defs/Point"},
        "items": {"type": "array", "items": {"type": "integer"}},
    },
    "$defs": {"Point": POINT},
    "required": ["text"],
    "additionalProperties": False,
}


def endpoint(schema: Any = SCHEMA) -> Endpoint:
    return Endpoint("tts", Path("h.py"), Path("."), "python3", input_schema=schema)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"text": 1}, 'input.text is 1; it is not of type "string".'),
        ({}, "input.text is missing."),
        ({"text": "a", "count": 0}, "input.count is 0; it is less than the minimum of 1."),
        ({"text": "a", "langauge": "en"}, "input has no field 'langauge'; did you mean language?"),
        ({"text": "a", "note": 3}, 'input.note is 3; it is not of type "string".'),
        ({"text": "a", "audio": {"url": 1}}, 'input.audio.url is 1; it is not of type "string".'),
        ({"text": "a", "audio": ""}, 'input.audio is ""; it is shorter than 1 character.'),
        ({"text": "a", "point": {"x": 1, "y": 2}}, "input.point has no field 'y'; there is: x."),
        ({"text": "a", "items": [1, "2"]}, 'input.items[1] is "2"; it is not of type "integer".'),
        ("hello", 'input is "hello"; it is not of type "object".'),
        ({"text": "a", "language": "fr"}, 'input.language is "fr"; it is not one of "en" or "de".'),
    ],
)
def test_names_the_field(given: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        InputCheck()(endpoint(), json.dumps(given).encode())
    assert caught.value.message == sentence
    assert caught.value.http_status == 400


def test_valid_input_passes_and_a_new_schema_counts_at_once() -> None:
    check = InputCheck()
    check(endpoint(), b'{"text": "a", "note": null, "point": {"x": 1}}')
    check(endpoint(None), b"17")
    with pytest.raises(InvalidInput):
        check(endpoint({"type": "integer"}), b'{"text": "a"}')


def test_long_values_and_many_errors_are_cut_short() -> None:
    wrong = {"text": "a", "items": ["x" * 500] * 20}
    with pytest.raises(InvalidInput) as caught:
        InputCheck()(endpoint(), json.dumps(wrong).encode())
    assert "(502 characters)" in caught.value.message
    assert "And 15 more." in caught.value.message
    assert len(caught.value.message) < 1000
