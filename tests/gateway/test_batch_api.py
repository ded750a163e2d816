"""Batches over HTTP: the routes and states of RunPod's, results in order, clear refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.plane import GatewayPlane, endpoint, running
from zeroidle.gateway.validate import InputCheck

TYPES = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[GatewayPlane]:
    with running(tmp_path) as plane:
        yield plane


def make(plane: GatewayPlane, inputs: list[Any], name: str = "echo") -> str:
    """A draft with these inputs."""
    answer = plane.call("POST", f"/v2/{name}/batch", {"requests": [{"input": one} for one in inputs]})
    assert answer.status == 200, answer.body
    assert answer.json["status"] == "DRAFT" and answer.json["requestTotal"] == len(inputs)
    return str(answer.json["id"])


def results(plane: GatewayPlane, path: str, limit: int = 1000) -> list[Any]:
    """All requests of a batch, page by page."""
    found: list[Any] = []
    page: dict[str, Any] = {"next": 0}
    while "next" in page:
        page = plane.call("GET", f"{path}/requests?limit={limit}&offset={page['next']}").json
        found += page["requests"]
    return found


def test_a_batch_runs_from_draft_to_results(plane: GatewayPlane) -> None:
    made = plane.call("POST", "/v2/echo/batch", [{"input": 0}, {"input": 1}]).json
    path = f"/v2/echo/batch/{made['id']}"
    more = plane.call("POST", f"{path}/requests", {"requests": [{"input": {"fail": "no"}}, {"input": "last"}]}).json
    assert (more["requestTotal"], more["status"]) == (4, "DRAFT")
    assert [one["status"] for one in results(plane, path)] == ["DRAFT"] * 4
    assert len(plane.call("GET", f"{path}/requests?status=DRAFT").json["requests"]) == 4
    assert plane.call("GET", f"{path}/requests?status=IN_QUEUE").json == {"requests": [], "total": 4}
    named = plane.call("PUT", path, {"name": "night"}).json
    assert named["name"] == "night"
    assert plane.call("POST", f"{path}/finalize").json["status"] == "FINALIZED"
    over = plane.until(path, lambda batch: "endedAt" in batch)
    assert {key: over[key] for key in over if key.startswith("request")} == {
        "requestTotal": 4, "requestInProgress": 0, "requestCompleted": 3, "requestFailed": 1, "requestCancelled": 0,
    }  # fmt: skip
    assert made["createdAt"] <= over["finalizedAt"] <= over["endedAt"]
    found = results(plane, path, limit=3)
    assert [(one["status"], one.get("output", one.get("error"))) for one in found] == [
        ("COMPLETED", 0), ("COMPLETED", 1), ("FAILED", "no"), ("COMPLETED", "last"),
    ]  # fmt: skip
    assert plane.call("GET", f"{path}/requests?status=DRAFT").json == {"requests": [], "total": 4}
    failed = plane.call("GET", f"{path}/requests?status=FAILED").json
    assert [one["id"] for one in failed["requests"]] == [found[2]["id"]] and failed["total"] == 4
    one = plane.call("GET", f"{path}/requests/{found[3]['id']}").json
    assert one == {"input": "last", "request": found[3]}
    assert plane.call("GET", f"/v2/echo/status/{found[3]['id']}").json == found[3]
    assert plane.call("GET", "/v2/echo/batch").json == {"batches": [plane.call("GET", path).json]}
    assert plane.call("HEAD", path).body == b""


def test_large_results_come_from_their_files(plane: GatewayPlane) -> None:
    texts = ["a" * 300_000, "b", "c" * 300_000]
    path = f"/v2/echo/batch/{make(plane, texts)}"
    plane.call("POST", f"{path}/finalize")
    plane.until(path, lambda batch: "endedAt" in batch)
    assert [one["output"] for one in results(plane, path)] == texts
    last = plane.call("GET", f"{path}/requests").json["requests"][2]
    assert plane.call("GET", f"{path}/requests/{last['id']}").json == {"input": texts[2], "request": last}


def test_a_draft_can_be_corrected(plane: GatewayPlane) -> None:
    path = f"/v2/echo/batch/{make(plane, [0, 1, 2])}"
    ids = [one["id"] for one in results(plane, path)]
    large = "x" * 400_000
    new = plane.call("PUT", f"{path}/requests/{ids[1]}", {"input": large}).json
    assert new == {"input": large, "request": {"id": ids[1], "status": "DRAFT"}}
    assert plane.call("DELETE", f"{path}/requests/{ids[0]}").json["requestTotal"] == 2
    assert plane.call("DELETE", f"{path}/requests/{ids[0]}").status == 404
    assert plane.call("PUT", f"{path}/requests/{ids[0]}", {"input": large}).status == 404
    plane.call("POST", f"{path}/finalize")
    plane.until(path, lambda batch: "endedAt" in batch)
    assert [one["output"] for one in results(plane, path)] == [large, 2]
    for method, sub, body in (
        ("POST", "/requests", [{"input": 1}]),
        ("PUT", f"/requests/{ids[1]}", {"input": 1}),
        ("DELETE", f"/requests/{ids[1]}", None),
    ):
        refused = plane.call(method, path + sub, body)
        assert refused.status == 409 and "FINALIZED" in refused.error
    assert len(list((plane.store.spool).iterdir())) == 2  # the large input and its output, no leftovers


def test_a_cancelled_batch_ends(plane: GatewayPlane) -> None:
    path = f"/v2/idle/batch/{make(plane, [1, 2], 'idle')}"
    plane.call("POST", f"{path}/finalize")
    assert plane.call("GET", "/v2/idle/health").json["jobs"]["inQueue"] == 2
    cancelled = plane.call("POST", f"{path}/cancel").json
    assert (cancelled["status"], cancelled["requestCancelled"]) == ("CANCELLED", 2) and "endedAt" in cancelled
    assert [one["status"] for one in results(plane, path)] == ["CANCELLED"] * 2
    assert plane.call("POST", f"{path}/finalize").status == 409
    empty = plane.call("POST", "/v2/idle/batch").json
    assert plane.call("POST", f"/v2/idle/batch/{empty['id']}/finalize").status == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "batch", b"{", 400, "not valid JSON"),
        ("POST", "batch", [{"input": 1}, {"inputs": 1}], 400, 'requests[1]: The body has no "input"'),
        ("POST", "batch", {"requests": 5}, 400, "$.requests"),
        ("POST", "batch", {"request": []}, 400, "unknown field `request`"),
        ("POST", "batch", [{"input": 1, "policy": {"ttl": 1}}], 400, "requests[0]: policy.ttl is 1 ms"),
        ("POST", "batch", {"webhook": "nowhere"}, 400, "webhook is 'nowhere'"),
        ("POST", "batch", {"name": "x" * 256}, 400, "at most 255"),
        ("POST", "batch", [{"input": 0}] * 10_001, 400, "one call takes 10000"),
        ("POST", "batch", b"[" + b'{"input":"' + b"x" * 11_000_000 + b'"}]', 413, "larger than"),
        ("PUT", "batch/b", {"requests": [{"input": 1}]}, 400, "Only the name"),
        ("PUT", "batch/b", {}, 400, "Only the name"),
        ("PUT", "batch/b", [], 400, "Only the name"),
        ("PUT", "batch/b", {"name": "x"}, 404, "no batch 'b'"),
        ("POST", "batch", b'{"name":"\\ud800"}', 400, "the name of a batch cannot hold half"),
        ("POST", "batch/b/requests", {"requests": []}, 400, "no requests in the body"),
        ("POST", "batch/b/requests", [{"input": 1}], 404, "no batch 'b'"),
        ("POST", "batch/b/requests", {"requests": [{"input": 1}], "name": "x"}, 400, "when it is made"),
        ("GET", "batch/b/requests?status=DONE", None, 400, "status is 'DONE'"),
        ("GET", "batch?limit=0", None, 400, "limit is '0'"),
        ("GET", "batch/b/requests?offset=-1", None, 400, "offset is '-1'"),
        ("GET", "batch/b/requests/r", None, 404, "no batch 'b'"),
        ("POST", "batch/b", None, 405, "takes GET, PUT, HEAD"),
        ("GET", "batch/b/finalize", None, 405, "takes POST"),
        ("POST", "batch/b/start", None, 404, "there is: /batch"),
        ("POST", "batch/b//r", None, 404, "there is: /batch"),
        ("PUT", "run", {"input": 1}, 405, "takes POST"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_a_sentence(
    plane: GatewayPlane, method: str, path: str, body: Any, status: int, said: str
) -> None:
    answer = plane.call(method, f"/v2/echo/{path}", body)
    assert (answer.status, said in answer.error) == (status, True), answer.error
    assert plane.call("GET", "/v2/echo/batch").json == {"batches": []}


def test_one_wrong_input_refuses_all_of_its_call(tmp_path: Path) -> None:
    endpoints = {"echo": endpoint("echo", input_schema=TYPES)}
    with running(tmp_path, endpoints=endpoints, check=InputCheck()) as plane:
        refused = plane.call("POST", "/v2/echo/batch", [{"input": {"n": 1}}, {"input": {"n": "x"}}])
        assert refused.status == 400 and refused.error.startswith("requests[1]: ")
        assert plane.call("GET", "/v2/echo/batch").json == {"batches": []}
        assert make(plane, [{"n": 1}, {"n": 2}])


def test_runpods_limits_hold_where_they_are_asked_for(tmp_path: Path) -> None:
    with running(tmp_path, endpoints={"idle": endpoint("idle", rate_limits="runpod")}) as plane:
        batch = make(plane, [0] * 5000, "idle")
        refused = plane.call("POST", f"/v2/idle/batch/{batch}/requests", [{"input": 1}])
        assert refused.status == 400 and "5000" in refused.error
        for _ in range(9):
            make(plane, [0] * 5000, "idle")
        refused = plane.call("POST", "/v2/idle/batch")
        assert refused.status == 429 and "10 batches" in refused.error
        plane.call("POST", f"/v2/idle/batch/{batch}/cancel")
        last = make(plane, [1] * 4999, "idle")
        assert plane.call("POST", f"/v2/idle/batch/{last}/requests", [{"input": 1}]).status == 200


def test_a_large_body_leaves_no_file(plane: GatewayPlane) -> None:
    batch = make(plane, ["x" * 10_000] * 100)
    assert list(plane.store.spool.iterdir()) == []
    path = f"/v2/echo/batch/{batch}"
    assert plane.call("POST", f"{path}/requests", [{"input": "x" * 400_000}, {"inputs": 1}]).status == 400
    assert plane.call("POST", f"{path}/finalize", b" " * 300_000).status == 413
    assert list(plane.store.spool.iterdir()) == []


def test_a_name_can_be_taken_away(plane: GatewayPlane) -> None:
    path = f"/v2/echo/batch/{make(plane, [])}"
    assert plane.call("PUT", path, {"name": "night"}).json["name"] == "night"
    assert "name" not in plane.call("PUT", path, {"name": None}).json


def test_a_batch_needs_the_key_as_all_do(plane: GatewayPlane) -> None:
    plane.add_key("secret")
    assert plane.call("POST", "/v2/echo/batch").status == 401
    assert plane.call("POST", "/v2/echo/batch", None, {"authorization": "Bearer secret"}).status == 200


def test_half_a_surrogate_pair_is_carried_as_it_came(plane: GatewayPlane) -> None:
    body = b'[{"input":"\\ud800"},{"input":"\xc3\xa4"}]'
    made = plane.call("POST", "/v2/echo/batch", body).json
    path = f"/v2/echo/batch/{made['id']}"
    first = plane.call("GET", f"{path}/requests").json["requests"][0]
    assert b'"input":"\\ud800"' in plane.call("GET", f"{path}/requests/{first['id']}").body
    assert plane.call("POST", "/v2/echo/batch", b'[{"input":"\xff"}]').status == 400
    assert json.loads(plane.call("GET", path).body)["requestTotal"] == 2
