"""The eight ways in which the real `runpod` package loses a job: each ends with a clear error or a retry."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sdk import environments
from tests.conformance.sdk.plane import ENTRY, HANDLERS, STUB, Plane, sdk_endpoint, with_plane
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.worker_env import worker_env
from zeroidle.gateway.worker_evidence import CUT_OFF, UNREPORTED, UNSEEN
from zeroidle.job import Policy, Status
from zeroidle.worker import Worker, WorkerState

NEWEST = environments.FAST[0]


def plane_of(tmp_path: Path, version: str, handler: str = "plain", **settings: Any) -> Callable[[], Plane]:
    endpoint = sdk_endpoint(version, handler, tmp_path / "root", "e", **settings)
    return lambda: Plane(tmp_path / "data", [endpoint], ENTRY)


# 1. A result that is not JSON: the package logs an error and posts nothing.


@pytest.mark.parametrize("version", environments.VERSIONS)
def test_1_a_result_that_is_not_json_fails_the_job(tmp_path: Path, version: str) -> None:
    async def test(plane: Plane) -> None:
        # Long enough for a ping to name it: so it is sure that it was begun.
        job = await plane.run("e", {"do": "bytes", "s": 5})
        assert job.status is Status.FAILED
        if job.attempt == 1:
            assert job.error == UNREPORTED
        else:  # a version whose order of steps was not measured is given the benefit of the doubt
            assert str(job.error).startswith((UNREPORTED, UNSEEN))
        assert plane.output(await plane.run("e", {"do": "echo", "value": 1}))["echo"] == 1

    with_plane(plane_of(tmp_path, version, retries=1), test)


def test_1_a_quick_result_that_is_not_json_is_tried_again_and_then_fails(tmp_path: Path) -> None:
    async def test(plane: Plane) -> None:
        job = await plane.run("e", {"do": "bytes"})
        assert (job.status, job.attempt) == (Status.FAILED, 2) and str(job.error).startswith(UNSEEN)

    with_plane(plane_of(tmp_path, NEWEST, retries=1), test)


# 2. job-done answered 4xx: dropped at once.


def test_2_no_report_is_ever_answered_4xx(tmp_path: Path) -> None:
    """A large result, one for a job that ended long ago, one that is no JSON, one of a worker that is gone."""

    async def test(plane: Plane) -> None:
        answers: list[int] = []

        async def intercept(request: Request) -> Response | None:
            response = await plane.api.handle(request)
            if "/job-done/" in request.path:
                answers.append(response.status)
            return response

        plane.intercept = intercept
        # RunPod refuses 20 MB; the file goes to the spool whatever its size.
        job = await plane.run("e", {"do": "large", "size_bytes": 25 * 1024 * 1024})
        assert len(plane.output(job)["text"]) == 25 * 1024 * 1024
        worker = plane.worker("e")
        for path, body in (
            (f"{worker.id}/{job.id}", b'{"output":"again"}'), (f"{worker.id}/no-such-job", b"{}"),
            (f"{worker.id}/{job.id}", b"not JSON"), (f"no-such-worker/{job.id}", b'{"output":1}'),
        ):  # fmt: skip
            headers = {"authorization": worker.token}
            await intercept(Request("POST", f"/worker/e/job-done/{path}", "", headers, body))
        assert answers == [200] * 5
        again = await plane.job("e", job.id)
        assert again.status is Status.COMPLETED and len(plane.output(again)["text"]) == 25 * 1024 * 1024

    with_plane(plane_of(tmp_path, NEWEST), test)


# 3. job-done fails for longer than the package tries: dropped.


@pytest.mark.parametrize("version", environments.VERSIONS)
def test_3_a_result_that_could_not_be_delivered_is_made_again(tmp_path: Path, version: str) -> None:
    async def test(plane: Plane) -> None:
        go = tmp_path / "go"
        begun = tmp_path / "begun"
        job_id = await plane.submit("e", {"do": "wait", "begun": str(begun), "until": str(go)})
        await plane.until(begun.exists, "the handler has begun")
        await plane.cut()
        go.touch()
        log = plane.store.spool.parent / "logs" / f"{plane.worker('e').id}.log"
        await plane.until(lambda: "Failed to return job results" in log.read_text(), "the package gives up", 60)
        await plane.restore()
        job = await plane.ended("e", job_id)
        assert plane.output(job)["pid"] and job.attempt == 2
        assert len(begun.read_text().splitlines()) == 2  # it was run twice

    with_plane(plane_of(tmp_path, version, lease_s=20.0), test)


def test_3_without_a_retry_left_the_error_says_what_happened(tmp_path: Path) -> None:
    async def test(plane: Plane) -> None:
        async def intercept(request: Request) -> Response | None:
            return Response(502) if "/job-done/" in request.path else None

        plane.intercept = intercept
        go, begun = tmp_path / "go", tmp_path / "begun"
        job_id = await plane.submit("e", {"do": "wait", "begun": str(begun), "until": str(go)})
        await plane.until(begun.exists, "the handler has begun")
        await plane.until(lambda: any(h.last_ping_at for h in plane.worker("e").jobs.values()), "a ping names it")
        go.touch()
        job = await plane.ended("e", job_id)
        assert job.status is Status.FAILED and str(job.error).startswith((CUT_OFF, UNREPORTED))

    with_plane(plane_of(tmp_path, NEWEST, retries=0), test)


# 4. The worker is killed: its pinging process may go on with the old job.


@pytest.mark.parametrize("version", environments.VERSIONS)
def test_4_a_killed_worker_loses_its_job_at_once_and_its_pings_end(tmp_path: Path, version: str) -> None:
    async def test(plane: Plane) -> None:
        begun, go = tmp_path / "begun", tmp_path / "go"
        job_id = await plane.submit("e", {"do": "wait", "begun": str(begun), "until": str(go)})
        await plane.until(lambda: begun.exists() and begun.read_text(), "the handler has begun")
        worker = plane.worker("e")
        await plane.until(lambda: any(h.last_ping_at for h in worker.jobs.values()), "a ping names it")
        os.kill(int(begun.read_text()), signal.SIGKILL)
        await plane.until(lambda: worker.state is WorkerState.GONE, "the plane knows")
        go.touch()
        job = await plane.ended("e", job_id)
        assert plane.output(job)["pid"] != int(begun.read_text().split()[0]) and job.attempt == 2
        await plane.until(lambda: not _marked(worker), "nothing of the dead worker is left")
        assert (await plane.job("e", job_id)).losses == 1

    with_plane(plane_of(tmp_path, version), test)


def test_4_the_pings_of_an_orphan_keep_no_job(tmp_path: Path) -> None:
    """A worker that no fleet watches: killed, its pinging process goes on with the job's id in shared memory."""

    async def test(plane: Plane) -> None:
        worker, process = _foreign(plane, tmp_path)
        try:
            begun = tmp_path / "begun"
            ask = {"do": "wait", "begun": str(begun), "until": str(tmp_path / "never")}
            job_id = await plane.submit("e", ask, Policy(execution_timeout_ms=8000))
            await plane.until(begun.exists, "the handler has begun")
            await plane.until(lambda: any(h.last_ping_at for h in worker.jobs.values()), "a ping names it")
            process.kill()
            process.wait()
            pings = len(plane.seen("ping"))
            await plane.until(lambda: len(plane.seen("ping")) > pings + 1, "the orphan pings")
            # Nothing but the time limit can tell: it must hold whatever the pings say.
            job = await plane.ended("e", job_id, 30)
            assert job.status is Status.TIMED_OUT
        finally:
            os.killpg(process.pid, signal.SIGKILL)

    with_plane(plane_of(tmp_path, NEWEST, max_workers=0), test)


def _foreign(plane: Plane, tmp_path: Path) -> tuple[Worker, subprocess.Popen[bytes]]:
    """A worker that was started by hand, as in a container elsewhere."""
    endpoint = plane.endpoints["e"]
    worker = Worker("foreign", "e", time.time())
    plane.registry.add(worker)
    env = {**os.environ, **worker_env(f"http://127.0.0.1:{plane.port}", endpoint, worker), "PYTHONPATH": str(STUB)}
    with (tmp_path / "foreign.log").open("wb") as log:
        process = subprocess.Popen(
            [endpoint.python, HANDLERS / "plain.py"], env=env, cwd=tmp_path, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    return worker, process


def _marked(worker: Worker) -> list[str]:
    mark = b"ZEROIDLE_WORKER=" + worker.id.encode() + b"\0"
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


# 5. A job handed to a long poll whose client has just died.


@pytest.mark.parametrize("version", environments.ALL_VERSIONS)
def test_5_a_dead_long_poll_gets_no_job(tmp_path: Path, version: str) -> None:
    async def test(plane: Plane) -> None:
        worker = await plane.ready("e")
        await plane.until(lambda: plane.api.open_polls(worker.id), "its poll is held")
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        # In the same instant: the poll is still open as far as anyone has noticed.
        ids = [await plane.submit("e", {"do": "echo", "value": n}) for n in range(3)]
        outputs = [plane.output(await plane.ended("e", i))["echo"] for i in ids]
        assert outputs == [0, 1, 2]

    with_plane(plane_of(tmp_path, version, min_workers=1), test)


def test_5_an_answer_that_never_arrived_is_handed_out_again(tmp_path: Path) -> None:
    """The connection breaks after the hand-out: the next take says that nothing is in progress."""

    async def test(plane: Plane) -> None:
        lost: list[Response] = []

        async def intercept(request: Request) -> Response | None:
            if "/job-take/" not in request.path or lost:
                return None
            response = await plane.api.handle(request)
            if response.status == 200:
                lost.append(response)
                return Response(502)
            return response

        plane.intercept = intercept
        job = await plane.run("e", {"do": "echo", "value": 5})
        assert plane.output(job)["echo"] == 5 and job.attempt == 2 and lost

    with_plane(plane_of(tmp_path, NEWEST), test)


# 6. A late progress post must not reopen the job.


@pytest.mark.parametrize("version", environments.VERSIONS)
def test_6_late_progress_changes_nothing(tmp_path: Path, version: str) -> None:
    async def test(plane: Plane) -> None:
        late = asyncio.Event()
        held: list[Request] = []

        async def intercept(request: Request) -> Response | None:
            if "/job-done/" not in request.path or b"IN_PROGRESS" not in bytes(request.body):  # type: ignore[arg-type]
                return None
            held.append(request)
            await late.wait()  # on its way for as long as the job takes
            return None

        plane.intercept = intercept
        job_id = await plane.submit("e", {"do": "late_progress"})
        job = await plane.ended("e", job_id)
        assert plane.output(job) == {"done": True}
        await plane.until(lambda: held, "the progress is sent")
        late.set()
        assert plane.output(await plane.run("e", {"do": "echo", "value": 1}))
        after = await plane.job("e", job_id)
        assert after.status is Status.COMPLETED and plane.output(after) == {"done": True}
        assert after.progress is None or json.loads(after.progress) == {"late": True}

    with_plane(plane_of(tmp_path, version), test)


# 7. X-Request-ID may name another job: only the path counts.


def test_7_a_wrong_request_id_header_does_not_matter(tmp_path: Path) -> None:
    async def test(plane: Plane) -> None:
        await plane.run("e", {"s": 0})
        ids = [await plane.submit("e", {"s": 0.3 + 0.1 * (n % 3)}) for n in range(12)]
        for job_id in ids:
            assert plane.output(await plane.ended("e", job_id))["id"] == job_id
        named = [(r.headers.get("x-request-id"), r.path.rsplit("/", 1)[1]) for r in plane.seen("job-done")]
        assert len(named) == 13
        # And on calls that are about no job at all:
        assert any("x-request-id" in r.headers for r in plane.seen("job-take") + plane.seen("job-take-batch"))

    with_plane(plane_of(tmp_path, NEWEST, "asynchronous", env={"CONCURRENCY": "4"}), test)


# 8. SDK 1.5.3: an exception in a generator breaks the package's logging; nothing is reported, the worker stays busy.


@pytest.mark.slow
def test_8_a_worker_that_stays_busy_for_ever_is_ended_by_the_time_limit(tmp_path: Path) -> None:
    async def test(plane: Plane) -> None:
        job_id = await plane.submit("e", {"n": 3, "raise_at": 1}, Policy(execution_timeout_ms=6000))
        job = await plane.ended("e", job_id)
        assert job.status in (Status.TIMED_OUT, Status.FAILED) and (job.error or job.status is Status.TIMED_OUT)
        after = await plane.run("e", {"n": 2})
        assert after.status is Status.COMPLETED  # by a fresh worker

    with_plane(plane_of(tmp_path, "1.5.3", "stream"), test)


@pytest.mark.parametrize("version", environments.VERSIONS)
def test_8_a_broken_generator_never_leaves_its_job_open(tmp_path: Path, version: str) -> None:
    async def test(plane: Plane) -> None:
        job_id = await plane.submit("e", {"n": 3, "raise_at": 1}, Policy(execution_timeout_ms=6000))
        job = await plane.ended("e", job_id)
        assert job.status in (Status.FAILED, Status.TIMED_OUT)

    with_plane(plane_of(tmp_path, version, "stream"), test)


# And a worker of which nothing is heard.


def test_a_job_of_a_worker_without_pings_is_handed_out_again(tmp_path: Path) -> None:
    async def test(plane: Plane) -> None:
        go, begun = tmp_path / "go", tmp_path / "begun"
        job_id = await plane.submit("e", {"do": "wait", "begun": str(begun), "until": str(go)})
        await plane.until(lambda: begun.exists() and len(begun.read_text().split()) == 2, "it is begun twice")
        go.touch()
        job = await plane.ended("e", job_id)
        assert str(plane.output(job)["pid"]) == begun.read_text().split()[1] and job.attempt == 2
        assert not plane.seen("ping")

    endpoint = sdk_endpoint(NEWEST, "plain", tmp_path / "root", "e", lease_s=2.0, max_workers=2)
    with_plane(lambda: Plane(tmp_path / "data", [endpoint], ENTRY, {"RUNPOD_WEBHOOK_PING": None}), test)
