"""The scaling loop with workers that run RunPod's own SDK over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.fleet.programs import alive, pids
from tests.scaling.plane import ACT, endpoint, serving
from zeroidle.job import Status

ASYNC = """
import asyncio, os, runpod
async def handler(job):
    with open(job["input"]["mark"], "a") as file:
        file.write(f"{os.getpid()}\\n")
    while not os.path.exists(job["input"]["wait"]):
        await asyncio.sleep(0.01)
    return job["input"]["ok"]
runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 2})
"""


def test_up_from_zero_and_back_and_nothing_stays_behind(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, sdk="real", idle_s=0.2)) as plane:
            jobs = [await plane.put({"ok": n}) for n in range(3)]
            ended = [await plane.end(job) for job in jobs]
            assert [plane.output(job)["ok"] for job in ended] == [0, 1, 2]
            (pid, *_) = [plane.output(job)["pid"] for job in ended]
            await plane.until(lambda: not plane.workers(), "back at zero")
            assert not alive(pid)
            state = plane.scaling.state("probe")
            assert (state.failures, state.crashes) == (0, 0)

    asyncio.run(main())


def test_a_killed_worker_s_job_is_done_again_and_a_cancelled_one_ends_its_process(tmp_path: Path) -> None:
    async def main() -> None:
        mark, gate = tmp_path / "pids", tmp_path / "gate"
        async with serving(tmp_path, endpoint(tmp_path, ACT, sdk="real", max_workers=1)) as plane:
            job = await plane.put({"mark": str(mark), "wait": str(gate), "ok": 1})
            await plane.until(lambda: pids(mark, 1), "it runs")
            os.kill(pids(mark, 1)[0], signal.SIGKILL)
            await plane.until(lambda: pids(mark, 2), "it runs again")
            gate.touch()
            ended = await plane.end(job)
            assert (ended.status, ended.attempt, ended.losses) == (Status.COMPLETED, 2, 1)
            stuck = await plane.put({"mark": str(mark), "sleep": 600})
            await plane.until(lambda: pids(mark, 3), "the next one runs")
            await plane.store.cancel("probe", stuck.id)
            await plane.until(lambda: not alive(pids(mark, 3)[2]), "its process is gone")

    asyncio.run(main())


def test_an_async_handler_is_cancelled_and_its_neighbour_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        mark, gate = tmp_path / "pids", tmp_path / "gate"
        served = endpoint(tmp_path, ASYNC, sdk="real", max_workers=1, concurrency=2)
        async with serving(tmp_path, served) as plane:
            jobs = [await plane.put({"mark": str(mark), "wait": str(gate), "ok": n}) for n in range(2)]
            await plane.until(lambda: pids(mark, 2), "both run")
            await plane.store.cancel("probe", jobs[0].id)
            await plane.until(lambda: jobs[0].id not in plane.workers()[0].jobs, "it was stopped")
            gate.touch()
            ended = await plane.end(jobs[1])
            assert (ended.status, ended.attempt) == (Status.COMPLETED, 1)
            assert plane.count("added") == 1

    asyncio.run(main())


@pytest.mark.slow
def test_a_worker_that_stopped_answering_is_ended_and_its_job_is_done_by_another_one(tmp_path: Path) -> None:
    async def main() -> None:
        mark, gate = tmp_path / "pids", tmp_path / "gate"
        served = endpoint(tmp_path, ACT, sdk="real", max_workers=1, lease_s=5.0)
        async with serving(tmp_path, served) as plane:
            job = await plane.put({"mark": str(mark), "wait": str(gate), "ok": 1})
            await plane.until(lambda: pids(mark, 1), "it runs")
            (frozen,) = pids(mark, 1)
            os.killpg(frozen, signal.SIGSTOP)  # with the process that pings for it
            await plane.until(lambda: pids(mark, 2), "it runs elsewhere")
            assert not alive(frozen)
            gate.touch()
            ended = await plane.end(job)
            assert (ended.status, ended.attempt, ended.losses) == (Status.COMPLETED, 2, 1)

    asyncio.run(main())
