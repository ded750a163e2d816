"""The short way of plain requests: it answers what the ordinary way answers, and only when that is durable."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.http_server import Client, serving
from tests.gateway.plane import Answer, GatewayPlane, endpoint, running, until
from tests.store.test_failing_disk import Disk
from zeroidle.gateway.heads import Heads

KEY = "k" * 40
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayPlane, GatewayPlane]]:
    """Two planes that differ in one thing: only the first has the short way."""

    def made(quick: bool) -> Any:
        folder = tmp_path_factory.mktemp("quick" if quick else "ordinary")
        small = endpoint("small", max_body_bytes=100, max_body_sync_bytes=60)
        endpoints = {"echo": endpoint("echo"), "idle": endpoint("idle"), "small": small}
        return running(folder, quick=quick, endpoints=endpoints)

    with made(True) as first, made(False) as second:
        first.add_key(KEY)
        second.add_key(KEY)
        yield first, second


def _seen(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """What has to be the same: ids and times are each plane's own."""
    headers = {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")}
    text = re.sub(rb'"(delayTime|executionTime)":\d+', rb'"\1":0', answer.body)
    text = re.sub(rb"(sync-)?[0-9a-f-]{36}-u1", rb"\1ID", text)
    return answer.status, headers, text


BODIES = [
    b'{"input":{"n":1}}', b' {"input" : null } ', b'{"input":"\xc3\xa4"}', b'{"input":{}}', b"{}", b"", b"null", b"[1]",
    b"{", b'{"input":1}x', b'{"input":"\xff"}', b'{"input":1,"webhook":"no"}', b'{"input":1,"webhook":5}',
    b'{"input":1,"policy":{"ttl":1}}', b'{"input":1,"policy":{"ttl":60000,"lowPriority":true}}',
    b'{"input":1,"policy":{"no":1}}', b'{"input":1,"s3Config":{"accessId":"a"}}', b'{"input":1,"s3Config":3}',
    b'{"input":{"fail":"why"}}', b'{"input":{"chunks":[1,2]}}', b'{"input":1,"input":2}', b'{"input":"\\ud800"}',
    b'{"input":"' + b"x" * 100 + b'"}', b'{"input":' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"input":"' + b"y" * 300_000 + b'"}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:30].decode("latin-1"))
@pytest.mark.parametrize("path", ["/v2/echo/runsync", "/v2/echo/run", "/v2/small/run", "/v2/small/runsync"])
def test_both_ways_give_the_same_answer(both: tuple[GatewayPlane, GatewayPlane], path: str, body: bytes) -> None:
    if path == "/v2/small/runsync" and len(body) <= 60:
        path = "/v2/small/run"  # nobody works for this endpoint
    for _ in range(2):  # the second time, its head is known
        first, second = (_ask_twice(plane, "POST", path, body) for plane in both)
        assert [_seen(answer) for answer in first] == [_seen(answer) for answer in second]


def _ask_twice(plane: GatewayPlane, method: str, path: str, body: bytes, **headers: str) -> list[Answer]:
    """The same request twice on one connection, as far as the first answer leaves it open."""
    lines = {"host": "localhost", "authorization": f"Bearer {KEY}", "content-length": str(len(body)), **headers}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
    answers = []
    with Client(plane.port) as client:
        for _ in range(2):
            client.send(head.encode("latin-1") + body)
            answers.append(client.answer(method))
            if answers[-1].headers.get("connection") == "close":
                break
    return answers


REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("POST", "/v2/echo/runsync", {"authorization": KEY}),
    ("POST", "/v2/echo/runsync", {"authorization": "Bearer wrong"}),
    ("POST", "/v2/echo/runsync", {"authorization": ""}),
    ("POST", "/v2/echo/runsync", {"connection": "close"}),
    ("POST", "/v2/echo/runsync", {"connection": "Keep-Alive"}),
    ("POST", "/v2/echo/runsync", {"origin": "https://page.example"}),
    ("POST", "/v2/echo/runsync", {"content-type": "application/x-www-form-urlencoded"}),
    ("POST", "/v2/echo/runsync", {"content-type": "multipart/form-data; boundary=x"}),
    ("POST", "/v2/echo/runsync", {"content-encoding": "gzip"}),
    ("POST", "/v2/echo/runsync", {"content-encoding": "identity"}),
    ("POST", "/v2/echo/runsync", {"idempotency-key": ""}),
    ("POST", "/v2/echo/runsync?wait=1000", {}),
    ("POST", "/v2/echo/runsync?wait=x", {}),
    ("POST", "/v2/echo/runsync/", {}),
    ("POST", "/v2/echo/runsync/x", {}),
    ("POST", "/v2//runsync", {}),
    ("POST", "/v2/none/runsync", {}),
    ("POST", "/v2/%65cho/runsync", {}),
    ("POST", "/v2/LOCAL/run", {}),
    ("GET", "/v2/echo/runsync", {}),
    ("PUT", "/v2/echo/run", {}),
    ("DELETE", "/v2/echo/status/x", {}),
    ("OPTIONS", "/v2/echo/run", {}),
    ("OPTIONS", "/v2/echo/status/x", {}),
    ("OPTIONS", "/v2/echo/run", {"authorization": ""}),
    ("GET", "/v2/echo/status/x", {}),
    ("POST", "/v2/echo/status/x", {}),
    ("HEAD", "/v2/echo/status/x", {}),
    ("GET", "/v2/echo/status", {}),
    ("GET", "/v2/echo/status/", {}),
    ("GET", "/v2/echo/status/x/", {}),
    ("GET", "/v2/echo/health", {}),
    ("GET", "/v2", {}),
    ("GET", "/", {}),
]


@pytest.mark.parametrize(("method", "path", "headers"), REQUESTS, ids=str)
def test_odd_requests_are_answered_alike(
    both: tuple[GatewayPlane, GatewayPlane], method: str, path: str, headers: dict[str, str]
) -> None:
    body = b'{"input":{"n":1}}' if method in ("POST", "PUT") else b""
    first, second = (_ask_twice(plane, method, path, body, **headers) for plane in both)
    if path != "/v2/echo/health":
        assert [_seen(answer) for answer in first] == [_seen(answer) for answer in second]
    assert [answer.status for answer in first] == [answer.status for answer in second]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_status_is_the_same_at_every_stage(both: tuple[GatewayPlane, GatewayPlane], method: str) -> None:
    found = []
    for plane in both:
        waiting = json.loads(_ask_twice(plane, "POST", "/v2/idle/run", b'{"input":1}')[0].body)["id"]
        held = json.loads(_ask_twice(plane, "POST", "/v2/echo/run", b'{"input":{"progress":5}}')[0].body)["id"]
        ended = json.loads(_ask_twice(plane, "POST", "/v2/echo/runsync", b'{"input":{"a":1}}')[0].body)["id"]
        failed = json.loads(_ask_twice(plane, "POST", "/v2/echo/runsync", b'{"input":{"fail":"x"}}')[0].body)["id"]

        def held_shows(plane: GatewayPlane = plane, held: str = held) -> bool:
            return b'"output":5' in _ask_twice(plane, "GET", f"/v2/echo/status/{held}", b"")[0].body

        until(held_shows)
        paths = [f"/v2/idle/status/{waiting}", *(f"/v2/echo/status/{i}" for i in (held, ended, failed, waiting))]
        found.append([_seen(answer) for path in paths for answer in _ask_twice(plane, method, path, b"")])
        _ask_twice(plane, "POST", f"/v2/echo/cancel/{held}", b"")
    assert found[0] == found[1]


def test_many_requests_in_one_piece_are_answered_in_their_order(both: tuple[GatewayPlane, GatewayPlane]) -> None:
    one = b"POST /v2/echo/runsync HTTP/1.1\r\nhost: localhost\r\nauthorization: %b\r\ncontent-length: %d\r\n\r\n%b"
    bodies = [b'{"input":{"n":%d}}' % n for n in range(3000)]
    with Client(both[0].port) as client:
        client.send(b"".join(one % (KEY.encode(), len(body), body) for body in bodies))
        for n in range(len(bodies)):
            assert client.answer().json["output"] == {"n": n}


def _raw(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_a_thousand_answers_that_are_there_at_once_follow_one_that_is_not(
    both: tuple[GatewayPlane, GatewayPlane],
) -> None:
    plane = both[0]
    job_id = json.loads(_ask_twice(plane, "POST", "/v2/idle/run", b'{"input":1}')[0].body)["id"]
    with Client(plane.port) as client:
        one = _raw("GET", f"/v2/idle/status/{job_id}")
        client.send(_raw("POST", "/v2/idle/run", b'{"input":2}') + one * 1000 + _raw("GET", "/v2/echo/health") + one)
        assert client.answer().json["status"] == "IN_QUEUE"
        for _ in range(1000):
            assert client.answer().json["id"] == job_id
        assert "jobs" in client.answer().json
        assert client.answer().json["id"] == job_id


def test_nothing_is_begun_behind_an_answer_that_ends_the_connection(tmp_path: Path) -> None:
    with running(tmp_path) as plane:
        plane.add_key(KEY)
        job_id = plane.call("POST", "/v2/idle/run", {"input": 1}, {"authorization": KEY}).json["id"]
        plane.server.closing = True
        with Client(plane.port) as client:
            run = _raw("POST", "/v2/idle/run", b'{"input":2}')
            client.send(_raw("GET", f"/v2/idle/status/{job_id}") + run + run)
            answer = client.answer()
            assert answer.status == 200 and answer.headers["connection"] == "close"
            assert client.ended()
        until(lambda: plane.server.connections == 0)
        assert plane.store.counts("idle").queued == 1


def test_a_client_that_hangs_up_while_it_waits_loses_no_job(both: tuple[GatewayPlane, GatewayPlane]) -> None:
    plane = both[0]
    before = plane.store.counts("idle").queued
    with Client(plane.port) as client:
        body = b'{"input":1}'
        client.send(
            b"POST /v2/idle/runsync HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (KEY.encode(), len(body), body)
        )
        until(lambda: plane.store.counts("idle").queued == before + 1)
    until(lambda: plane.server.connections == 0)
    assert plane.store.counts("idle").queued == before + 1


def test_what_the_disk_does_not_take_is_not_accepted(tmp_path: Path) -> None:
    with running(tmp_path) as plane:
        for _ in range(300):
            assert plane.call("POST", "/v2/idle/run", {"input": "f" * 2000}).status == 200
        with Disk(tmp_path, plane.store._journal.pid).failing():
            for path in ("/v2/idle/run", "/v2/echo/runsync"):
                answer = plane.call("POST", path, {"input": "x" * 20_000})
                assert answer.status == 503 and answer.headers["retry-after"] == "5", answer.body
        until(lambda: plane.store.counts("idle").queued == 300)
        assert plane.call("POST", "/v2/echo/runsync", {"input": 5}).json["output"] == 5


def test_a_plane_that_closes_answers_who_waits(tmp_path: Path) -> None:
    with running(tmp_path) as plane, Client(plane.port) as client:
        client.send(b'POST /v2/idle/runsync HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n{"input":1}')
        until(lambda: plane.store.counts("idle").queued == 1)
        plane.loop.run(plane.store.close())
        answer = client.answer()
        assert answer.status in (200, 503)
        if answer.status == 200:
            assert answer.json["status"] == "IN_QUEUE"


@pytest.mark.parametrize(("query", "kept_s"), [("", 60), ("?wait=1000", 60), ("?wait=300000", 300)])
def test_a_result_is_kept_as_long_as_its_caller_was_ready_to_wait(tmp_path: Path, query: str, kept_s: float) -> None:
    with running(tmp_path) as plane:
        job_id = plane.call("POST", f"/v2/echo/runsync{query}", {"input": 1}).json["id"]
        db = sqlite3.connect(tmp_path / "zeroidle.db")
        (found,) = db.execute("SELECT forget_at - finished_at FROM job WHERE id = ?", (job_id,)).fetchone()
        db.close()
        assert found == pytest.approx(kept_s, abs=0.01)


def test_how_long_a_result_is_kept_outlives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as plane, Client(plane.port) as client:
        path = b"/v2/echo/runsync?wait=200000"
        body = b'{"input":{"hold":true}}'
        client.send(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path, len(body), body))
        until(lambda: plane.store.counts("echo").in_progress == 1)
        (job,) = plane.loop.run(plane.store.list_jobs("echo"))
    with running(tmp_path) as plane:
        plane.call("POST", f"/v2/echo/cancel/{job.id}")
        db = sqlite3.connect(tmp_path / "zeroidle.db")
        (found,) = db.execute("SELECT forget_at - finished_at FROM job WHERE id = ?", (job.id,)).fetchone()
        db.close()
        assert found == pytest.approx(200, abs=0.01)


HEADS = [
    b"Host: a\r\nContent-Length: 3", b"Host: a\r\nContent-Length: 3\r\nX: 1\r\nX: 2", b"Host: a\r\nContent-Length:3",
    b"hOST:   a  \r\ncontent-LENGTH: 03", b"Host: a\r\nContent-Length: +3", b"Host: a\r\nContent-Length: 3, 3",
    b"Host: a\r\nContent-Length: 3\r\nContent-Length: 3", b"Host: a\r\nContent-Length: 3\r\nContent-Length: 4",
    b"Host: a\r\nHost: b\r\nContent-Length: 3", b"Content-Length: 3", b"Host: a\r\n folded\r\nContent-Length: 3",
    b"Host: a\r\nTransfer-Encoding: chunked", b"Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
    b"Host: a\nContent-Length: 3", b"Host : a\r\nContent-Length: 3", b"Host: a\r\nX\r\nContent-Length: 3",
    b"Host: a\r\nExpect: 100-continue\r\nContent-Length: 3", b"Host: a\r\nUpgrade: h2c\r\nContent-Length: 3",
    b"Host: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 3",
    b"Host: a\r\nConnection: close\r\nContent-Length: 3",
    b"Host: a\r\nProxy-Connection: close\r\nContent-Length: 3",
    b"Host: a\r\nConnection: keep-alive, x\r\nContent-Length: 3", b"Host: \xe4\r\nContent-Length: 3\r\nA: \xff\tb",
    b"Host: a\r\nContent-Length: 3\r\nA: b\x00c", b"Host: a\r\nContent-Length: 99999999999999999999",
    b"Host: a\r\nContent-Length: ", b"Host: a\r\nContent-Length: -1", b"Host: a\r\nTE: trailers\r\nContent-Length: 3",
    b"Host: a\r\nContent-Length: 0003", b"Host: a", b"Host: a\r\nContent-Length: 0",
]  # fmt: skip


def test_a_head_that_came_before_means_the_same_again(tmp_path: Path) -> None:
    """Each request whole, in pieces and whole again, from two connections: all that the server sends is the same."""
    requests = [
        b"%b /a/b HTTP/1.1\r\n%b\r\n\r\nabc" % (method, lines) for method in (b"POST", b"GET") for lines in HEADS
    ]
    with serving(tmp_path, head_s=0.5, body_s=0.5, linger_s=0.5, idle_s=0.5) as server:
        rounds = []
        for cut in (None, 0.5, None, 0.1):
            clients = [Client(server.port) for _ in requests]
            for client, data in zip(clients, requests, strict=True):
                at = len(data) if cut is None else int(len(data) * cut)
                client.send(data[:at])
            if cut is not None:
                time.sleep(0.05)  # so that the pieces arrive apart; what is expected does not depend on it
            for client, data in zip(clients, requests, strict=True):
                with suppress(ConnectionError):  # refused at the first piece
                    client.send(data[len(data) if cut is None else int(len(data) * cut) :])
            rounds.append([_everything(client) for client in clients])
        assert server.server.heads.match(requests[0]) is not None  # it was not parsed again
    for data, *found in zip(requests, *rounds, strict=True):
        assert len(set(found)) == 1, (data, found)


def test_only_one_whole_request_is_known_again() -> None:
    heads = Heads()
    head, body = b"POST /v2/e/run HTTP/1.1\r\nHost: a\r\nContent-Length: 3", b"abc"
    whole = head + b"\r\n\r\n" + body
    heads.learn(b"Host: a\r\nContent-Length: 3", {"host": "a", "content-length": "3"})
    for _ in range(2):  # the second time with its first line
        for end in range(len(whole)):
            assert heads.match(whole[:end]) is None, whole[:end]
        for data in (whole + b"d", whole + whole, b"x" + whole, whole.replace(b"Host", b"host")):
            assert heads.match(data) is None, data
        found = heads.match(whole)
        assert found is not None and (found.method, found.path) == ("POST", "/v2/e/run")
        assert whole[found.body_at :] == body
        other = heads.match(whole.replace(b"/e/run", b"/f/run"))
        assert other is not None and other.path == "/v2/f/run"


def _everything(client: Client) -> bytes:
    """All that the server sends until it closes, dates left out."""
    with client:
        return re.sub(rb"date: [^\r]*", b"date", client.file.read())
