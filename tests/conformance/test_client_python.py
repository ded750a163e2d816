"""The published `runpod` package as client, blocking and asyncio, against our API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import runpod
from runpod import AsyncioEndpoint, AsyncioJob, http_client

from tests.conformance.client_plane import KEY, serving
from tests.gateway.plane import until


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("plane")) as url:
        yield url


@pytest.fixture(autouse=True)
def base_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """How users of the package name another base: by this attribute, or RUNPOD_ENDPOINT_BASE_URL."""
    monkeypatch.setattr(runpod, "endpoint_url_base", url)
    monkeypatch.setattr(runpod, "api_key", KEY)


@pytest.mark.parametrize("value", [{"text": "hällo"}, {"n": [1, None, 2.5]}, {"big": "x" * 400_000}])
def test_run_then_output(value: Any) -> None:
    job = runpod.Endpoint("echo").run({"input": value})
    assert job.output(timeout=20) == value
    assert job.status() == "COMPLETED"


def test_run_wraps_an_input_that_is_bare() -> None:
    assert runpod.Endpoint("echo").run({"text": "bare"}).output(timeout=20) == {"text": "bare"}


def test_run_sync() -> None:
    assert runpod.Endpoint("echo").run_sync({"input": {"a": 1}}, timeout=20) == {"a": 1}
    assert runpod.Endpoint("echo").run_sync({"input": {"fail": "so"}}, timeout=20) is None


def test_stream_yields_every_chunk() -> None:
    chunks = [{"n": n} for n in range(5)]
    job = runpod.Endpoint("stream").run({"input": {"chunks": chunks}})
    assert list(job.stream()) == chunks
    assert job.output() == chunks


def test_progress_is_seen_as_output() -> None:
    job = runpod.Endpoint("echo").run({"input": {"progress": "half"}})
    until(lambda: job.output() == "half")
    assert job.status() == "IN_PROGRESS"
    assert job.cancel()["status"] == "CANCELLED"
    assert job.status() == "CANCELLED"


def test_health_and_purge_queue() -> None:
    idle = runpod.Endpoint("idle")
    idle.purge_queue()
    jobs = [idle.run({"input": {"n": n}}) for n in range(3)]
    assert idle.health()["jobs"]["inQueue"] == 3
    assert idle.health()["workers"]["idle"] == 0
    assert idle.purge_queue() == {"removed": 3, "status": "completed"}
    assert {job.status() for job in jobs} == {"CANCELLED"}


def test_refusals_are_raised() -> None:
    with pytest.raises(RuntimeError, match="401"):
        runpod.Endpoint("echo", api_key="wrong").health()
    with pytest.raises(requests.HTTPError, match="404"):
        runpod.Endpoint("nobody").health()
    with pytest.raises(requests.HTTPError, match="400"):
        runpod.Endpoint("echo").run({"input": {"a": 1}, "policy": {"ttl": 1}})


def test_the_asyncio_client() -> None:
    async def use() -> None:
        async with http_client.AsyncClientSession() as session:
            echo, idle, stream = (AsyncioEndpoint(name, session) for name in ("echo", "idle", "stream"))
            jobs = [await echo.run({"n": n}) for n in range(3)]
            assert [await job.output(timeout=20) for job in jobs] == [{"n": n} for n in range(3)]
            assert await jobs[0].status() == "COMPLETED"
            chunks = ["a", {"b": 2}]
            streamed: AsyncioJob = await stream.run({"chunks": chunks})
            assert [chunk async for chunk in streamed.stream()] == chunks
            waiting = await idle.run({"n": 1})
            assert await waiting.status() == "IN_QUEUE"
            assert (await waiting.cancel())["status"] == "CANCELLED"
            await idle.run({"n": 2})
            assert (await idle.health())["jobs"]["inQueue"] == 1
            assert await idle.purge_queue() == {"removed": 1, "status": "completed"}

    asyncio.run(use())
