"""The client API over a real connection: its shapes, its states and its errors."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.plane import GatewayPlane, running
from zeroidle.job import Spooled

FINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}


def submit(plane: GatewayPlane, value: Any, name: str = "echo", **more: Any) -> str:
    """A job's id."""
    answer = plane.call("POST", f"/v2/{name}/run", {"input": value, **more})
    assert answer.status == 200, answer.body
    return str(answer.json["id"])


def finished(plane: GatewayPlane, job_id: str, name: str = "echo") -> Any:
    """The job object once the job has ended."""
    return plane.until(f"/v2/{name}/status/{job_id}", lambda job: job["status"] in FINAL)


def test_run_answers_id_and_state_and_status_gives_the_result(plane: GatewayPlane) -> None:
    answer = plane.call("POST", "/v2/echo/run", {"input": {"text": "hällo"}})
    assert answer.status == 200
    assert set(answer.json) == {"id", "status"}
    assert answer.json["status"] == "IN_QUEUE"
    assert re.fullmatch(r"[0-9a-f-]{36}-u1", answer.json["id"])
    job = finished(plane, answer.json["id"])
    assert job["output"] == {"text": "hällo"}
    assert set(job) == {"id", "status", "output", "delayTime", "executionTime", "workerId"}
    assert isinstance(job["delayTime"], int) and isinstance(job["executionTime"], int)
    assert job["workerId"] == "worker-echo"


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "", "text", [], [1, [2]], {}, {"a": {"b": None}}])
def test_any_json_is_an_input(plane: GatewayPlane, value: Any) -> None:
    answer = plane.call("POST", "/v2/echo/runsync", {"input": value})
    assert answer.status == 200
    assert answer.json["status"] == "COMPLETED"
    assert answer.json["output"] == value
    assert answer.json["id"].startswith("sync-")


def test_runsync_answers_the_state_when_the_wait_is_over(plane: GatewayPlane) -> None:
    answer = plane.call("POST", "/v2/idle/runsync?wait=1000", {"input": 1})
    assert answer.status == 200
    assert answer.json["status"] == "IN_QUEUE"
    assert answer.json["id"].startswith("sync-")


def test_status_sync_waits_for_the_end(plane: GatewayPlane) -> None:
    job_id = submit(plane, {"hold": True})
    plane.until(f"/v2/echo/status/{job_id}", lambda job: job["status"] == "IN_PROGRESS")
    assert plane.call("GET", f"/v2/echo/status-sync/{job_id}?wait=1000").json["status"] == "IN_PROGRESS"
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(plane.call("GET", f"/v2/echo/status-sync/{job_id}?wait=20000"))
    )
    waiting.start()
    plane.call("POST", f"/v2/echo/cancel/{job_id}")
    waiting.join(20)
    assert [answer.json["status"] for answer in answers] == ["CANCELLED"]


def test_a_running_job_shows_its_progress_as_output(plane: GatewayPlane) -> None:
    job_id = submit(plane, {"progress": {"step": 3}})
    job = plane.until(f"/v2/echo/status/{job_id}", lambda job: "output" in job)
    assert job["status"] == "IN_PROGRESS"
    assert job["output"] == {"step": 3}
    assert job["workerId"] == "worker-echo"
    assert "executionTime" not in job
    plane.call("POST", f"/v2/echo/cancel/{job_id}")


def test_a_failed_job_says_why_and_can_be_retried(plane: GatewayPlane) -> None:
    job_id = submit(plane, {"fail": "it broke"})
    job = finished(plane, job_id)
    assert job["status"] == "FAILED"
    assert job["error"] == "it broke"
    answer = plane.call("POST", f"/v2/echo/retry/{job_id}")
    assert answer.json == {"id": job_id, "status": "IN_QUEUE"}
    assert finished(plane, job_id)["status"] == "FAILED"


def test_only_failed_and_timed_out_jobs_are_retried(plane: GatewayPlane) -> None:
    job_id = submit(plane, "fine")
    finished(plane, job_id)
    answer = plane.call("POST", f"/v2/echo/retry/{job_id}")
    assert answer.status == 409
    assert "COMPLETED" in answer.error


def test_cancel_ends_a_waiting_job(plane: GatewayPlane) -> None:
    job_id = submit(plane, 1, "idle")
    assert plane.call("POST", f"/v2/idle/cancel/{job_id}").json == {"id": job_id, "status": "CANCELLED"}
    job = plane.call("GET", f"/v2/idle/status/{job_id}").json
    assert job["id"] == job_id and job["status"] == "CANCELLED"
    assert "output" not in job


def test_cancel_of_an_ended_job_changes_nothing(plane: GatewayPlane) -> None:
    job_id = submit(plane, 1)
    finished(plane, job_id)
    assert plane.call("POST", f"/v2/echo/cancel/{job_id}").json["status"] == "COMPLETED"


def test_purge_queue_counts_what_it_cancelled(plane: GatewayPlane) -> None:
    plane.call("POST", "/v2/idle/purge-queue")
    ids = [submit(plane, n, "idle") for n in range(3)]
    assert plane.call("POST", "/v2/idle/purge-queue").json == {"removed": 3, "status": "completed"}
    for job_id in ids:
        assert plane.call("GET", f"/v2/idle/status/{job_id}").json["status"] == "CANCELLED"
    assert plane.call("POST", "/v2/idle/purge-queue").json["removed"] == 0


def test_stream_gives_each_chunk_once_and_then_the_final_state(plane: GatewayPlane) -> None:
    chunks = [{"n": 1}, "two", None, [4]]
    job_id = submit(plane, {"chunks": chunks})
    seen = []
    while True:
        answer = plane.call("GET", f"/v2/echo/stream/{job_id}").json
        assert set(answer) == {"status", "stream"}
        seen += [item["output"] for item in answer["stream"]]
        if answer["status"] in FINAL and not answer["stream"]:
            break
    assert seen == chunks
    assert plane.call("GET", f"/v2/echo/stream/{job_id}").json == {"status": "COMPLETED", "stream": []}
    again = plane.call("GET", f"/v2/echo/stream/{job_id}?start=2").json
    assert [item["output"] for item in again["stream"]] == chunks[2:]


def test_stream_waits_no_longer_than_asked(plane: GatewayPlane) -> None:
    job_id = submit(plane, 1, "idle")
    answer = plane.call("GET", f"/v2/idle/stream/{job_id}?wait=0").json
    assert answer == {"status": "IN_QUEUE", "stream": []}


def test_health_counts_jobs_and_workers(plane: GatewayPlane) -> None:
    plane.call("POST", "/v2/idle/purge-queue")
    submit(plane, 1, "idle")
    health = plane.call("GET", "/v2/idle/health").json
    assert set(health["jobs"]) == {"completed", "failed", "inProgress", "inQueue", "retried"}
    assert health["jobs"]["inQueue"] == 1
    assert health["workers"] == dict.fromkeys(("idle", "initializing", "ready", "running", "throttled", "unhealthy"), 0)
    before = plane.call("GET", "/v2/echo/health").json["jobs"]["completed"]
    finished(plane, submit(plane, 1))
    health = plane.call("GET", "/v2/echo/health").json
    assert health["jobs"]["completed"] == before + 1
    assert health["workers"]["idle"] + health["workers"]["running"] == 1


def test_metrics_of_an_endpoint_name_its_ready_workers(plane: GatewayPlane) -> None:
    metrics = plane.call("GET", "/v2/echo/metrics").json
    assert metrics["readyWorkers"] == ["worker-echo"]
    assert set(metrics["workers"]) == {"idle", "initializing", "ready", "running", "throttled", "unhealthy"}


def test_requests_lists_the_newest_first_in_pages(plane: GatewayPlane) -> None:
    plane.call("POST", "/v2/idle/purge-queue")
    ids = [submit(plane, n, "idle") for n in range(5)]
    first = plane.call("GET", "/v2/idle/requests?status=IN_QUEUE&limit=3").json
    assert [row["id"] for row in first["requests"]] == ids[:1:-1]
    assert all(set(row) >= {"id", "status", "createdAt"} for row in first["requests"])
    second = plane.call("GET", f"/v2/idle/requests?status=IN_QUEUE&limit=3&before={first['next']}").json
    assert [row["id"] for row in second["requests"]] == ids[1::-1]
    assert "next" not in second


def test_an_idempotency_key_makes_one_job(plane: GatewayPlane) -> None:
    headers = {"Idempotency-Key": "order-7"}
    answers = [plane.call("POST", "/v2/idle/run", {"input": 1}, headers).json["id"] for _ in range(3)]
    assert len(set(answers)) == 1
    other = plane.call("POST", "/v2/idle/run", {"input": 1}, {"Idempotency-Key": "order-8"}).json["id"]
    assert other not in answers
    assert plane.call("POST", "/v2/idle/run", {"input": 1}, {"Idempotency-Key": "k" * 256}).status == 400


BIG = "y" * 400_000


@pytest.mark.parametrize(
    ("sent", "again", "what"),
    [
        ({"input": 1}, {"input": 2}, "input"),
        ({"input": BIG}, {"input": BIG + "y"}, "input"),
        ({"input": BIG}, {"input": BIG[:-1] + "z"}, "input"),
        ({"input": BIG}, {"input": 1}, "input"),
        ({"input": 1}, {"input": BIG}, "input"),
        ({"input": 1}, {"input": 1, "policy": {"ttl": 60000}}, "policy"),
        ({"input": 1, "webhook": "http://127.0.0.1:9/a"}, {"input": 1, "webhook": "http://127.0.0.1:9/b"}, "webhook"),
        ({"input": 1, "policy": {"ttl": 60000}}, {"policy": {"ttl": 60000.0}, "other": 2, "input": 1}, ""),
        ({"input": 1, "s3Config": {"accessSecret": "old"}}, {"input": 1, "s3Config": {"accessSecret": "new"}}, ""),
        ({"input": BIG}, {"input": BIG}, ""),
        ({"input": BIG}, {"other": 1, "input": BIG}, ""),
        ({"input": "small", "other": BIG}, {"input": "small"}, ""),
    ],
)
@pytest.mark.parametrize("state", ["waiting", "ended", "after a restart"])
def test_an_idempotency_key_with_another_job_gets_422(
    tmp_path: Path, sent: Any, again: Any, what: str, state: str
) -> None:
    headers = {"Idempotency-Key": "order-9"}
    with running(tmp_path) as plane:
        job_id = plane.call("POST", "/v2/idle/run", sent, headers).json["id"]
        if state == "ended":
            plane.call("POST", f"/v2/idle/cancel/{job_id}")
        if state != "after a restart":
            resent(plane, again, what, headers, job_id)
            return
    with running(tmp_path) as plane:
        resent(plane, again, what, headers, job_id)


def resent(plane: GatewayPlane, body: Any, what: str, headers: dict[str, str], job_id: str) -> None:
    files = sorted(plane.store.spool.iterdir())
    for operation in ("run", "runsync?wait=1000"):
        answer = plane.call("POST", f"/v2/idle/{operation}", body, headers)
        if what:
            assert answer.status == 422
            assert f"'order-9' came before with another {what}, as the job {job_id};" in answer.error
        else:
            assert (answer.status, answer.json["id"]) == (200, job_id)
    assert plane.call("POST", "/v2/echo/runsync", body, headers).status == 200  # of another endpoint
    assert sorted(set(plane.store.spool.iterdir()) - set(files)) == spooled(plane)


def spooled(plane: GatewayPlane) -> list[Path]:
    """Files of the jobs of `echo`."""
    jobs = plane.loop.run(plane.store.list_jobs("echo"))
    found = [plane.loop.run(plane.store.get("echo", job.id)) for job in jobs]
    payloads = [payload for job in found if job is not None for payload in (job.input, job.output)]
    return sorted(plane.store.spool / payload.path for payload in payloads if isinstance(payload, Spooled))


def test_policy_and_other_keys_are_taken(plane: GatewayPlane) -> None:
    answer = plane.call(
        "POST",
        "/v2/echo/runsync",
        {
            "input": 1,
            "policy": {"executionTimeout": 5000, "ttl": 10000.0, "lowPriority": True},
            "webhook": "http://127.0.0.1:9/hook",
            "s3Config": {"accessId": "a"},
            "somethingElse": 5,
        },
    )
    assert answer.status == 200
    assert answer.json["status"] == "COMPLETED"


BAD_BODIES = [
    (b"", "not valid JSON"),
    (b"{", "not valid JSON"),
    (b"hello", "not valid JSON"),
    (b'{"input": NaN}', "not valid JSON"),
    (b'{"input": "\xff"}', "UTF-8"),
    (b'{"input":' + b"[" * 100_000, "deep"),
    (b"{}", '"input"'),
    (b"[]", "object"),
    (b'"input"', "object"),
    (b'{"input": "\\ud800}', "not valid JSON"),
    (b'{"input": "\\ud80"}', "not valid JSON"),
    (b'{"input": "\\\\ud800\\udc0"}', "not valid JSON"),
    (b'{"input": 1, "webhook": "http://x/\\ud800"}', "half of a surrogate pair"),
    (b'{"input": 1, "policy": {"\\udc00": 1}}', "half of a surrogate pair"),
    (b'{"input": "\\ud800", "policy": {"ttl": 9999}}', "ttl"),
    (b'{"input": 1, "webhook": 5}', "webhook"),
    (b'{"input": 1, "webhook": "ftp://x/y"}', "webhook"),
    (b'{"input": 1, "webhook": "http://"}', "webhook"),
    (b'{"input": 1, "webhook": "http://x:99999/"}', "webhook"),
    (b'{"input": 1, "policy": 3}', "policy"),
    (b'{"input": 1, "policy": {"ttl": "long"}}', "ttl"),
    (b'{"input": 1, "policy": {"ttl": 9999}}', "ttl"),
    (b'{"input": 1, "policy": {"ttl": 60000.5}}', "whole"),
    (b'{"input": 1, "policy": {"executionTimeout": 4999}}', "executionTimeout"),
    (b'{"input": 1, "policy": {"executionTimeout": 604800001}}', "executionTimeout"),
    (b'{"input": 1, "policy": {"lowPriority": "yes"}}', "lowPriority"),
    (b'{"input": 1, "policy": {"priority": 1}}', "priority"),
    (b'{"input": 1, "s3Config": []}', "s3Config"),
]


#: Python's `json` and JavaScript's `JSON.stringify` write them so.
HALF_PAIRS = [
    "\\ud800", "\\uDFFF", "a\\ud83dx\\ude00", "\\ude00\\ud83d", "\\ud800\\ud83d\\ude00", "\\\\ud800\\udc00",
    "\\\\\\ud800\\n\\u00e4", "\\ud800" * 3 + "ä",
]  # fmt: skip


@pytest.mark.parametrize("text", HALF_PAIRS)
@pytest.mark.parametrize("form", ['{"input": %s}', '{"other": %s, "input": {%s: [%s]}}', '{%s: 1, "input": %s}'])
def test_half_of_a_surrogate_pair_in_an_input_stays_as_it_is(plane: GatewayPlane, text: str, form: str) -> None:
    body = form.replace("%s", f'"{text}"')
    wanted = json.loads(body)["input"]
    answer = plane.call("POST", "/v2/idle/run", body.encode())
    assert answer.status == 200, answer.body
    kept = plane.loop.run(plane.store.get("idle", answer.json["id"]))
    assert kept is not None and isinstance(kept.input, bytes)
    assert json.loads(kept.input) == wanted
    assert kept.input in body.encode()


@pytest.mark.parametrize("order", ["input first", "input last"])
def test_half_of_a_surrogate_pair_in_a_large_input_stays_as_it_is(plane: GatewayPlane, order: str) -> None:
    value = '"' + "".join(f"{text}\\\\" * 30_000 for text in HALF_PAIRS) + '"'
    tail = '"s3Config": {"accessId": "\\ud800"}, "other": "\\udfff"'
    body = f'{{"input": {value}, {tail}}}' if order == "input first" else f'{{{tail}, "input": {value}}}'
    answer = plane.call("POST", "/v2/idle/run", body.encode())
    assert answer.status == 200, answer.body
    kept = plane.loop.run(plane.store.get("idle", answer.json["id"]))
    assert kept is not None and isinstance(kept.input, Spooled)
    assert (plane.store.spool / kept.input.path).read_text().strip() == value
    assert kept.envelope == b'{"s3Config":{"accessId": "\\ud800"}}'


@pytest.mark.parametrize(("body", "word"), BAD_BODIES, ids=[repr(b)[:60] for b, _ in BAD_BODIES])
@pytest.mark.parametrize("operation", ["run", "runsync"])
def test_a_bad_body_gets_400_and_a_sentence(plane: GatewayPlane, operation: str, body: bytes, word: str) -> None:
    answer = plane.call("POST", f"/v2/idle/{operation}", body)
    assert answer.status == 400
    assert word in answer.error
    assert answer.error.endswith(".")


def test_a_large_bad_body_gets_400_and_leaves_no_file(tmp_path: Path) -> None:
    with running(tmp_path) as plane:
        for body in (b'{"input": "' + b"x" * 400_000, b'{"other": "' + b"x" * 400_000 + b'"}', b"\xff" * 400_000):
            answer = plane.call("POST", "/v2/idle/run", body)
            assert answer.status == 400, answer.body
        assert list(plane.store.spool.iterdir()) == []


@pytest.mark.parametrize("order", ["input first", "input last", "input twice"])
def test_a_large_input_arrives_whole(plane: GatewayPlane, order: str) -> None:
    text = "ä" + "x" * 500_000 + '"\\'
    value = json.dumps(text, ensure_ascii=False)
    body = {
        "input first": f'{{ "input" : {value}, "policy": {{"ttl": 60000}}}}',
        "input last": f'{{"policy": {{"ttl": 60000}}, "input": {value}}}',
        "input twice": f'{{"input": {json.dumps("y" * 300_000)}, "input": {value}}}',
    }[order]
    answer = plane.call("POST", "/v2/echo/runsync", body.encode())
    assert answer.status == 200
    assert answer.json["output"] == text


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("runsync?wait=999", "wait"),
        ("runsync?wait=300001", "wait"),
        ("runsync?wait=soon", "wait"),
        ("runsync?wait=", "wait"),
        ("runsync?wait=" + "9" * 30, "wait"),
        ("runsync?wait=%D9%A3%D9%A3%D9%A3%D9%A3", "wait"),
    ],
)
def test_a_bad_wait_gets_400(plane: GatewayPlane, path: str, word: str) -> None:
    answer = plane.call("POST", f"/v2/echo/{path}", {"input": 1})
    assert answer.status == 400
    assert word in answer.error


@pytest.mark.parametrize("query", ["status=DONE", "limit=0", "limit=1001", "before=-1", "before=x"])
def test_a_bad_listing_gets_400(plane: GatewayPlane, query: str) -> None:
    answer = plane.call("GET", f"/v2/echo/requests?{query}")
    assert answer.status == 400
    assert query.split("=")[0] in answer.error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2", 404),
        ("GET", "/v2/nobody/health", 404),
        ("POST", "/v2/nobody/run", 404),
        ("GET", "/v2/echo", 404),
        ("GET", "/v2/echo/nothing", 404),
        ("GET", "/v2/echo/status", 404),
        ("GET", "/v2/echo/status/none", 404),
        ("GET", "/v2/echo/status-sync/none", 404),
        ("GET", "/v2/echo/stream/none", 404),
        ("POST", "/v2/echo/cancel/none", 404),
        ("POST", "/v2/echo/retry/none", 404),
        ("POST", "/v2/echo/run/extra", 404),
        ("GET", "/v2/echo/status/%00%2F..%2F..", 404),
        ("GET", "/v2/echo/run", 405),
        ("DELETE", "/v2/echo/run", 405),
        ("GET", "/v2/echo/cancel/x", 405),
        ("PUT", "/v2/echo/health", 405),
    ],
)
def test_what_is_not_there_gets_a_sentence(plane: GatewayPlane, method: str, path: str, status: int) -> None:
    answer = plane.call(method, path, {"input": 1} if method == "POST" else None)
    assert answer.status == status
    assert answer.error
    assert ("allow" in answer.headers) == (status == 405)


def test_a_job_is_seen_by_its_own_endpoint_only(plane: GatewayPlane) -> None:
    job_id = submit(plane, 1, "idle")
    assert plane.call("GET", f"/v2/echo/status/{job_id}").status == 404
    assert plane.call("POST", f"/v2/echo/cancel/{job_id}").status == 404


def test_a_body_that_is_too_large_gets_413_before_it_is_sent(plane: GatewayPlane) -> None:
    answer = plane.call("POST", "/v2/idle/run", b'{"input": "' + b"x" * 11_000_000 + b'"}')
    assert answer.status == 413
    assert "10485760" in answer.error
    # /runsync takes twice as much.
    answer = plane.call("POST", "/v2/echo/runsync", b'{"input": "' + b"x" * 11_000_000 + b'"}')
    assert answer.status == 200
    assert len(answer.body) > 11_000_000


def test_head_gives_the_headers_of_get(plane: GatewayPlane) -> None:
    answer = plane.call("HEAD", "/v2/echo/health")
    assert answer.status == 200
    assert answer.body == b""
    assert int(answer.headers["content-length"]) > 0
