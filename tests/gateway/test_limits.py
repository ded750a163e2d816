"""Rate limits over a real connection, with a clock that stands still or is turned by hand."""

from __future__ import annotations

import http.client
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.cli.up import HANDLER, Up, until
from tests.gateway.plane import Answer, GatewayPlane, endpoint, running
from zeroidle.gateway.limits import RUNPOD, Limit, Limits

NO_JOB = "00000000-0000-7000-8000-000000000000-u1"


class Clock:
    """Seconds that go on only when they are set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def limited(folder: Path, limits: Limits) -> AbstractContextManager[GatewayPlane]:
    """A plane on which `idle` has RunPod's limits and `echo` has none."""
    endpoints = {"echo": endpoint("echo"), "idle": endpoint("idle", rate_limits="runpod")}
    return running(folder, endpoints=endpoints, limits=limits)


def statuses(plane: GatewayPlane, method: str, path: str, count: int) -> list[int]:
    """The statuses of as many requests on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", plane.port, timeout=20)
    found = []
    for _ in range(count):
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        found.append(response.status)
    connection.close()
    return found


def test_the_figures_are_the_documented_ones() -> None:
    documented = {
        "runsync": (2000, 400), "run": (1000, 200), "status": (2000, 400), "stream": (2000, 400), "cancel": (100, 20),
        "purge-queue": (2, None), "openai": (2000, 400), "requests": (10, 2), "status-sync": (2000, 400),
    }  # fmt: skip
    assert {name: (limit.requests, limit.concurrent) for name, limit in RUNPOD.items()} == documented


@pytest.mark.parametrize(
    ("operation", "method", "path", "count", "fine"),
    [
        ("purge-queue", "POST", "/v2/{}/purge-queue", 2, 200),
        ("requests", "GET", "/v2/{}/requests", 10, 200),
        ("cancel", "POST", "/v2/{}/cancel/" + NO_JOB, 100, 404),
        ("status", "GET", "/v2/{}/status/" + NO_JOB, 2000, 404),
    ],
)
def test_one_more_than_the_documented_number_gets_429(
    tmp_path: Path, operation: str, method: str, path: str, count: int, fine: int
) -> None:
    with limited(tmp_path, Limits(now=Clock())) as plane:
        assert statuses(plane, method, path.format("idle"), count) == [fine] * count
        answer = plane.call(method, path.format("idle"))
        assert (answer.status, answer.headers["retry-after"]) == (429, "10")
        assert answer.error == (
            f"The endpoint idle takes {count} /{operation} requests in 10 seconds "
            '(rate_limits = "runpod"); wait and send it again.'
        )
        # Other operations and other endpoints have their own count, and without the setting there is none.
        assert plane.call("GET", "/v2/idle/health").status == 200
        assert plane.call("POST", "/v2/idle/run", {"input": 1}).status == 200
        assert set(statuses(plane, method, path.format("echo"), count + 1)) == {fine}


def test_after_the_time_that_was_told_the_next_one_is_taken(tmp_path: Path) -> None:
    clock = Clock()
    with limited(tmp_path, Limits(now=clock)) as plane:

        def ask() -> Answer:
            return plane.call("GET", "/v2/idle/requests")

        clock.now_s = 1004.0
        assert [ask().status for _ in range(10)] == [200] * 10
        refused = ask()
        assert (refused.status, refused.headers["retry-after"]) == (429, "6")
        clock.now_s += 6.5
        assert ask().status == 200
        assert (ask().status, ask().headers["retry-after"]) == (429, "1")  # nearly all of the ten still count
        clock.now_s += 1
        assert ask().status == 200
        clock.now_s += 100
        assert [ask().status for _ in range(11)] == [200] * 10 + [429]


def test_what_runs_at_once_is_limited_and_makes_room_when_it_ends(tmp_path: Path) -> None:
    figures = {"runpod": {"status-sync": Limit(1_000_000, concurrent=2)}}
    with limited(tmp_path, Limits(figures, now=Clock())) as plane:
        job = plane.call("POST", "/v2/idle/run", {"input": 1}).json["id"]
        path = f"/v2/idle/status-sync/{job}?wait="
        ended: list[str] = []

        def wait() -> None:
            # The one who asks below may be there first.
            answer = until(lambda: (a := plane.call("GET", path + "20000")).status != 429 and a, "there is room")
            ended.append(answer.json["status"])

        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        refused = until(lambda: (a := plane.call("GET", path + "1000")).status == 429 and a, "two requests wait")
        assert refused.headers["retry-after"] == "1"
        assert "takes 2 /status-sync requests at once" in refused.error
        assert plane.call("POST", f"/v2/idle/cancel/{job}").status == 200
        for thread in threads:
            thread.join(20)
        assert ended == ["CANCELLED"] * 2
        assert plane.call("GET", path + "1000").status == 200


def test_the_flag_reaches_the_plane_and_the_file_one_endpoint(tmp_path: Path) -> None:
    toml = '[endpoint.held]\nhandler = "handler.py"\nrate_limits = "runpod"\n[endpoint.free]\nhandler = "handler.py"\n'
    up = Up(tmp_path, files={"handler.py": HANDLER, "zeroidle.toml": toml})
    try:
        assert purges(up, "held")[-1] == 429
        assert purges(up, "free") == [200] * 10
        up.end()
        up = Up(tmp_path, "free", "--rate-limits", "runpod")
        assert purges(up, "free")[-1] == 429
        up.end()
    finally:
        up.kill()


def purges(up: Up, name: str) -> list[int]:
    """The statuses of requests to purge the queue, of which RunPod takes two in ten seconds, up to the first 429."""
    connection = http.client.HTTPConnection("127.0.0.1", int(up.url.rpartition(":")[2]), timeout=20)
    found: list[int] = []
    while len(found) < 10 and 429 not in found:
        connection.request("POST", f"/v2/{name}/purge-queue")
        response = connection.getresponse()
        response.read()
        found.append(response.status)
    connection.close()
    return found
