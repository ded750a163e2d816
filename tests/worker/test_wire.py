"""Frames survive any way of cutting the byte stream, and nonsense is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroidle_worker import wire
from zeroidle_worker.current import Running

frames = st.lists(
    st.tuples(st.integers(wire.HELLO, wire.DRAIN), st.dictionaries(st.text(), st.integers()), st.binary(max_size=300))
)


@given(frames, st.integers(1, 40))
def test_any_cut_of_the_stream_gives_the_same_frames(items: list[tuple[int, dict[str, int], bytes]], step: int) -> None:
    data = b"".join(wire.pack(*item) for item in items)
    unpacker = wire.Unpacker()
    got = [frame for at in range(0, len(data), step) for frame in unpacker.feed(data[at : at + step])]
    assert [tuple(frame) for frame in got] == items


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x06\x01\x00\x00\x00\x01[", b"\0" * 20])
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(wire.ProtocolError):
        list(wire.Unpacker().feed(data))


@pytest.mark.parametrize("text", [" 1 ", "1\n", '{"a": [1]}', '"\\ud800"', "NaN"])
def test_a_value_is_what_json_says(text: str) -> None:
    assert repr(wire.value(text)) == repr(json.loads(text))


@pytest.mark.parametrize("text", ["", "1 2", "[1", "{} x", "\ufeff1"])
def test_what_is_not_one_json_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        wire.value(text)


@given(st.text(min_size=1))
def test_an_id_is_written_as_json(job_id: str) -> None:
    assert json.loads(Running(job_id, 1).id_json) == job_id
