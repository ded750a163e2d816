"""`zeroidle webhooks` against a receiver that fails at first."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cli.up import HANDLER, Up, until


class Receiver(ThreadingHTTPServer):
    """Answers with `status` and keeps what came."""

    status = 500

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came: list[dict[str, object]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.came.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_failed_delivery_is_listed_explained_and_sent_again(start: Callable[..., Up], receiver: Receiver) -> None:
    up = start("handler.py", files={"handler.py": HANDLER})
    assert "There are no webhook deliveries" in up.call("webhooks", "list").stderr
    url = f"http://user:password@127.0.0.1:{receiver.server_address[1]}/hook?token=secret"
    job = json.loads(up.ok("run", "handler", "text=x", "--webhook", url, "--json"))["id"]

    def tried() -> dict[str, object] | None:
        found = up.data_of("webhooks", "list", "--state", "pending")["deliveries"]
        return found[0] if found and found[0]["attempts"] else None

    delivery = until(tried, "it was tried once")
    assert delivery["job_id"] == job and delivery["last_status"] == 500
    assert delivery["url"] == f"http://127.0.0.1:{receiver.server_address[1]}/hook?…"
    assert up.data_of("why", job)["verdict"]["code"] == "webhook-pending"
    receiver.status = 200
    up.ok("webhooks", "redeliver", str(delivery["id"]))
    until(lambda: up.data_of("webhooks", "list", "--state", "delivered")["deliveries"], "it is delivered")
    assert [came["status"] for came in receiver.came] == ["COMPLETED", "COMPLETED"]
    assert str(delivery["id"]) in up.ok("webhooks", "list")
    wrong = up.call("webhooks", "redeliver", "msg_nothing")
    assert wrong.returncode == 1 and len(wrong.stderr.splitlines()) == 1
