"""Whatever bytes come, in whatever pieces: valid requests are all answered, others get an error, nothing hangs."""

from __future__ import annotations

import hashlib
import itertools
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.http_server import HttpServer, serving

PATIENT = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_!#$%&'*+.^`|~", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f,"), max_size=30)
FRAMING = {
    "host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "proxy-connection", "keep-alive",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A valid request with a body, and the body."""
    body = draw(st.binary(max_size=300))
    path = draw(st.text("abc/~-._%20", max_size=10)).replace("%", "%25")
    lines = [f"POST /echo{path} HTTP/1.1", "Host: x"]
    for name in draw(st.lists(TOKEN, max_size=4, unique_by=str.lower)):
        if name.lower() not in FRAMING:
            lines.append(f"{name}:{draw(st.sampled_from(['', ' ', '  ']))}{draw(VALUE)}")
    if draw(st.booleans()):
        lines.append(f"Content-Length: {len(body)}")
        payload = body
    else:
        lines.append("Transfer-Encoding: chunked")
        size = draw(st.integers(1, 300))
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        payload = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + payload, body


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data in pieces."""
    at = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(at)]


@PATIENT
@given(sent=st.lists(requests(), min_size=1, max_size=5), cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_valid_requests_are_all_answered_in_order(
    server: HttpServer, sent: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    with server.connect() as client:
        client.send(*split(b"".join(raw for raw, _ in sent), cuts))
        for _, body in sent:
            answer = client.answer()
            assert answer.status == 200, answer.body
            assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()


def read_all(server: HttpServer, pieces: list[bytes]) -> list[int]:
    """The statuses of all answers to these bytes, after which the client says that no more will come."""
    with server.connect() as client:
        try:
            client.send(*pieces)
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused in the middle
        statuses = []
        while client.file.peek(1):
            statuses.append(client.answer().status)
        return statuses


@PATIENT
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 10_000), max_size=6))
def test_any_bytes_end_without_a_fault_of_ours(server: HttpServer, data: bytes, cuts: list[int]) -> None:
    assert all(status < 500 for status in read_all(server, split(data, cuts)))


@PATIENT
@given(
    sent=st.lists(requests(), min_size=1, max_size=3),
    at=st.integers(0, 10_000),
    junk=st.binary(min_size=1, max_size=20),
    remove=st.integers(0, 20),
    cuts=st.lists(st.integers(0, 10_000), max_size=6),
)
def test_damaged_requests_end_without_a_fault_of_ours(
    server: HttpServer, sent: list[tuple[bytes, bytes]], at: int, junk: bytes, remove: int, cuts: list[int]
) -> None:
    data = b"".join(raw for raw, _ in sent)
    at %= len(data) + 1
    data = data[:at] + junk + data[at + remove :]
    assert all(status < 500 for status in read_all(server, split(data, cuts)))


@PATIENT
@given(sent=requests(), at=st.integers(0, 10_000))
def test_a_request_that_stops_in_the_middle_leaves_nothing(
    server: HttpServer, sent: tuple[bytes, bytes], at: int
) -> None:
    raw, _ = sent
    read_all(server, [raw[: at % len(raw)]])
    assert not list(server.spool.iterdir())
    with server.connect() as client:
        client.send(raw)
        assert client.answer().status == 200
