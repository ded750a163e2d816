"""Who may come in, and what a browser is told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.gateway.plane import GatewayPlane, running
from zeroidle.errors import StoreError, StoreFull


@pytest.fixture
def locked(tmp_path: Path) -> GatewayPlane:
    with running(tmp_path) as plane:
        plane.add_key("sesame")
        yield plane


def test_without_a_key_made_any_key_or_none_comes_in(plane: GatewayPlane) -> None:
    for headers in ({}, {"Authorization": "Bearer whatever"}, {"Authorization": "whatever"}):
        assert plane.call("GET", "/v2/echo/health", headers=headers).status == 200


@pytest.mark.parametrize("credentials", ["Bearer sesame", "bearer sesame", "sesame", "Bearer  sesame "])
def test_a_key_comes_in_bare_or_as_bearer(locked: GatewayPlane, credentials: str) -> None:
    assert locked.call("GET", "/v2/echo/health", headers={"Authorization": credentials}).status == 200


@pytest.mark.parametrize("credentials", [None, "", "Bearer", "Bearer ", "Bearer Sesame", "Basic sesame", "sesame x"])
@pytest.mark.parametrize("path", ["/v2/echo/health", "/metrics", "/openapi.json", "/v2/nobody/health"])
def test_without_the_key_nothing_is_told(locked: GatewayPlane, credentials: str | None, path: str) -> None:
    headers = {} if credentials is None else {"Authorization": credentials}
    answer = locked.call("GET", path, headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization" in answer.error
    assert "sesame" not in answer.body.decode()


def test_the_digest_of_a_key_is_no_key(locked: GatewayPlane) -> None:
    digest = hashlib.sha256(b"sesame").hexdigest()
    assert locked.call("GET", "/v2/echo/health", headers={"Authorization": digest}).status == 401


def test_a_large_body_without_the_key_is_not_received(locked: GatewayPlane) -> None:
    body = b'{"input": "' + b"x" * 1_000_000 + b'"}'
    assert locked.call("POST", "/v2/echo/run", body).status == 401
    assert not list(locked.store.spool.glob("body-*"))


def test_healthz_needs_no_key(locked: GatewayPlane) -> None:
    answer = locked.call("GET", "/healthz")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize("origin", ["https://example.com", "http://192.168.0.1.example.com", "null"])
def test_a_foreign_page_may_not_use_a_plane_without_keys(plane: GatewayPlane, origin: str) -> None:
    answer = plane.call("POST", "/v2/echo/run", {"input": 1}, {"Origin": origin})
    assert answer.status == 403
    assert origin in answer.error


@pytest.mark.parametrize("host", ["evil.example.com", "evil.example.com:8000"])
def test_a_foreign_name_may_not_use_a_plane_without_keys(plane: GatewayPlane, host: str) -> None:
    answer = plane.call("GET", "/v2/echo/health", headers={"Host": host})
    assert answer.status == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:80"])
def test_a_page_of_this_machine_may(plane: GatewayPlane, origin: str) -> None:
    answer = plane.call("GET", "/v2/echo/health", headers={"Origin": origin})
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_browser_with_a_key_is_told_that_it_may_call(locked: GatewayPlane) -> None:
    asked = {
        "Origin": "https://example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-mine",
        "Access-Control-Request-Private-Network": "true",
    }
    answer = locked.call("OPTIONS", "/v2/echo/run", headers=asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type,x-mine"
    assert answer.headers["access-control-allow-private-network"] == "true"
    page = {"Origin": "https://example.com", "Authorization": "Bearer sesame"}
    answer = locked.call("POST", "/v2/echo/runsync", {"input": 1}, page)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    # A page must be able to read why it was refused, too.
    answer = locked.call("GET", "/v2/echo/health", headers={"Origin": "https://example.com"})
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == "*"


def test_other_paths_are_not_for_foreign_pages(locked: GatewayPlane) -> None:
    answer = locked.call("GET", "/metrics", headers={"Origin": "https://x.y", "Authorization": "sesame"})
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers


class FailingKeys:
    """Stands for a disk that fails when the keys are read."""

    def __init__(self, error: StoreError) -> None:
        self._error = error

    async def list_keys(self) -> dict[str, str]:
        raise self._error


@pytest.mark.parametrize(
    ("error", "word"), [(StoreFull(), "full"), (StoreError("/secret/path is broken"), "server's log")]
)
def test_a_store_that_fails_gives_503(tmp_path: Path, error: StoreError, word: str) -> None:
    with running(tmp_path) as plane:
        plane.auth._store = FailingKeys(error)
        plane.auth._digests = None
        answer = plane.call("GET", "/v2/echo/health")
        assert answer.status == 503
        assert word in answer.error
        assert "secret" not in answer.error
        assert answer.headers["retry-after"]
