"""Inputs that are checked, forms that become inputs, and encodings that are not taken."""

from __future__ import annotations

import base64
import gzip
import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.plane import Answer, GatewayPlane, endpoint, running
from zeroidle.endpoint import Endpoint
from zeroidle.errors import RequestError
from zeroidle.gateway.forms import form_to_input
from zeroidle.gateway.validate import InputCheck

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "n": {"type": "integer"}, "file": {"type": "object"}},
    "additionalProperties": False,
}


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[GatewayPlane]:
    endpoints = {"echo": endpoint("echo", input_schema=SCHEMA), "idle": endpoint("idle")}
    with running(tmp_path, endpoints=endpoints, check=InputCheck(), upload=form_to_input) as plane:
        yield plane


def files(plane: GatewayPlane) -> list[Path]:
    """What lies in the spool."""
    return list(plane.store.spool.iterdir())


def form(plane: GatewayPlane, path: str, **fields: str | bytes) -> Answer:
    """Sends a form; bytes are sent as files."""
    parts = []
    for name, value in fields.items():
        file = '; filename="a.bin"\r\nContent-Type: application/octet-stream' if isinstance(value, bytes) else ""
        data = value if isinstance(value, bytes) else value.encode()
        parts.append(f'--cut\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n")
    body = b"".join(parts) + b"--cut--\r\n"
    return plane.call("POST", path, body, {"Content-Type": "multipart/form-data; boundary=cut"})


def test_an_input_that_fits_is_taken_and_another_gets_400(typed: GatewayPlane) -> None:
    assert typed.call("POST", "/v2/echo/runsync", {"input": {"text": "a", "n": 1}}).json["output"]["n"] == 1
    answer = typed.call("POST", "/v2/echo/run", {"input": {"text": "a", "n": "one"}})
    assert answer.status == 400
    assert "n" in answer.error
    assert typed.call("GET", "/v2/echo/health").json["jobs"]["inQueue"] == 0


def test_a_large_input_is_checked_too_and_leaves_no_file(typed: GatewayPlane) -> None:
    for value in ({"text": 1, "pad": "x" * 400_000}, {"text": "x" * 400_000, "n": "one"}):
        assert typed.call("POST", "/v2/echo/run", {"input": value}).status == 400
    assert files(typed) == []
    text = "x" * 400_000
    answer = typed.call("POST", "/v2/echo/runsync", {"policy": {}, "input": {"text": text}})
    assert answer.json["output"]["text"] == text


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_that_no_program_can_hold_gets_400(typed: GatewayPlane, number: str) -> None:
    answer = typed.call("POST", "/v2/echo/run", f'{{"input": {{"n": {number}}}}}'.encode())
    assert answer.status == 400


def test_an_endpoint_without_a_schema_is_not_checked(tmp_path: Path) -> None:
    seen: list[Any] = []

    def check(endpoint: Endpoint, data: bytes | mmap.mmap) -> None:
        seen.append((endpoint.name, json.loads(bytes(data))))
        raise RequestError("Never.")

    endpoints = {"echo": endpoint("echo"), "idle": endpoint("idle", input_schema={})}
    with running(tmp_path, endpoints=endpoints, check=check) as plane:
        assert plane.call("POST", "/v2/echo/run", {"input": 1}).status == 200
        assert seen == []
        assert plane.call("POST", "/v2/idle/run", {"input": [2]}).status == 400
        assert seen == [("idle", [2])]


def test_a_form_becomes_an_input(typed: GatewayPlane) -> None:
    answer = form(typed, "/v2/echo/runsync", text="hällo", n="3", file=b"\x00\x01")
    assert answer.status == 200, answer.body
    output = answer.json["output"]
    assert (output["text"], output["n"]) == ("hällo", 3)
    assert base64.b64decode(output["file"]["data"]) == b"\x00\x01"
    assert form(typed, "/v2/echo/run", n="three").status == 400
    assert form(typed, "/v2/echo/run", other="3").status == 400


@pytest.mark.parametrize("size", [200_000, 300_000, 2_000_000])
def test_a_large_form_becomes_a_large_input(typed: GatewayPlane, size: int) -> None:
    content = bytes(range(256)) * (size // 256)
    assert form(typed, "/v2/echo/run", file=content, n="three").status == 400
    assert files(typed) == []
    answer = form(typed, "/v2/echo/runsync", file=content)
    assert answer.status == 200
    assert base64.b64decode(answer.json["output"]["file"]["data"]) == content


def test_a_large_form_of_small_input_leaves_no_file(typed: GatewayPlane) -> None:
    body = b'--cut\r\nContent-Disposition: form-data; name="text"\r\n\r\nhi\r\n--cut--\r\n' + b"\r\n" * 150_000
    answer = typed.call("POST", "/v2/echo/runsync", body, {"Content-Type": "multipart/form-data; boundary=cut"})
    assert answer.json["output"] == {"text": "hi"}
    assert files(typed) == []


def test_without_the_converter_forms_get_415(plane: GatewayPlane) -> None:
    answer = form(plane, "/v2/echo/run", text="hi")
    assert answer.status == 415
    assert "JSON" in answer.error


def test_a_compressed_body_gets_415(plane: GatewayPlane) -> None:
    body = gzip.compress(b'{"input": 1}')
    answer = plane.call("POST", "/v2/echo/run", body, {"Content-Encoding": "gzip"})
    assert answer.status == 415
    assert "gzip" in answer.error


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "", "application/json; x=y"])
def test_json_is_taken_under_any_other_name(plane: GatewayPlane, kind: str) -> None:
    assert plane.call("POST", "/v2/echo/run", {"input": 1}, {"Content-Type": kind}).status == 200
