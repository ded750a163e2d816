"""The real `runpod` package, unmodified, as worker: every kind of handler, over HTTP against the plane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conformance.sdk import environments
from tests.conformance.sdk.plane import Call, Plane, running, sdk_endpoint, with_plane
from zeroidle.job import Job, Status
from zeroidle.worker import WorkerState

LARGE_BYTES = 3 * 1024 * 1024


class Sdk(NamedTuple):
    version: str
    plane: Plane
    call: Call

    def run(self, endpoint: str, input: object) -> Job:
        return self.call(self.plane.run(endpoint, input))

    def output(self, endpoint: str, input: object) -> object:
        return self.plane.output(self.run(endpoint, input))


@pytest.fixture(scope="module", params=environments.VERSIONS)
def sdk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    """One worker of each kind, shared by the tests of a version."""
    version, folder = request.param, tmp_path_factory.mktemp("plane")
    endpoints = [
        sdk_endpoint(version, "plain", folder / "plain"),
        sdk_endpoint(version, "asynchronous", folder / "async", env={"CONCURRENCY": "4"}),
        sdk_endpoint(version, "stream", folder / "stream"),
        sdk_endpoint(version, "stream", folder / "aggregate", "aggregate", env={"RETURN_AGGREGATE": "1"}),
        sdk_endpoint(version, "async_stream", folder / "async_stream"),
    ]
    with running(lambda: Plane(folder / "data", endpoints)) as (plane, call):
        yield Sdk(version, plane, call)


def test_a_result_is_what_the_handler_returned(sdk: Sdk) -> None:
    job = sdk.run("plain", {"do": "echo", "value": "ünïcode 漢字 \U0001f600"})
    output = sdk.plane.output(job)
    assert (output["echo"], output["id"]) == ("ünïcode 漢字 \U0001f600", job.id)
    worker = sdk.plane.worker("plain")
    assert worker.carrier == "http" and worker.state is WorkerState.READY and not worker.jobs
    assert job.attempt == 1 and worker.jobs_done >= 1


def test_a_plain_value_arrives_as_it_is(sdk: Sdk) -> None:
    values = [None, True, False, 0, "", "text", [], [1, {"a": None}], 1.5]

    async def main() -> None:
        ids = [await sdk.plane.submit("plain", {"do": "value", "value": value}) for value in values]
        jobs = [await sdk.plane.ended("plain", job_id) for job_id in ids]
        assert [sdk.plane.output(job) for job in jobs] == values

    sdk.call(main())


def test_nan_becomes_null(sdk: Sdk) -> None:
    assert sdk.output("plain", {"do": "nan"}) == {"value": None, "list": [None, 1.5]}


def test_an_exception_fails_the_job_with_its_traceback(sdk: Sdk) -> None:
    job = sdk.run("plain", {"do": "raise"})
    assert job.status is Status.FAILED and job.error is not None
    info = json.loads(job.error)
    assert info["error_type"] == "<class 'ValueError'>" and "broken on purpose" in info["error_message"]
    assert "plain.py" in info["error_traceback"] and info["runpod_version"] == sdk.version


def test_an_error_in_the_result_fails_the_job(sdk: Sdk) -> None:
    job = sdk.run("plain", {"do": "error"})
    assert (job.status, job.error) == (Status.FAILED, "refused on purpose")


def test_an_error_beside_other_keys_keeps_them_as_output(sdk: Sdk) -> None:
    job = sdk.run("plain", {"do": "error_output"})
    assert (job.status, job.error) == (Status.FAILED, "half done")
    assert sdk.plane.value(job) == {"partial": [1, 2]}


def test_a_large_result_is_spooled(sdk: Sdk) -> None:
    job = sdk.run("plain", {"do": "large", "size_bytes": LARGE_BYTES, "letter": "ä"})
    assert not isinstance(job.output, bytes)
    assert sdk.plane.output(job) == {"text": "ä" * LARGE_BYTES}


def test_progress_is_seen_while_the_job_runs(sdk: Sdk, tmp_path: Path) -> None:
    async def main() -> None:
        until = tmp_path / "go on"
        job_id = await sdk.plane.submit("plain", {"do": "progress", "until": str(until)})
        job = await sdk.plane.job("plain", job_id)
        await sdk.plane.until(lambda: job.progress, "the progress arrives")
        assert job.progress is not None and json.loads(job.progress)["step"] in (0, 1, 2)
        assert job.status is Status.IN_PROGRESS and job.output is None
        until.touch()
        assert sdk.plane.output(await sdk.plane.ended("plain", job_id)) == {"done": True}

    sdk.call(main())


def test_a_generator_streams(sdk: Sdk) -> None:
    async def main() -> None:
        job = await sdk.plane.run("stream", {"n": 3})
        read = await sdk.plane.store.read_stream("stream", job.id, 0)
        assert [json.loads(chunk) for chunk in read[1]] == [{"n": n, "text": "äää"} for n in range(3)]
        assert sdk.plane.output(job) == []

    sdk.call(main())


def test_a_generator_with_return_aggregate_stream_has_an_output_too(sdk: Sdk) -> None:
    assert sdk.output("aggregate", {"n": 2}) == [{"n": n, "text": "äää"} for n in range(2)]


def test_an_async_generator_streams(sdk: Sdk) -> None:
    async def main() -> None:
        job = await sdk.plane.run("async_stream", {"n": 4})
        read = await sdk.plane.store.read_stream("async_stream", job.id, 0)
        chunks = [f"chunk {n}" for n in range(4)]
        assert [json.loads(chunk) for chunk in read[1]] == chunks == sdk.plane.output(job)

    sdk.call(main())


def test_a_broken_generator_fails_the_job_and_its_chunks_stay(sdk: Sdk) -> None:
    if sdk.version == "1.5.3":
        pytest.skip("reports nothing at all, see test_lost_results.py")

    async def main() -> None:
        job = await sdk.plane.run("stream", {"n": 5, "raise_at": 2})
        assert job.status is Status.FAILED and "stream broken on purpose" in str(job.error)
        read = await sdk.plane.store.read_stream("stream", job.id, 0)
        assert len(read[1]) == 2

    sdk.call(main())


def test_an_async_handler_runs_as_many_jobs_at_once_as_its_concurrency(sdk: Sdk) -> None:
    async def main() -> None:
        # The package widens its queue only while nothing is in flight, so the first job goes alone.
        assert sdk.plane.output(await sdk.plane.run("asynchronous", {"s": 0}))["peak"] == 1
        ids = [await sdk.plane.submit("asynchronous", {"s": 0.5}) for _ in range(8)]
        peaks = [sdk.plane.output(await sdk.plane.ended("asynchronous", i))["peak"] for i in ids]
        assert 2 <= max(peaks) <= 4
        assert sdk.plane.worker("asynchronous").concurrency in (1, 4)

    sdk.call(main())


def test_many_short_jobs_do_not_wait_for_the_loop_of_the_package(sdk: Sdk) -> None:
    """The stock loop takes about one job a second; a list in answer to a take lets it run on."""

    async def main() -> None:
        ids = [await sdk.plane.submit("plain", {"do": "echo", "value": n}) for n in range(40)]
        before = len(sdk.plane.seen("job-take"))
        outputs = [sdk.plane.output(await sdk.plane.ended("plain", i))["echo"] for i in ids]
        assert outputs == list(range(40))
        takes = len(sdk.plane.seen("job-take")) - before
        if tuple(map(int, sdk.version.split("."))) >= (1, 7, 9):
            assert takes < 20
        jobs = [await sdk.plane.job("plain", i) for i in ids]
        assert all(job.attempt == 1 for job in jobs)

    sdk.call(main())


def test_a_running_async_handler_is_cancelled(sdk: Sdk, tmp_path: Path) -> None:
    if tuple(map(int, sdk.version.split("."))) < (1, 10):
        pytest.skip("has no job-stop")

    async def main() -> None:
        begun, cancelled = tmp_path / "begun", tmp_path / "cancelled"
        ask = {"s": 60, "begun": str(begun), "cancelled": str(cancelled)}
        pid = (await sdk.plane.ready("asynchronous")).pid
        job_id = await sdk.plane.submit("asynchronous", ask)
        await sdk.plane.until(begun.exists, "the handler has begun")
        await sdk.plane.store.cancel("asynchronous", job_id)
        await sdk.plane.until(cancelled.exists, "the handler is cancelled")
        worker = sdk.plane.worker("asynchronous")
        await sdk.plane.until(lambda: not worker.jobs, "the plane knows that the worker is free")
        assert worker.pid == pid and worker.state is WorkerState.READY
        assert (await sdk.plane.job("asynchronous", job_id)).status is Status.CANCELLED
        assert sdk.plane.output(await sdk.plane.run("asynchronous", {"s": 0}))

    sdk.call(main())


def test_refresh_worker_replaces_the_worker(sdk: Sdk) -> None:
    async def main() -> None:
        old = sdk.plane.output(await sdk.plane.run("plain", {"do": "refresh"}))["pid"]
        job = await sdk.plane.run("plain", {"do": "echo"})
        assert sdk.plane.output(job)["pid"] != old and job.attempt == 1

    sdk.call(main())


def test_a_sync_handler_is_ended_on_cancel(sdk: Sdk, tmp_path: Path) -> None:
    if sdk.version not in (environments.FAST[0], environments.FAST[-1]):
        pytest.skip("the same for the newest and for one without job-stop")

    async def main() -> None:
        begun = tmp_path / "begun"
        job_id = await sdk.plane.submit("plain", {"do": "wait", "begun": str(begun), "until": str(tmp_path / "never")})
        await sdk.plane.until(lambda: begun.exists() and begun.read_text(), "the handler has begun")
        pid = int(begun.read_text())
        await sdk.plane.store.cancel("plain", job_id)
        await sdk.plane.until(lambda: not Path(f"/proc/{pid}").exists(), "its process is gone")
        job = await sdk.plane.run("plain", {"do": "echo"})
        assert sdk.plane.output(job)["pid"] != pid
        assert (await sdk.plane.job("plain", job_id)).status is Status.CANCELLED

    sdk.call(main())


@pytest.mark.slow
def test_the_oldest_version_serves_sync_handlers(tmp_path: Path) -> None:
    async def test(plane: Plane) -> None:
        for value in ("ü", 0, [1], {"a": None}):
            job = await plane.run("plain", {"do": "echo", "value": value})
            assert plane.output(job)["echo"] == value and job.attempt == 1
        job = await plane.run("plain", {"do": "raise"})
        assert job.status is Status.FAILED and "broken on purpose" in str(job.error)
        job = await plane.run("plain", {"do": "large", "size_bytes": LARGE_BYTES})
        assert plane.output(job) == {"text": "x" * LARGE_BYTES}
        # It asks again at once after an empty answer, so the long poll must hold it.
        assert len(plane.seen("job-take")) <= 10
        assert plane.worker("plain").carrier == "http"

    endpoint = sdk_endpoint(environments.OLDEST, "plain", tmp_path / "root")
    with_plane(lambda: Plane(tmp_path / "data", [endpoint]), test)
