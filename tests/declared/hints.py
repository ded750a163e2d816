"""Strategies of type hints with values that fit them, for round trips through JSON."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import string
import typing
import uuid
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import pydantic
from hypothesis import strategies as st

from zeroidle_worker.api.scalars import Limits


class Case(NamedTuple):
    """A type hint and a strategy of its values. `kinds` are the JSON types that values have, to tell the members of a
    union apart; `hashable`: values may stand in a set."""

    hint: Any
    values: st.SearchStrategy[Any]
    kinds: frozenset[str]
    hashable: bool = True


class Mood(enum.Enum):
    """Words and a number."""

    CALM = "calm"
    LOUD = "loud"
    THIRD = 3


class Level(enum.IntEnum):
    """Numbers alone."""

    LOW = 1
    HIGH = 2


def _case(hint: Any, values: st.SearchStrategy[Any], *kinds: str, hashable: bool = True) -> Case:
    return Case(hint, values, frozenset(kinds), hashable)


_ZONES = [datetime.UTC, datetime.timezone(datetime.timedelta(hours=-9.5))]
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)

SCALARS = [
    _case(str, st.text(max_size=8), "string"),
    _case(int, st.integers(-(2**70), 2**70), "number"),
    _case(float, _FLOATS, "number"),
    _case(bool, st.booleans(), "boolean"),
    _case(None, st.none(), "null"),
    _case(bytes, st.binary(max_size=9), "string"),
    _case(
        datetime.datetime,
        st.datetimes() | st.datetimes(timezones=st.sampled_from(_ZONES)),
        "string",
    ),
    _case(datetime.date, st.dates(), "string"),
    _case(datetime.time, st.times(), "string"),
    _case(uuid.UUID, st.uuids(), "string"),
    _case(decimal.Decimal, st.decimals(allow_nan=False, allow_infinity=False), "string"),
    _case(pathlib.Path, st.text("abc/._", min_size=1, max_size=6).map(pathlib.Path), "string"),
    _case(Mood, st.sampled_from(Mood), "string", "number"),
    _case(Level, st.sampled_from(Level), "number"),
    _case(Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None]), "string", "number", "boolean", "null"),
    _case(Annotated[int, Limits(ge=-3, lt=9)], st.integers(-3, 8), "number"),
    _case(Annotated[float, pydantic.Field(gt=0, le=1)], st.floats(0, 1, exclude_min=True), "number"),
    _case(Annotated[str, Limits(min_length=1, max_length=3)], st.text(min_size=1, max_size=3), "string"),
    _case(Annotated[str, Limits(pattern="^[ab]+$")], st.text("ab", min_size=1, max_size=5), "string"),
]  # fmt: skip

_NAMES = st.lists(
    st.text(string.ascii_lowercase, min_size=1, max_size=4).map(lambda name: "f_" + name),
    min_size=1, max_size=3, unique=True,
)  # fmt: skip
_numbers = iter(range(1 << 62))


def _name(kind: str) -> str:
    return f"{kind}{next(_numbers)}"


@st.composite
def _containers(draw: st.DrawFn, inner: st.SearchStrategy[Case]) -> Case:
    made = draw(st.sampled_from(["list", "set", "frozenset", "tuple", "tuple...", "dict", "optional", "union"]))
    one = draw(inner)
    few = st.lists(one.values, max_size=3)
    if made in ("set", "frozenset") and one.hashable:
        make = {"set": set, "frozenset": frozenset}[made]
        return _case(make[one.hint], few.map(make), "array", hashable=made == "frozenset")
    if made == "tuple":
        other = draw(inner)
        values = st.tuples(one.values, other.values)
        return _case(tuple[one.hint, other.hint], values, "array", hashable=one.hashable and other.hashable)
    if made == "tuple...":
        return _case(tuple[one.hint, ...], few.map(tuple), "array", hashable=one.hashable)
    if made == "dict":
        values = st.dictionaries(st.text(max_size=4), one.values, max_size=3)
        return _case(dict[str, one.hint], values, "object", hashable=False)
    if made == "optional":
        return Case(Optional[one.hint], st.none() | one.values, one.kinds | {"null"}, one.hashable)  # noqa: UP045
    if made == "union":
        other = draw(inner)
        if not one.kinds & other.kinds:
            both = one.values | other.values
            hint = Union[one.hint, other.hint]  # noqa: UP007
            return Case(hint, both, one.kinds | other.kinds, one.hashable and other.hashable)
    return _case(list[one.hint], few, "array", hashable=False)


@st.composite
def _records(draw: st.DrawFn, inner: st.SearchStrategy[Case]) -> Case:
    names = draw(_NAMES)
    members = {name: draw(inner) for name in names}
    made = draw(st.sampled_from(["dataclass", "typeddict", "namedtuple", "model"]))
    hints = {name: member.hint for name, member in members.items()}
    strategies = {name: member.values for name, member in members.items()}
    if made == "typeddict":
        hint: Any = typing.TypedDict(_name("Dict"), {n: typing.NotRequired[h] for n, h in hints.items()})  # type: ignore[operator]
        return _case(hint, st.fixed_dictionaries({}, optional=strategies), "object", hashable=False)
    if made == "namedtuple":
        hint = collections.namedtuple(_name("Tuple"), names)
        hint.__annotations__ = hints
    elif made == "dataclass":
        hint = dataclasses.make_dataclass(_name("Data"), list(hints.items()))
    else:
        simple = all(_for_pydantic(hint) for hint in hints.values())
        if not simple:
            hints, strategies = {"f_n": int}, {"f_n": st.integers(-(2**60), 2**60)}
        hint = pydantic.create_model(_name("Model"), **{n: (h, ...) for n, h in hints.items()})  # type: ignore[call-overload]
    values = st.fixed_dictionaries(strategies).map(lambda given: hint(**given))
    return _case(hint, values, "object", hashable=False)


def _for_pydantic(hint: Any) -> bool:
    """Models hold what pydantic writes and reads by itself in the same way."""
    return hint in (str, bool, datetime.date, uuid.UUID) or hint == list[str]


CASES = st.recursive(st.sampled_from(SCALARS), lambda inner: _containers(inner) | _records(inner), max_leaves=5)
