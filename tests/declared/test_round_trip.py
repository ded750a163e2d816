"""Generated type hints: a value goes through JSON and comes back equal, and what is wrong is refused on both sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.declared.hints import CASES, SCALARS, Case
from zeroidle.endpoint import Endpoint
from zeroidle.gateway.validate import InputCheck, InvalidInput
from zeroidle_worker.api.errors import InputError
from zeroidle_worker.api.result import placer, to_json
from zeroidle_worker.api.signature import Signature, read
from zeroidle_worker.encode import encode

#: Making models takes its time on a busy machine, and says nothing about the code under test.
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["a", "calm", 1, 2, 3, "2026-02-03", "2026-02-31", "AAAA", "12:00", "25:00", "1.5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def signature_of(hint: Any) -> Signature:
    """That of a function whose argument `value` has this type."""

    def handler(value):  # type: ignore[no-untyped-def]
        return value

    handler.__annotations__ = {"value": hint, "return": hint}
    return read(handler)


def refused_by_the_plane(schema: Any, data: bytes) -> bool:
    """Whether a submission is answered with 400."""
    endpoint = Endpoint("e", Path("e.py"), Path("."), "python", input_schema=schema)
    try:
        InputCheck()(endpoint, data)
    except InvalidInput as exc:
        assert str(exc).startswith("input"), exc
        return True
    return False


def refused_by_the_worker(signature: Signature, data: bytes) -> bool:
    """Whether the arguments cannot be loaded."""
    assert signature.load is not None
    try:
        signature.load(json.loads(data))
    except InputError as exc:
        assert exc.field.startswith("value"), exc
        return True
    return False


@SLOW
@given(data=st.data(), case=CASES)
def test_a_value_comes_back_equal(data: st.DataObject, case: Case) -> None:
    value = data.draw(case.values)
    signature = signature_of(case.hint)
    raw = encode({"value": to_json(value, placer("inline", "job", {}))})
    note(f"{case.hint} {raw!r}")
    assert not refused_by_the_plane(signature.input, raw)
    assert jsonschema.Draft202012Validator(signature.input).is_valid(json.loads(raw))
    assert signature.output is not None
    assert jsonschema.Draft202012Validator(signature.output).is_valid(json.loads(raw)["value"])
    assert signature.load is not None
    loaded = signature.load(json.loads(raw))["value"]
    assert loaded == value and type(loaded) is type(value)


@SLOW
@given(data=st.data(), case=CASES)
def test_what_one_refuses_the_other_refuses(data: st.DataObject, case: Case) -> None:
    value = data.draw(ANY_JSON)
    signature = signature_of(case.hint)
    raw = json.dumps({"value": value}).encode()
    note(f"{case.hint} {raw!r}")
    plane, worker = refused_by_the_plane(signature.input, raw), refused_by_the_worker(signature, raw)
    if plane:
        assert worker
    elif worker:
        # A text of the right shape may still be no date; pydantic may have rules that no schema shows.
        assert "2026" in raw.decode() or any(c in raw.decode() for c in ":-") or "Model" in str(signature.input)


@SLOW
@given(data=st.data(), case=st.sampled_from(SCALARS))
def test_a_mistake_deep_inside_is_refused_by_both_and_named(data: st.DataObject, case: Case) -> None:
    """A list of objects, with one member of a kind that the hint does not take."""
    wrong = data.draw(
        st.sampled_from([v for k, v in {"object": {"x": 1}, "array": [[]]}.items() if k not in case.kinds])
    )
    good = to_json(data.draw(case.values), placer("inline", "job", {}))
    signature = signature_of(list[dict[str, case.hint]])  # type: ignore[name-defined]
    raw = encode({"value": [{"k": good}, {"k": wrong}]})
    assert refused_by_the_plane(signature.input, raw) and refused_by_the_worker(signature, raw)
    assert signature.load is not None
    try:
        signature.load(json.loads(raw))
    except InputError as exc:
        assert exc.field == "value[1].k"
    unknown = encode({"value": [], "valeu": 1})
    assert refused_by_the_plane(signature.input, unknown)
    assert refused_by_the_plane(signature.input, b"{}") and refused_by_the_worker(signature, b"{}")
