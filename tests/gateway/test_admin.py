"""The admin API over HTTP: who may ask, and what is refused."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.up import HANDLER, Up


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("admin"), "handler.py", "--env", "SECRET_WORD=xyzzy", files={"handler.py": HANDLER})
    try:
        yield up
        up.end()
    finally:
        up.kill()


def ask(plane: Up, method: str, path: str, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(plane.url.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        connection.close()


def token(plane: Up) -> str:
    text: str = json.loads((plane.data / "plane.json").read_text())["admin_token"]
    return text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/admin", 404),
        ("GET", "/admin/nothing", 404),
        ("POST", "/admin/endpoints", 404),
        ("GET", "/admin/endpoints/none", 404),
        ("GET", "/admin/jobs?status=DONE", 400),
        ("GET", "/admin/jobs?limit=0", 400),
        ("GET", "/admin/jobs?limit=9999999999999999999", 400),
        ("GET", "/admin/jobs?endpoint=none", 404),
        ("GET", "/admin/jobs/none", 404),
        ("POST", "/admin/jobs/none/cancel", 404),
        ("GET", "/admin/why/none", 404),
        ("GET", "/admin/logs/none", 404),
        ("GET", "/admin/logs/handler?lines=-1", 400),
        ("GET", "/admin/logs/handler?wait=inf", 400),
        ("GET", "/admin/logs/handler?after=x", 400),
        ("GET", "/admin/webhooks?state=lost", 400),
        ("POST", "/admin/webhooks/none/redeliver", 404),
        ("POST", "/admin/keys/..%2F", 400),
        ("POST", "/admin/keys/-", 400),
        ("DELETE", "/admin/keys/none", 404),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(plane: Up, method: str, path: str, status: int) -> None:
    got, body = ask(plane, method, path, authorization=f"Bearer {token(plane)}")
    assert (got, list(body)) == (status, ["error"]) and body["error"].endswith((".", "keys", "list", "jobs"))


def test_no_secret_is_in_any_answer(plane: Up) -> None:
    for path in ("plane", "endpoints", "endpoints/handler", "jobs", "why/handler", "keys"):
        status, body = ask(plane, "GET", f"/admin/{path}")
        assert status == 200
        assert "xyzzy" not in json.dumps(body) and token(plane) not in json.dumps(body)


def test_keys_need_the_planes_own_token(plane: Up) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer "}):
        status, body = ask(plane, "POST", "/admin/keys/mine", **headers)
        assert status == 400 and "own machine" in body["error"]


def test_another_sites_page_may_not_ask(plane: Up) -> None:
    assert ask(plane, "GET", "/admin/endpoints", origin="https://evil.example")[0] == 403


def test_the_end_of_a_log_is_told_apart_from_its_pause(plane: Up) -> None:
    job = plane.ok("run", "handler", "text=one", "--detach").strip()
    plane.until_status(job, "COMPLETED")
    _, whole = ask(plane, "GET", f"/admin/logs/{job}")
    assert whole["parts"][0]["text"] == "working on one\n"
    after = f"{whole['parts'][0]['worker']}:{whole['parts'][0]['next']}"
    _, rest = ask(plane, "GET", f"/admin/logs/{job}?after={after}&wait=20")
    assert rest["done"] is True and rest["parts"][0]["text"] == ""
    _, live = ask(plane, "GET", f"/admin/logs/handler?after={after}")
    assert live["done"] is False
