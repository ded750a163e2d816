"""Workers that are killed at random while thousands of jobs run: none is lost, none is recorded twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

from tests.scaling.plane import Plane, endpoint, serving
from zeroidle.job import Job, Status, new_job_id, read_payload
from zeroidle.store.protocol import JobEvent

JOBS = 2000

#: Says who did what, so that a job that ran twice can be told from one that was recorded twice.
HANDLER = """
import os, time, runpod
def handler(job):
    time.sleep(job["input"]["ms"] / 1000)
    return {"n": job["input"]["n"], "square": job["input"]["n"] ** 2, "pid": os.getpid()}
runpod.serverless.start({"handler": handler})
"""

#: The same, a few at a time in one process.
ASYNC_HANDLER = """
import asyncio, os, runpod
async def handler(job):
    await asyncio.sleep(job["input"]["ms"] / 1000)
    return {"n": job["input"]["n"], "square": job["input"]["n"] ** 2, "pid": os.getpid()}
runpod.serverless.start({"handler": handler})
"""


async def _kill_now_and_then(plane: Plane, rng: random.Random, killed: list[int]) -> None:
    while True:
        await asyncio.sleep(rng.uniform(0.03, 0.2))
        busy = [w for w in plane.workers() if w.busy and w.pid]
        if busy:
            pid = rng.choice(busy).pid
            assert pid is not None
            try:
                os.kill(pid, rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))
                killed.append(pid)
            except ProcessLookupError:
                continue


async def _survive(tmp_path: Path, source: str, concurrency: int, seed: int) -> None:
    rng = random.Random(seed)
    # Every job may be hit again and again; here nothing is poison.
    served = endpoint(tmp_path, source, max_workers=2, retries=1000, concurrency=concurrency, idle_s=1.0)
    async with serving(tmp_path, served) as plane:
        ends: Counter[str] = Counter()

        def count(event: JobEvent) -> None:
            if event.kind == "ended":
                ends.update(job.id for job in event.jobs)

        plane.store.listen(count)
        killed: list[int] = []
        killer = asyncio.create_task(_kill_now_and_then(plane, rng, killed))
        jobs: list[Job] = []
        for n in range(JOBS):
            jobs.append(await plane.put({"n": n, "ms": 40 if n % 50 == 0 else 0}, sync=False))
        ended = [await plane.end(job) for job in jobs]
        killer.cancel()
        assert killed, "nobody was killed"
        for n, job in enumerate(ended):
            assert job.status is Status.COMPLETED, (n, job)
            assert job.output is not None
            assert plane.output(job)["n"] == n and plane.output(job)["square"] == n * n
        assert set(ends) == {job.id for job in jobs} and set(ends.values()) == {1}
        counts = plane.store.counts("probe")
        assert (counts.queued, counts.in_progress, counts.completed, counts.failed) == (0, 0, JOBS, 0)
        assert counts.retried == sum(job.losses for job in ended)
        await plane.until(lambda: not plane.workers(), "back at zero")


def test_two_thousand_jobs_survive_workers_that_are_killed(tmp_path: Path) -> None:
    asyncio.run(_survive(tmp_path, HANDLER, concurrency=1, seed=1))


def test_two_thousand_jobs_survive_workers_that_hold_several_and_are_killed(tmp_path: Path) -> None:
    asyncio.run(_survive(tmp_path, ASYNC_HANDLER, concurrency=8, seed=2))


def test_cancels_and_kills_at_the_same_time_leave_each_job_with_one_end(tmp_path: Path) -> None:
    async def main() -> None:
        rng = random.Random(3)
        served = endpoint(tmp_path, HANDLER, max_workers=2, retries=1000, idle_s=1.0)
        async with serving(tmp_path, served) as plane:
            killed: list[int] = []
            killer = asyncio.create_task(_kill_now_and_then(plane, rng, killed))
            jobs = [await plane.put({"n": n, "ms": rng.choice([0, 5, 30])}) for n in range(400)]
            wanted = rng.sample(jobs, 100)
            answers = {}
            for job in wanted:
                found = await plane.store.cancel("probe", job.id)
                assert found is not None and found.final
                answers[job.id] = found.status
            ended = {job.id: await plane.end(job) for job in jobs}
            killer.cancel()
            assert killed
            for job_id, job in ended.items():
                # What a cancel was answered with is what it stays.
                assert job.status is answers.get(job_id, Status.COMPLETED), job
            assert Status.CANCELLED in answers.values()

    asyncio.run(main())


def test_a_plane_that_is_started_again_takes_up_what_was_running_at_once(tmp_path: Path) -> None:
    """The lease of a running job is minutes here: nobody waits for it."""

    async def main() -> None:
        served = endpoint(tmp_path, HANDLER, lease_s=600.0, retries=0)
        plane = Plane(tmp_path, [served])
        await plane.store.open()
        jobs = [await plane.store.put(Job(new_job_id(), "probe", b'{"n":%d,"ms":0}' % n)) for n in range(5)]
        assert len(await plane.store.claim("probe", "of-the-earlier-plane", 3, 600.0, 0)) == 3
        await plane.store.close()
        async with serving(tmp_path, served) as later:
            for n, job in enumerate(jobs):
                ended = await later.end(job)
                assert ended.output is not None and b'"n":%d' % n in read_payload(ended.output, later.store.spool)
                assert ended.losses == 0

    asyncio.run(main())
