"""JSON of results: what is kept, what is mended, and the sentence for what has no JSON form."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from zeroidle_worker.encode import NotJson, encode
from zeroidle_worker.outcome import returned

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_what_is_json_comes_back(value: Any) -> None:
    assert json.loads(encode(value)) == value


@given(st.recursive(st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))
def test_nan_and_infinity_become_null_and_the_text_is_strict_json(value: Any) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    def mended(item: Any) -> Any:
        if isinstance(item, float):
            return item if math.isfinite(item) else None
        if isinstance(item, dict):
            return {key: mended(part) for key, part in item.items()}
        return [mended(part) for part in item]

    assert json.loads(encode(value), parse_constant=refuse) == mended(value)


def test_a_key_that_is_no_number_stays_text() -> None:
    assert json.loads(encode({math.nan: 1, math.inf: 2})) == {"nan": 1, "inf": 2}


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    assert json.loads(encode({"a": "x\ud800y"})) == {"a": "x\ufffdy"}


class Tensor:
    """Named like torch's."""


class Scalar:
    """Like numpy's."""

    def item(self) -> int:
        return 1


def looped() -> list[Any]:
    value: list[Any] = [float("nan")]
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (b"x", "a value of type bytes at output, which is not JSON; return text, for example base64"),
        ({"a": [1, {2}]}, "a value of type set at output.a[1], which is not JSON; return a list"),
        ({"not a name": object()}, "a value of type object at output['not a name'], which is not JSON; return plain"),
        ({(1,): 1}, "a dict with a key of type tuple at output, which is not JSON; use text as keys."),
        (
            datetime.date(2026, 1, 1),
            "a value of type datetime.date at output, which is not JSON; return text: value.iso",
        ),
        (
            [Tensor()],
            f"a value of type {__name__}.Tensor at output[0], which is not JSON; return a list: tensor.tolist()",
        ),
        (Scalar(), f"a value of type {__name__}.Scalar at output, which is not JSON; return value.item()."),
        (looped(), "output that contains itself or is nested too deeply."),
        (deep(), "output that contains itself or is nested too deeply."),
    ],
)
def test_what_is_not_json_is_named_with_its_place_and_remedy(value: Any, sentence: str) -> None:
    with pytest.raises(NotJson) as caught:
        encode(value)
    assert str(caught.value).startswith("The handler returned " + sentence), caught.value


def test_a_failure_leaves_nothing_behind() -> None:
    kept: list[Any] = [1]
    for value in ([kept, {1}], looped(), [kept, float("nan"), {(1,): kept}]):
        with pytest.raises(NotJson):
            encode(value)
        assert encode([kept, kept]) == b"[[1],[1]]"


def test_a_handlers_own_dict_is_left_as_it_was() -> None:
    """A handler may keep what it returned; the SDK would have taken keys out of it."""
    value = {"error": "no", "refresh_worker": True, "kept": 1}
    outcome = returned(value)
    assert value == {"error": "no", "refresh_worker": True, "kept": 1}
    assert json.loads(outcome.body) == {"error": "no", "output": {"kept": 1}} and outcome.refresh


@pytest.mark.parametrize("value", [{}, {"error": None}, {"refresh_worker": False}])
def test_an_empty_dict_is_no_output(value: dict[str, Any]) -> None:
    assert returned(value).body == b"{}"
