"""The worker API over HTTP, spoken to without an SDK: who may call, the shapes of paths, dead polls, odd bodies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.gateway_worker.peer import until
from zeroidle.endpoint import Endpoint
from zeroidle.gateway import worker_api
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.worker_api import WorkerApi
from zeroidle.gateway.worker_env import worker_env
from zeroidle.job import Job, Spooled, Status, new_job_id
from zeroidle.store.sqlite import SqliteStore
from zeroidle.worker import Registry, Worker, WorkerState


class Plane:
    def __init__(self, folder: Path) -> None:
        self.endpoint = Endpoint("e", folder / "h.py", folder, "python")
        self.store = SqliteStore(folder, {"e": self.endpoint})
        self.registry = Registry()
        self.api = WorkerApi(self.store, self.registry, {"e": self.endpoint})
        self.worker = Worker("w1", "e", time.time())
        self.registry.add(self.worker)

    async def call(
        self, verb: str, rest: str = "", query: str = "", body: bytes | Spooled = b"", key: str | None = None,
        alive: list[bool] | None = None, worker: str = "w1",
    ) -> Response:  # fmt: skip
        headers = {} if key == "" else {"authorization": key or self.worker.token}
        path = f"/worker/e/{verb}/{worker}" + (f"/{rest}" if rest else "")
        request = Request("GET", path, query, headers, body)
        if alive is not None:
            request.alive = lambda: alive[0]
        return await self.api.handle(request)

    async def submit(self, input: bytes = b"{}") -> str:
        return (await self.store.put(Job(new_job_id(), "e", input))).id

    async def job(self, job_id: str) -> Job:
        job = await self.store.get("e", job_id)
        assert job is not None
        return job


@asynccontextmanager
async def plane(folder: Path) -> AsyncIterator[Plane]:
    made = Plane(folder)
    await made.store.open()
    try:
        yield made
    finally:
        made.api.close()
        await made.store.close()


def value(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


@pytest.mark.parametrize("key", ["", "wrong", "Bearer ", "Bearer wrong"])
@pytest.mark.parametrize("verb", ["job-take", "job-done", "job-stream", "job-stop", "ping"])
def test_a_caller_without_the_workers_token_is_refused(tmp_path: Path, key: str, verb: str) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            job_id = await p.submit()
            response = await p.call(verb, job_id, body=b'{"output":"forged"}', key=key)
            assert response.status == 401
            assert (await p.job(job_id)).status is Status.IN_QUEUE and p.worker.state is WorkerState.STARTING

    uvloop.run(main())


@pytest.mark.parametrize("form", ["{}", "Bearer {}"])
def test_the_token_may_come_raw_or_as_bearer(tmp_path: Path, form: str) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            assert (await p.call("ping", key=form.format(p.worker.token))).status == 200

    uvloop.run(main())


def test_a_path_without_question_mark_is_understood(tmp_path: Path) -> None:
    """The SDK appends `&isStream=false` to whatever template it was given."""

    async def main() -> None:
        async with plane(tmp_path) as p:
            job_id = await p.submit()
            taken = await p.call("job-take", query="", worker=f"w1&token={p.worker.token}&job_in_progress=0")
            assert value(taken)["id"] == job_id
            await p.call("job-done", f"{job_id}&isStream=false", body=b'{"output":5}')
            assert (await p.job(job_id)).output == b"5"

    uvloop.run(main())


def test_the_addresses_that_a_worker_gets_hold_no_secret_and_a_question_mark(tmp_path: Path) -> None:
    worker = Worker("w 1", "my/e", time.time())
    endpoint = Endpoint("my/e", tmp_path, tmp_path, "python", env={"RUNPOD_SKIP_GPU_CHECK": "false"})
    env = worker_env("http://127.0.0.1:8000/", endpoint, worker)
    addresses = [v for k, v in env.items() if k.startswith("RUNPOD_WEBHOOK")]
    assert len(addresses) == 4
    for address in addresses:
        assert "?" in address and worker.token not in address
        assert address.startswith("http://127.0.0.1:8000/worker/my%2Fe/")
    assert env["RUNPOD_AI_API_KEY"] == worker.token and "RUNPOD_SKIP_GPU_CHECK" not in env
    assert int(env["RUNPOD_PING_INTERVAL"]) >= 1000  # less is divided to zero


@pytest.mark.parametrize("path", ["/worker", "/worker/e", "/worker/e/job-take", "/worker/e/nonsense/w1", "/worker//"])
def test_an_unknown_path_is_404(tmp_path: Path, path: str) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            response = await p.api.handle(Request("GET", path, "", {"authorization": p.worker.token}))
            assert response.status == 404 and "no worker call" in value(response)["error"]

    uvloop.run(main())


def test_a_worker_that_is_gone_is_not_asked_again_at_once_and_its_result_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_api, "STRANGER_DELAY_S", 0.1)

    async def main() -> None:
        async with plane(tmp_path) as p:
            job_id = await p.submit()
            await p.call("job-take")
            p.registry.remove("w1")
            began = time.monotonic()
            assert (await p.call("job-take")).status == 401
            assert time.monotonic() - began >= 0.095  # timers count whole milliseconds
            (p.store.spool / "late.json").write_bytes(b'{"output":"late"}')
            late = await p.call("job-done", job_id, body=Spooled("late.json", 17))
            assert late.status == 200 and not (p.store.spool / "late.json").exists()
            assert (await p.job(job_id)).status is Status.IN_PROGRESS  # the fleet gives it back

    uvloop.run(main())


def test_a_poll_whose_client_has_died_takes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            alive = [True]
            poll = asyncio.ensure_future(p.call("job-take", alive=alive))
            await until(lambda: p.api.open_polls("w1"), "the poll is held")
            alive[0] = False
            job_id = await p.submit()
            assert (await poll).status == 204
            await until(lambda: p.store.counts("e").queued == 1, "the job is in the queue")
            job = await p.job(job_id)
            assert job.losses == 0 and not p.worker.jobs
            assert value(await p.call("job-take"))["id"] == job_id

    uvloop.run(main())


def test_a_poll_that_is_cut_off_takes_nothing(tmp_path: Path) -> None:
    """The server cancels a handler whose connection is lost; here in every instant around the arrival of a job."""

    async def main() -> None:
        async with plane(tmp_path) as p:
            cut = 0
            for ticks in range(12):
                poll = asyncio.ensure_future(p.call("job-take"))
                await until(lambda: p.api.open_polls("w1"), "the poll is held")
                submit = asyncio.ensure_future(p.submit())
                for _ in range(ticks):
                    await asyncio.sleep(0)
                poll.cancel()
                await asyncio.wait((poll, submit))
                job_id = submit.result()
                if poll.cancelled():
                    cut += 1
                    await until(lambda: p.store.counts("e").queued == 1 and not p.worker.jobs, "it is in the queue")
                    assert (await p.job(job_id)).losses == 0
                    assert value(await p.call("job-take"))["id"] == job_id
                else:
                    assert value(poll.result())["id"] == job_id
                await p.call("job-done", job_id, body=b'{"output":1}')
            assert cut

    uvloop.run(main())


def test_a_batch_is_a_list_and_a_single_job_an_object(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            ids = [await p.submit() for _ in range(4)]
            batch = value(await p.call("job-take-batch", query="batch_size=3&job_in_progress=0"))
            assert [job["id"] for job in batch] == ids[:3] and p.worker.concurrency == 3
            assert value(await p.call("job-take", query="job_in_progress=1"))["id"] == ids[3]

    uvloop.run(main())


@pytest.mark.parametrize("query", ["batch_size=0", "batch_size=-4", "batch_size=x", "batch_size=99999999", "&&=&x"])
def test_an_odd_batch_size_is_no_reason_to_refuse(tmp_path: Path, query: str) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            await p.submit()
            response = await p.call("job-take-batch", query=query)
            assert response.status == 200 and len(value(response)) == 1 and p.worker.concurrency <= 1000

    uvloop.run(main())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"output":}'])
def test_a_body_that_is_no_report_ends_the_job_with_a_sentence(tmp_path: Path, body: bytes) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            job_id = await p.submit()
            await p.call("job-take")
            assert (await p.call("job-done", job_id, body=body)).status == 200
            job = await p.job(job_id)
            assert job.status is Status.FAILED and "not a JSON object" in str(job.error) and not p.worker.jobs

    uvloop.run(main())


def test_progress_after_the_end_does_not_reopen_and_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            job_id = await p.submit()
            await p.call("job-take")
            await p.call("job-done", job_id, body=b'{"output":"end"}')
            await p.call("job-done", job_id, body=b'{"status":"IN_PROGRESS","output":"late"}')
            await p.call("job-stream", job_id, body=b'{"output":"late"}')
            job = await p.job(job_id)
            assert (job.status, job.output, job.progress, job.chunks) == (Status.COMPLETED, b'"end"', None, 0)

    uvloop.run(main())


def test_polls_end_soon_for_a_worker_that_is_to_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            await p.call("ping")
            take = asyncio.ensure_future(p.call("job-take"))
            stop = asyncio.ensure_future(p.call("job-stop"))
            await until(lambda: p.api.open_polls("w1"), "the poll is held")
            assert p.worker.control is not None
            p.worker.control.drain()
            async with asyncio.timeout(10):
                assert (await take).status == (await stop).status == 204
            await p.submit()
            assert (await p.call("job-take")).status == 204  # nothing more is handed out

    uvloop.run(main())


def test_a_stop_reaches_the_poll_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            job_id = await p.submit()
            await p.call("job-take")
            stop = asyncio.ensure_future(p.call("job-stop"))
            await asyncio.sleep(0)
            assert p.worker.control is not None
            p.worker.control.cancel(job_id, 7)  # of another attempt
            p.worker.control.cancel(job_id, 1)
            assert value(await stop) == {"jobsToStop": [job_id]}

    uvloop.run(main())


def test_a_handler_counts_as_stoppable_when_its_worker_polls_while_it_runs(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            await p.submit()
            first = asyncio.ensure_future(p.call("job-stop"))
            await p.call("job-take")
            async with asyncio.timeout(10):
                assert (await first).status == 204  # answered, to see whether another poll comes
            assert not p.worker.cooperative
            second = asyncio.ensure_future(p.call("job-stop"))
            await until(lambda: p.worker.cooperative, "it is stoppable")
            assert not second.done()

    uvloop.run(main())
