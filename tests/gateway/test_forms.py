"""Forms with uploads become the JSON that a client could have sent; made here by an independent client."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from zeroidle.endpoint import Endpoint
from zeroidle.gateway.forms import InvalidForm, form_to_input

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "stress": {"type": "boolean"},
        "audio": {"x-file": "audio", "anyOf": [{"type": "string"}, {"type": "object"}]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
ENDPOINT = Endpoint("tts", Path("h.py"), Path("."), "python3", input_schema=SCHEMA)


def form(data: Any, files: Any = None) -> tuple[str, bytes]:
    request = requests.Request("POST", "http://x/", data=data, files=files or {"none": (None, "")}).prepare()
    assert isinstance(request.body, bytes)
    return str(request.headers["Content-Type"]), request.body


@pytest.mark.parametrize("large", [False, True])
def test_fields_and_files(tmp_path: Path, large: bool) -> None:
    sound = bytes(range(256)) * (2000 if large else 1)
    kind, body = form({"text": "12", "count": "3", "stress": "true", "tags": "a"}, {"audio": ("a b.wav", sound)})
    source: bytes | Path = body
    if large:
        source = tmp_path / "body"
        source.write_bytes(body)
    got = json.loads(form_to_input(ENDPOINT, kind, source))
    audio = got.pop("audio")
    assert got == {"text": "12", "count": 3, "stress": True, "tags": ["a"]}
    assert base64.b64decode(audio["data"]) == sound
    assert audio["name"] == "a b.wav"


def test_input_field_is_the_base() -> None:
    kind, body = form([("text", "new"), ("input", '{"text": "old", "count": 1}')])
    got = json.loads(form_to_input(ENDPOINT, kind, body))
    assert got["text"] == "new" and got["count"] == 1


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("multipart/form-data", b"--x--", "boundary"),
        ("multipart/form-data; boundary=x", b"nonsense", "cannot be read"),
        ("multipart/mixed; boundary=x", b"--x--", "not multipart/form-data"),
    ],
)
def test_broken_forms(kind: str, body: bytes, words: str) -> None:
    with pytest.raises(InvalidForm, match=words):
        form_to_input(ENDPOINT, kind, body)


def test_a_number_that_is_none() -> None:
    kind, body = form({"count": "three"})
    with pytest.raises(InvalidForm, match="count is not valid JSON"):
        form_to_input(ENDPOINT, kind, body)
