"""The scaling loop with real workers: up from zero, down to zero, limits, reload, drain."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path

from tests.fleet.programs import alive, pids
from tests.scaling.plane import ECHO, Plane, endpoint, serving
from zeroidle.endpoint import Scaler
from zeroidle.job import Job, Status


def names(job: Job) -> list[str]:
    return [phase.name for phase in job.phases]


def test_up_from_zero_for_one_job_and_back_to_zero_when_idle(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, ECHO, idle_s=0.2)) as plane:
            assert plane.workers() == []
            job = await plane.run({"hello": "wörld"})
            assert job.status is Status.COMPLETED and plane.output(job) == {"hello": "wörld"}
            assert job.worker_id and plane.count("added") == 1
            await plane.until(lambda: not plane.workers(), "back at zero")
            state = plane.scaling.state("probe")
            assert (state.wanted, state.failures, state.crashes, state.last_exit) == (0, 0, 0, None)
            assert 0 < state.boot_s < 60
            (record,) = await plane.store.list_workers("probe")
            assert (record.state, record.exit, record.jobs_done, record.error) == ("gone", "stopped: idle", 1, None)
            assert record.ready_at and record.ended_at and record.phases

    asyncio.run(main())


def test_the_job_that_woke_a_worker_shows_what_it_waited_for_and_the_next_one_does_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, ECHO)) as plane:
            cold = await plane.run(1)
            assert {"capacity", "boot", "import"} <= set(names(cold)), names(cold)
            assert all(p.end is not None and p.start >= cold.queued_at - 0.001 for p in cold.phases)
            warm = await plane.run(2)
            assert set(names(warm)) == {"queued", "run"}

    asyncio.run(main())


def test_a_burst_gets_as_many_workers_as_are_allowed_and_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        gate = tmp_path / "gate"
        async with serving(tmp_path, endpoint(tmp_path, max_workers=3)) as plane:
            jobs = [await plane.put({"wait": str(gate), "mark": str(tmp_path / "pids")}) for _ in range(9)]
            await plane.until(lambda: pids(tmp_path / "pids", 3), "three work at the same time")
            gate.touch()
            ended = [await plane.end(job) for job in jobs]
            assert {job.status for job in ended} == {Status.COMPLETED}
            assert plane.most == plane.count("added") == 3

    asyncio.run(main())


def test_a_minimum_is_kept_and_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, ECHO, min_workers=1, idle_s=0.05)) as plane:
            await plane.until(lambda: plane.count("ready") == 1, "one is there before any job")
            (first,) = plane.workers()
            await plane.fleet.stop(first.id, 0)
            await plane.until(lambda: plane.count("ready") == 2, "it was replaced")
            assert plane.workers()[0].id != first.id

    asyncio.run(main())


def test_with_no_workers_allowed_jobs_wait_until_the_limit_is_raised(tmp_path: Path) -> None:
    async def main() -> None:
        closed = endpoint(tmp_path, ECHO, max_workers=0)
        async with serving(tmp_path, closed) as plane:
            job = await plane.put(5)
            await plane.until(lambda: plane.scaling.state("probe").boot_s == 1.0, "it was decided")
            assert plane.workers() == [] and plane.store.counts("probe").queued == 1
            plane.endpoints["probe"] = dataclasses.replace(closed, max_workers=1)
            plane.scaling.reload("probe")
            assert plane.output(await plane.end(job)) == 5

    asyncio.run(main())


def test_a_changed_handler_is_served_by_new_workers_and_the_running_job_ends_on_the_old_one(tmp_path: Path) -> None:
    async def main() -> None:
        gate, mark = tmp_path / "gate", tmp_path / "pids"
        async with serving(tmp_path, endpoint(tmp_path)) as plane:
            old = await plane.put({"wait": str(gate), "mark": str(mark), "ok": "old"})
            await plane.until(lambda: pids(mark, 1), "it runs")
            endpoint(tmp_path, ECHO)
            plane.scaling.reload("probe")
            assert plane.output(await plane.run("new")) == "new"
            gate.touch()
            ended = await plane.end(old)
            assert plane.output(ended)["ok"] == "old" and ended.attempt == 1

    asyncio.run(main())


def test_a_removed_endpoint_loses_its_workers(tmp_path: Path) -> None:
    async def main() -> None:
        two = [endpoint(tmp_path, ECHO, name) for name in ("one", "two")]
        async with serving(tmp_path, *two) as plane:
            assert (await plane.run(1, "one")).worker_id != (await plane.run(2, "two")).worker_id
            del plane.endpoints["one"]
            plane.scaling.reload("one")
            await plane.until(lambda: not plane.workers("one"), "its worker ended")
            assert len(plane.workers("two")) == 1

    asyncio.run(main())


def test_low_priority_starts_no_worker_and_is_served_by_one_that_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, ECHO)) as plane:
            low = await plane.put("low", policy={"low_priority": True})
            assert plane.output(await plane.run("high")) == "high"
            assert plane.output(await plane.end(low)) == "low"
            assert plane.count("added") == 1

    asyncio.run(main())


def test_request_count_keeps_no_idle_worker(tmp_path: Path) -> None:
    async def main() -> None:
        served = endpoint(tmp_path, ECHO, idle_s=3600.0, scaler=Scaler("request_count", 4))
        async with serving(tmp_path, served) as plane:
            await plane.run(1)
            await plane.until(lambda: not plane.workers(), "gone although the idle time-out is an hour")

    asyncio.run(main())


def test_queue_delay_adds_a_worker_for_a_request_that_has_waited(tmp_path: Path) -> None:
    async def main() -> None:
        mark, gate = tmp_path / "pids", tmp_path / "gate"
        served = endpoint(tmp_path, scaler=Scaler("queue_delay", 0.5), max_workers=3)
        async with serving(tmp_path, served) as plane:
            first = await plane.put({"mark": str(mark), "wait": str(gate)})
            await plane.until(lambda: pids(mark, 1), "the first request has its worker")
            second = await plane.put({"mark": str(mark), "wait": str(gate)})
            await plane.until(lambda: pids(mark, 2), "the second one got another")
            gate.touch()
            ended = [await plane.end(job) for job in (first, second)]
            assert ended[0].worker_id != ended[1].worker_id
            assert plane.count("added") == 2
            records = {r.id: r for r in await plane.store.list_workers("probe")}
            added = records[ended[1].worker_id or ""]
            assert added.started_at - second.created_at >= 0.5

    asyncio.run(main())


def test_a_worker_that_asks_to_be_refreshed_is_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        source = (
            "import os, runpod\n"
            "runpod.serverless.start({'handler': lambda job: {'refresh_worker': True, 'pid': os.getpid()}})\n"
        )
        async with serving(tmp_path, endpoint(tmp_path, source)) as plane:
            jobs = [await plane.run(n) for n in range(3)]
            assert len({plane.output(job)["pid"] for job in jobs}) == 3
            assert {job.attempt for job in jobs} == {1}
            assert plane.scaling.state("probe").crashes == 0

    asyncio.run(main())


def test_draining_lets_the_running_job_end_and_starts_nothing_more(tmp_path: Path) -> None:
    async def main() -> None:
        gate, mark = tmp_path / "gate", tmp_path / "pids"
        plane = Plane(tmp_path, [endpoint(tmp_path, max_workers=1)])
        await plane.open()
        running = await plane.put({"wait": str(gate), "mark": str(mark)})
        await plane.until(lambda: pids(mark, 1), "it runs")
        waiting = await plane.put({"ok": 2})
        drain = asyncio.create_task(plane.scaling.drain(60))
        await asyncio.sleep(0)
        gate.touch()
        await drain
        ended = await plane.store.get("probe", running.id)
        left = await plane.store.get("probe", waiting.id)
        assert ended is not None and ended.status is Status.COMPLETED
        assert left is not None and (left.status, left.losses) == (Status.IN_QUEUE, 0)
        assert plane.count("added") == 1
        await plane.close()
        async with serving(tmp_path, *plane.endpoints.values()) as later:
            assert later.output(await later.end(waiting))["ok"] == 2

    asyncio.run(main())


def test_what_does_not_end_within_the_grace_goes_back_to_the_queue_and_costs_no_retry(tmp_path: Path) -> None:
    async def main() -> None:
        gate, mark = tmp_path / "gate", tmp_path / "pids"
        plane = Plane(tmp_path, [endpoint(tmp_path)])
        await plane.open()
        job = await plane.put({"wait": str(gate), "mark": str(mark), "ok": 1})
        await plane.until(lambda: pids(mark, 1), "it runs")
        await plane.close(grace_s=0.05)
        assert not alive(pids(mark, 1)[0])
        gate.touch()
        async with serving(tmp_path, *plane.endpoints.values()) as later:
            ended = await later.end(job)
            assert (later.output(ended)["ok"], ended.attempt, ended.losses) == (1, 2, 0)
            (old, *_) = [r for r in await later.store.list_workers("probe") if r.id != ended.worker_id]
            assert (old.state, old.exit) == ("gone", "stopped: plane stops")

    asyncio.run(main())


def test_a_job_over_its_time_to_live_ends_without_a_worker(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, max_workers=0, ttl_s=0.3)) as plane:
            job = await plane.run(1)
            assert job.status is Status.TIMED_OUT and job.error and "time to live" in job.error

    asyncio.run(main())


def test_a_plane_at_zero_workers_does_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, ECHO, idle_s=0.05)) as plane:
            await plane.run(1)
            await plane.until(lambda: not plane.workers(), "back at zero")
            await asyncio.sleep(0.5)  # what follows the last event: the expiry clock, the worker's record
            before = time.process_time()
            await asyncio.sleep(1.0)
            # Something that polls 100 times a second would use more. It is processor time, not time on the wall.
            assert time.process_time() - before < 0.01

    asyncio.run(main())
