"""A web server on loopback that gives good and bad answers, by path."""

from __future__ import annotations

import contextlib
import http.server
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

from zeroidle_worker.api.files import Audio

GOOD = Audio([0, 1, 2], 8000).bytes()


def png(width: int, height: int) -> bytes:
    """A PNG whose header states this size (the pixels are one short row: enough for a header check)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


class Server(http.server.ThreadingHTTPServer):
    """`asked` are the paths that were asked for; `dripped` is set when a slow answer has begun."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hostile)
        self.ended = threading.Event()
        self.dripped = threading.Event()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what is tested."""


class Hostile(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        what = self.path.split("?")[0].strip("/")
        self.server.asked.append(what)
        self.close_connection = True
        if what.startswith("redirect/"):
            self.begin(302, Location=what.removeprefix("redirect/").replace("!", ":") or "/good.wav")
        elif what == "loop":
            self.begin(302, Location="/loop")
        elif what == "endless":
            self.begin(200)
            with contextlib.suppress(OSError):
                while not self.server.ended.is_set():
                    self.wfile.write(b"x" * 65536)
        elif what == "short":
            self.begin(200, **{"Content-Length": "100"})
            self.wfile.write(b"x" * 10)
        elif what == "huge":
            self.begin(200, **{"Content-Length": str(1 << 40)})
        elif what.startswith("drip"):
            self.drip(what)
        elif what == "silent":
            self.server.ended.wait(60)
        else:
            body = {"good.wav": GOOD, "text.wav": b"this is no sound at all", "bomb.png": png(60000, 60000),
                    "zeros.gz": b"\x1f\x8b" + bytes(100), "empty": b""}.get(what)  # fmt: skip
            if body is None:
                self.send_error(404)
                return
            self.begin(200, **{"Content-Length": str(len(body)), "Content-Encoding": "gzip"})
            self.wfile.write(body)

    def begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status == 302:
            self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.flush()

    def drip(self, what: str) -> None:
        """Sends something now and then and never ends: in the body, the headers, or the length of a chunk."""
        if what == "drip":
            self.begin(200)
        elif what == "drip-chunk":
            self.begin(200, **{"Transfer-Encoding": "chunked"})
            self.wfile.write(b"5;")
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        self.server.dripped.set()
        with contextlib.suppress(OSError):
            while not self.server.ended.wait(0.02):
                self.wfile.write(b"x")
                self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """The server, while the block runs."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
