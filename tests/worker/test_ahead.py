"""Handing out ahead: short jobs are held in advance, none waits behind a long one, none is lost or run twice."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import signal
from pathlib import Path

import pytest

from tests.worker.plane import NAME, Plane, plane, until
from zeroidle.job import Job, Status

#: Every run of a job is a line of the file `runs`.
NOTES = """
import os, runpod, time
runs = os.open('runs', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
%s handler(job):
    os.write(runs, (job['id'] + '\\n').encode())
    if job['input'] == 'long':
        open('long', 'w').close()
        while not os.path.exists('go'):
            time.sleep(0.005)
    return job['input']
runpod.serverless.start({'handler': handler})
"""


def runs(p: Plane) -> collections.Counter[str]:
    return collections.Counter((p.endpoint.root / "runs").read_text().split())


async def burst(p: Plane, count: int) -> list[str]:
    return await asyncio.gather(*(p.submit(n) for n in range(count)))


@pytest.mark.parametrize("word", ["def", "async def"])
def test_many_short_jobs_are_run_once_each(tmp_path: Path, word: str) -> None:
    async def main() -> None:
        async with plane(tmp_path, NOTES % word) as p:
            await p.ready()
            ids = await burst(p, 1500)
            jobs = await asyncio.gather(*(p.result(i) for i in ids))
            assert [p.value(job.output) for job in jobs] == list(range(1500))
            assert runs(p) == collections.Counter(ids)
            assert all(job.attempt == 1 or job.losses == 0 for job in jobs)

    asyncio.run(main())


def test_two_workers_share_short_jobs(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, NOTES % "def") as p:
            workers = [await p.ready(), await p.ready()]
            ids = await burst(p, 600)
            jobs = await asyncio.gather(*(p.result(i) for i in ids))
            assert {job.status for job in jobs} == {Status.COMPLETED}
            assert runs(p) == collections.Counter(ids)
            assert sum(worker.jobs_done for worker in workers) >= 600

    asyncio.run(main())


@pytest.mark.parametrize("word", ["def", "async def"])
def test_no_job_waits_behind_a_long_one(tmp_path: Path, word: str) -> None:
    """After many short jobs the worker holds some ahead. Those behind a long one go to another worker."""

    async def main() -> None:
        async with plane(tmp_path, NOTES % word) as p:
            await p.ready()
            await asyncio.gather(*(p.result(i) for i in await burst(p, 300)))
            first = [p.submit("long"), *(p.submit(n) for n in range(20))]
            long, *short = await asyncio.gather(*first)
            await until((p.endpoint.root / "long").exists)
            other = await p.ready()
            jobs = await asyncio.gather(*(p.result(i) for i in short))
            behind = [job for job in jobs if job.worker_id == other.id]
            assert behind and all(job.losses == 0 for job in jobs)
            waiting = await p.store.get(NAME, long)
            assert waiting and waiting.status is Status.IN_PROGRESS
            (p.endpoint.root / "go").touch()
            assert (await p.result(long)).status is Status.COMPLETED

    asyncio.run(main())


def test_jobs_that_arrive_while_a_long_one_runs_go_elsewhere(tmp_path: Path) -> None:
    """The credit is still that of short jobs when a long one comes alone; what follows must not pile up here."""

    async def main() -> None:
        async with plane(tmp_path, NOTES % "def") as p:
            first = await p.ready()
            await asyncio.gather(*(p.result(i) for i in await burst(p, 300)))
            long = await p.submit("long")
            await until((p.endpoint.root / "long").exists)
            ids = await burst(p, 10)
            second = await p.ready()
            jobs = await asyncio.gather(*(p.result(i) for i in ids))
            assert {job.worker_id for job in jobs} == {second.id}
            assert list(first.jobs) == [long]
            (p.endpoint.root / "go").touch()
            await p.result(long)

    asyncio.run(main())


def test_a_job_that_was_stopped_before_it_began_is_not_run(tmp_path: Path) -> None:
    """Two are handed out to a worker that runs one: the second is taken back before its turn."""

    async def main() -> None:
        async with plane(tmp_path, NOTES % "def") as p:
            worker = await p.ready()
            await asyncio.gather(*(p.result(i) for i in await burst(p, 300)))
            long, *rest = await asyncio.gather(p.submit("long"), *(p.submit(n) for n in range(5)))
            for job_id in rest:
                await p.store.cancel(NAME, job_id)
                if worker.control and job_id in worker.jobs:
                    worker.control.cancel(job_id, 1)
            await until((p.endpoint.root / "long").exists)
            (p.endpoint.root / "go").touch()
            await p.result(long)
            await until(lambda: not worker.jobs)
            assert (await p.run("after")).status is Status.COMPLETED

    asyncio.run(main())


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_ends_in_a_burst_loses_nothing(tmp_path: Path, end: signal.Signals) -> None:
    async def main() -> None:
        async with plane(tmp_path, NOTES % "def") as p:
            worker = await p.ready()
            ids = await burst(p, 1000)
            await until(lambda: worker.jobs_done > 100)
            assert worker.pid
            os.kill(worker.pid, end)
            await p.exited(worker)
            await p.ready()
            jobs: list[Job] = await asyncio.gather(*(p.result(i) for i in ids))
            assert {job.status for job in jobs} == {Status.COMPLETED}
            assert [json.loads(job.output) for job in jobs if isinstance(job.output, bytes)] == list(range(1000))
            twice = [job_id for job_id, n in runs(p).items() if n > 1]
            lost = [job for job in jobs if job.losses]
            # A drain loses nothing. A kill may run the job that was under way again, and those whose result was
            # not sent yet; of those that waited behind it none counts as lost.
            assert len(lost) <= (0 if end is signal.SIGTERM else 1)
            if end is signal.SIGTERM:
                assert twice == []

    asyncio.run(main())
