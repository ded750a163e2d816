"""From words on the command line to a job's input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroidle.cli.inputs import build_input
from zeroidle.errors import ConfigError

TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
FILE = {"anyOf": [TEXT, {"type": "object"}], "x-file": "any"}


def schema(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "additionalProperties": False}


@pytest.mark.parametrize(
    ("text", "member", "value"),
    [
        ("7", TEXT, "7"),
        ("7", WHOLE, 7),
        ("7", NUMBER, 7.0),
        ("7.5", {"anyOf": [WHOLE, NUMBER]}, 7.5),
        ("x", {"anyOf": [WHOLE, TEXT]}, "x"),
        ("7", {"anyOf": [WHOLE, TEXT]}, 7),
        ("yes", {"type": "boolean"}, True),
        ("off", {"type": "boolean"}, False),
        ("null", {"anyOf": [WHOLE, {"type": "null"}]}, None),
        ("[1, 2]", {"type": "array"}, [1, 2]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("https://example.com/a.wav", FILE, "https://example.com/a.wav"),
        ("anything", {}, "anything"),
        ("a", {"enum": ["a", "b"]}, "a"),
        ("x", {"$ref": "#/$defs/Voice"}, "x"),
    ],
)
def test_a_plain_value_takes_the_type_of_the_endpoint(text: str, member: dict[str, Any], value: object) -> None:
    got = build_input([f"k={text}"], None, schema(k=member))["k"]
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize("text", ["x", "1.5", "", "0x10"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"k=.* is not an integer"):
        build_input([f"k={text}"], None, schema(k=WHOLE))


@given(st.text(), st.from_regex(r"[a-z_]+", fullmatch=True))
def test_without_a_schema_a_text_stays_a_text(text: str, key: str) -> None:
    if not text.startswith("@"):
        assert build_input([f"{key}={text}"], None, None) == {key: text}


def test_json_and_files(tmp_path: Any) -> None:
    (tmp_path / "a.json").write_text('{"deep": [1]}')
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.wav").write_bytes(b"RIFF\xff\xfe")
    items = [
        "n:=1.5",
        "list:=[1, null]",
        f"json:=@{tmp_path}/a.json",
        f"text=@{tmp_path}/a.txt",
        f"raw=@{tmp_path}/a.wav",
    ]
    assert build_input(items, None, None) == {
        "n": 1.5, "list": [1, None], "json": {"deep": [1]}, "text": "text", "raw": "UklGRv/+",
    }  # fmt: skip
    file = build_input([f"k=@{tmp_path}/a.wav"], None, schema(k=FILE))["k"]
    assert (file["data"], file["name"]) == ("UklGRv/+", "a.wav")


def test_items_come_over_the_given_input() -> None:
    assert build_input(["b=2"], '{"a": 1, "b": 1}', None) == {"a": 1, "b": "2"}
    assert build_input([], '{"input": {"a": 1}, "webhook": "http://x"}', None) == {"a": 1}
    assert build_input([], '{"input": 1, "other": 2}', None) == {"input": 1, "other": 2}
    assert build_input([], '"just a text"', None) == "just a text"


def test_an_unknown_input_is_refused_only_where_others_are_not_allowed() -> None:
    with pytest.raises(ConfigError, match="did you mean text"):
        build_input(["txt=1"], None, schema(text=TEXT))
    assert build_input(["txt=1"], None, {"type": "object", "properties": {"text": TEXT}}) == {"txt": "1"}
