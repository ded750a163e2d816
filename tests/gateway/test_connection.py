"""HTTP/1.1 as clients, proxies and attackers send it, byte by byte over a real socket."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.http_server import HttpServer, serving
from tests.gateway.plane import until

HOST = b"host: x\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


def post(body: bytes, path: bytes = b"/a") -> bytes:
    return b"POST %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (path, HOST, len(body), body)


def test_one_connection_serves_many_requests(server: HttpServer) -> None:
    with server.connect() as client:
        for n in range(5):
            client.send(b"GET /%d?a=1&b=2 HTTP/1.1\r\n%b\r\n" % (n, HOST))
            answer = client.answer()
            assert answer.status == 200
            assert answer.json["path"] == f"/{n}"
            assert answer.json["query"] == "a=1&b=2"
            assert "date" in answer.headers


def test_pipelined_requests_are_answered_in_order(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"".join(post(b"x" * n, b"/%d" % n) for n in range(20)))
        for n in range(20):
            answer = client.answer()
            assert (answer.json["path"], answer.json["size"]) == (f"/{n}", n)


def test_a_body_in_chunks(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n")
        client.send(b"5\r\nhel", b"lo\r\n", b"6;note=x\r\n world\r\n", b"0\r\ntrailer: y\r\n\r\n")
        answer = client.answer()
        assert answer.json["sha256"] == hashlib.sha256(b"hello world").hexdigest()
        client.send(post(b"again"))
        assert client.answer().json["size"] == 5


@pytest.mark.parametrize("size", [256 * 1024 - 1, 256 * 1024, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_lies_in_a_file(server: HttpServer, size: int, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    with server.connect() as client:
        if chunked:
            client.send(b"POST /a HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n")
            client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (size, body))
        else:
            client.send(post(body))
        answer = client.answer()
    assert answer.json["size"] == size
    assert answer.json["spooled"] == (size >= 256 * 1024)
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
    assert not list(server.spool.iterdir())


def test_expect_100_continue(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\n" + HOST + b"content-length: 5\r\nexpect: 100-continue\r\n\r\n")
        assert client.answer().status == 100
        client.send(b"hello")
        assert client.answer().json["size"] == 5


def test_a_body_that_came_unasked_needs_no_continue(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\n" + HOST + b"content-length: 5\r\nexpect: 100-continue\r\n\r\nhello")
        answer = client.answer()
        if answer.status == 100:  # the head arrived by itself
            answer = client.answer()
        assert answer.json["size"] == 5


@pytest.mark.parametrize("expect", [b"", b"expect: 100-continue\r\n"])
def test_413_comes_before_the_body(server: HttpServer, expect: bytes) -> None:
    with server.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\n" + HOST + b"content-length: 5000000\r\n" + expect + b"\r\n")
        answer = client.answer()
        assert answer.status == 413
        assert "4194304" in answer.error
        assert answer.headers["connection"] == "close"
        assert client.ended()


def test_413_in_the_middle_of_chunks(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n")
        block = b"%x\r\n%b\r\n" % (1 << 20, b"x" * (1 << 20))
        client.send(*[block] * 6)
        assert client.answer().status == 413
    assert not list(server.spool.iterdir())


def test_http_1_0_closes_unless_asked(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        assert client.answer().headers["connection"] == "keep-alive"
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.answer().status == 200
        assert client.ended()


def test_connection_close_is_honoured(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")
        assert client.answer().headers["connection"] == "close"
        assert client.ended()


def test_a_stream_is_sent_in_chunks(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"GET /stream?3 HTTP/1.1\r\n" + HOST + b"\r\n")
        answer = client.answer()
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.body == b"chunk 0\nchunk 1\nchunk 2\n"
        client.send(b"HEAD /stream?3 HTTP/1.1\r\n" + HOST + b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.answer("HEAD").body == b""
        assert client.answer().status == 200


def test_a_stream_that_breaks_does_not_look_complete(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"GET /broken-stream HTTP/1.1\r\n" + HOST + b"\r\n")
        with pytest.raises((ConnectionError, ValueError)):
            client.answer()


def test_files_are_sent_whole_and_a_missing_one_is_404(server: HttpServer) -> None:
    content = b"0123456789abcdef" * 200_000
    (server.folder / "big").write_bytes(content)
    with server.connect() as client:
        client.send(b"GET /file?big HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.answer().body == b"<" + content + b">"
        client.send(b"GET /file?gone HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.answer().status == 404
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.answer().status == 200


def test_a_mistake_in_a_handler_is_500_and_the_connection_goes_on(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"GET /crash HTTP/1.1\r\n" + HOST + b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n")
        answer = client.answer()
        assert answer.status == 500
        assert "mistake" not in answer.error
        assert client.answer().status == 200


def test_a_client_that_leaves_ends_its_handler(server: HttpServer) -> None:
    server.loop.loop.call_soon_threadsafe(server.waiting.clear)
    before = len(server.ended)
    client = server.connect()
    client.send(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
    server.loop.run(_wait_for(server))
    client.close()
    until(lambda: len(server.ended) > before)


async def _wait_for(server: HttpServer) -> None:
    await server.waiting.wait()


MALFORMED = [
    b"\r\n\r\n\r\nnonsense\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"bad name: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"a: b\x00c\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",  # no Host
    b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"content-length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 1 2\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 0x10\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 99999999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: gzip\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\nxyz\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client
]


@pytest.mark.parametrize("raw", MALFORMED, ids=[repr(raw)[:50] for raw in MALFORMED])
def test_what_is_not_http_gets_400_and_the_end(server: HttpServer, raw: bytes) -> None:
    with server.connect() as client:
        client.send(raw)
        answer = client.answer()
        assert answer.status == 400
        assert answer.error.endswith(".")
        assert client.ended()


def test_answers_to_earlier_requests_come_before_the_refusal(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(post(b"one") + b"NONSENSE\r\n\r\n")
        assert client.answer().json["size"] == 3
        assert client.answer().status == 400


def test_an_upgrade_is_not_taken(server: HttpServer) -> None:
    upgrade = b"GET / HTTP/1.1\r\n" + HOST + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    with server.connect() as client:
        client.send(upgrade)
        assert client.answer().status == 200
        assert client.ended()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 66_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 200_000, 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"h%d: x\r\n" % n for n in range(200)) + b"\r\n", 431),
    ],
    ids=["long URL", "long header", "endless header", "many headers"],
)
def test_a_head_has_limits(server: HttpServer, raw: bytes, status: int) -> None:
    with server.connect() as client:
        client.send(raw)
        assert client.answer().status == status
        assert client.ended()


def test_slow_peers_are_ended_with_a_sentence(tmp_path: Path) -> None:
    with serving(tmp_path, head_s=0.2, body_s=0.2, idle_s=0.2, linger_s=0.2) as server:
        with server.connect() as head, server.connect() as body, server.connect() as idle:
            head.send(b"GET / HTTP/1.1\r\nhost")
            body.send(b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 9\r\n\r\nhel")
            assert head.answer().status == 408
            assert head.ended()
            assert body.answer().status == 408
            assert body.ended()
            assert idle.ended()
        until(lambda: server.server.connections == 0)


def test_a_body_that_drips_is_ended_although_it_moves(tmp_path: Path) -> None:
    with serving(tmp_path, body_s=0.5, body_bytes_per_s=1000.0) as server, server.connect() as client:
        stop = threading.Event()

        def drip() -> None:
            try:
                while not stop.wait(0.05):
                    client.send(b"x")
            except OSError:
                pass

        client.send(b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 100000\r\n\r\n")
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert client.answer().status == 408
        finally:
            stop.set()
            thread.join()


def test_a_peer_that_reads_nothing_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 30_000_000)
    with serving(tmp_path, write_s=0.2) as server, server.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(b"GET /file?big HTTP/1.1\r\n" + HOST + b"\r\n")
        until(lambda: server.server.connections == 0)


def test_closing_lets_a_running_request_end_and_drops_idle_connections(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.connect() as idle, server.connect() as busy:
        busy.send(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        server.loop.run(_wait_for(server))
        server.loop.run(server.server.close(0.1))
        assert idle.ended()
        assert server.ended == ["cancelled"]
        with pytest.raises(OSError):
            server.connect()
