"""Type hints become JSON Schema and loaders, and the two agree on every value."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import typing
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict, Union

import jsonschema
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroidle_worker.api.errors import InputError
from zeroidle_worker.api.scalars import Limits, UnsupportedType
from zeroidle_worker.api.schema import Types
from zeroidle_worker.api.signature import read


class Mood(enum.Enum):
    CALM = "calm"
    LOUD = "loud"


@dataclasses.dataclass
class Voice:
    name: str
    pitch: float = 1.0
    child: Voice | None = None


class Clip(TypedDict):
    start_s: float
    label: typing.NotRequired[str]


class Point(NamedTuple):
    x: int
    y: int = 0


class Model(pydantic.BaseModel):
    count: int = pydantic.Field(ge=0)
    tags: list[str] = []


HINTS: list[Any] = [
    str, int, float, bool, None, list[int], dict[str, float], tuple[int, str], tuple[int, ...], set[str],
    Optional[int], Union[int, str], int | None,  # noqa: UP007, UP045
    Literal["a", 1, True], Mood, Voice, Clip, Point, list[Voice],
    Annotated[int, Limits(ge=1, le=5)], Annotated[list[int], Limits(max_length=2)],
    Annotated[str, Limits(pattern="^a")],
    dict[str, list[Clip]],
]  # fmt: skip

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(
    "abx1", max_size=3
) | st.sampled_from(["calm", "a", "name", "start_s"])  # fmt: skip
keys = st.sampled_from(["name", "pitch", "child", "start_s", "label", "x", "y", "count", "tags", "other"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=8
)


@pytest.mark.parametrize("hint", HINTS, ids=str)
@given(value=values)
def test_the_schema_and_the_loader_agree(hint: Any, value: Any) -> None:
    types = Types()
    kind = types.of(hint)
    valid = jsonschema.Draft202012Validator({**kind.schema, "$defs": types.defs}).is_valid(value)
    try:
        kind.load(value, "v")
        loaded = True
    except InputError:
        loaded = False
    assert loaded == valid


def test_values_become_python_values() -> None:
    types = Types()
    assert types.of(Voice).load({"name": "b", "child": {"name": "c"}}, "") == Voice("b", 1.0, Voice("c"))
    assert types.of(Mood).load("loud", "") is Mood.LOUD
    assert types.of(Point).load({"x": 2}, "") == Point(2, 0)
    assert types.of(Model).load({"count": 3}, "") == Model(count=3)
    assert types.of(bytes).load("aGk=", "") == b"hi"
    moment = types.of(datetime.datetime).load("2026-01-31T12:00:00Z", "")
    assert moment == datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({}, "text is missing."),
        ({"text": 3}, "text is 3; it must be text."),
        ({"text": "a", "sped": 2}, "sped is not known; did you mean speed?"),
        ({"text": "a", "clips": [{"start_s": 1}, {"start_s": "x"}]}, "clips[1].start_s is 'x'; it must be a number."),
        ({"text": "a", "speed": 9}, "speed is 9; it must be at most 4."),
        (
            {"text": "a", "model": {"count": -1}},
            "model.count is not valid: Input should be greater than or equal to 0.",
        ),
        ([], "The input is []; it must be an object."),
    ],
)
def test_an_error_names_the_field(value: Any, sentence: str) -> None:
    def speak(
        text: str,
        speed: Annotated[float, Limits(le=4)] = 1.0,
        clips: list[Clip] | None = None,
        model: Model | None = None,
    ) -> str:
        return text

    signature = read(speak)
    assert signature.load is not None
    with pytest.raises(InputError) as caught:
        signature.load(value)
    assert str(caught.value) == sentence


def test_the_signature_gives_schema_defaults_and_notes() -> None:
    def speak(text: str, speed: float = 1.5) -> list[str]:
        """Speaks.

        Args:
            text: What to say.
            speed: How fast,
                as a factor.
        """
        return [text]

    signature = read(speak, speak.__doc__ or "")
    assert signature.input == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "What to say."},
            "speed": {"type": "number", "description": "How fast, as a factor.", "default": 1.5},
        },
        "additionalProperties": False,
        "required": ["text"],
    }
    assert signature.output == {"type": "array", "items": {"type": "string"}}


def test_a_handler_of_a_job_takes_anything() -> None:
    def handler(job):  # type: ignore[no-untyped-def]
        return job

    signature = read(handler)
    assert signature.load is None and signature.input == {"type": "object"}


def test_open_keywords_keep_what_is_not_named() -> None:
    def f(a: int, **rest: Any) -> None: ...

    signature = read(f)
    assert signature.load is not None
    assert signature.load({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert signature.input["additionalProperties"] is True


def test_a_batch_takes_the_type_of_a_member() -> None:
    def f(texts: list[str]) -> list[int]: ...  # type: ignore[empty-body]

    signature = read(f, batch=True)
    assert signature.input["properties"] == {"texts": {"type": "string"}}
    assert signature.output == {"type": "integer"}


def test_a_type_without_json_form_says_so() -> None:
    with pytest.raises(UnsupportedType, match="complex has no JSON form"):
        Types().of(complex)
