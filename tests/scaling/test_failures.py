"""The scaling loop when things go wrong: handlers that do not start, crash, hang, or kill their process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from tests.fleet.programs import alive, pids
from tests.scaling.plane import ECHO, Plane, endpoint, serving
from zeroidle.job import Status


def test_a_killed_worker_s_job_is_done_by_another_one(tmp_path: Path) -> None:
    async def main() -> None:
        mark, gate = tmp_path / "pids", tmp_path / "gate"
        async with serving(tmp_path, endpoint(tmp_path)) as plane:
            job = await plane.put({"mark": str(mark), "wait": str(gate), "ok": 1})
            await plane.until(lambda: pids(mark, 1), "it runs")
            gate.touch()
            os.kill(pids(mark, 1)[0], signal.SIGSTOP)  # so that it cannot be faster than the kill
            os.kill(pids(mark, 1)[0], signal.SIGKILL)
            ended = await plane.end(job)
            assert ended.status is Status.COMPLETED
            assert (ended.attempt, ended.losses) in ((2, 1), (1, 0))  # it may have ended before the signal
            assert plane.store.counts("probe").retried == ended.losses

    asyncio.run(main())


def test_a_poison_job_is_set_aside_after_its_retries_and_the_others_are_done(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, max_workers=1, retries=2)) as plane:
            poison = await plane.put({"kill": signal.SIGSEGV})
            good = [await plane.put({"ok": n}) for n in range(5)]
            ended = await plane.end(poison)
            assert ended.status is Status.FAILED and ended.attempt == 3
            assert ended.error and "signal 11" in ended.error and "no retries left" in ended.error
            done = [await plane.end(job) for job in good]
            assert {(job.status, job.losses) for job in done} == {(Status.COMPLETED, 0)}

    asyncio.run(main())


def test_jobs_handed_out_ahead_are_not_blamed_for_the_death_of_their_worker(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, max_workers=1, retries=0)) as plane:
            for _ in range(3):  # short jobs: the worker asks for several at a time
                await asyncio.gather(*[plane.run({"ok": n}) for n in range(40)])
            jobs = [await plane.put({"kill": 9} if n == 10 else {"ok": n}) for n in range(60)]
            ended = [await plane.end(job) for job in jobs]
            assert [n for n, job in enumerate(ended) if job.status is not Status.COMPLETED] == [10]
            assert sum(job.losses for job in ended) == 1

    asyncio.run(main())


def test_of_several_jobs_in_one_process_only_the_one_that_kills_it_is_blamed(tmp_path: Path) -> None:
    async def main() -> None:
        source = (
            "import asyncio, os, runpod\n"
            "async def handler(job):\n"
            "    await asyncio.sleep(0.05)\n"
            "    if job['input'] == 'poison': os.kill(os.getpid(), 11)\n"
            "    await asyncio.sleep(0.05)\n"
            "    return job['input']\n"
            "runpod.serverless.start({'handler': handler})\n"
        )
        served = endpoint(tmp_path, source, max_workers=2, concurrency=4, retries=1)
        async with serving(tmp_path, served) as plane:
            jobs = [await plane.put("poison" if n in (3, 11) else n) for n in range(20)]
            ended = [await plane.end(job) for job in jobs]
            assert [n for n, job in enumerate(ended) if job.status is not Status.COMPLETED] == [3, 11]
            assert {job.losses for n, job in enumerate(ended) if n not in (3, 11)} == {0}
            assert all("signal 11" in (ended[n].error or "") and ended[n].losses == 2 for n in (3, 11))
            # Afterwards workers run several at a time again.
            await asyncio.gather(*[plane.run(n) for n in range(12)])
            assert {worker.cap for worker in plane.workers()} == {None}

    asyncio.run(main())


def test_a_handler_that_crashes_at_every_job_is_held_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, max_workers=2, retries=0)) as plane:
            jobs = [await plane.put({"exit": 7}) for _ in range(4)]
            for job in jobs[:3]:
                ended = await plane.end(job)
                assert ended.status is Status.FAILED and ended.error and "exit 7" in ended.error
            state = plane.scaling.state("probe")
            assert state.crashes >= 3 and state.last_exit == "exit 7"
            assert state.last_error and "the handler leaves" in state.last_error
            await plane.end(jobs[3])
            assert plane.count("added") <= 5
            # One that works again is not held back for what was before.
            assert (await plane.run({"ok": 1})).status is Status.COMPLETED
            assert plane.scaling.state("probe").crashes == 0

    asyncio.run(main())


def test_a_handler_that_does_not_import_keeps_the_queue_and_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, "import no_such_module_at_all\n")) as plane:
            job = await plane.put(3)
            await plane.until(lambda: plane.scaling.state("probe").failures, "the start failed")
            state = plane.scaling.state("probe")
            assert state.last_error and "no_such_module_at_all" in state.last_error
            assert state.last_exit == "failed: missing-module"  # and not the signal that ended it for that
            assert state.permanent and state.last_error_kind == "missing-module"
            assert state.backoff_until and state.backoff_until > time.time()
            assert plane.store.counts("probe").queued == 1
            await asyncio.gather(*[plane.put(n) for n in range(50)])
            assert plane.count("added") < 5  # what comes in does not start it again before its time
            record = (await plane.store.list_workers("probe"))[-1]
            assert record.state == "gone" and record.error and "no_such_module_at_all" in record.error
            endpoint(tmp_path, ECHO)  # a saved file is tried at once
            await plane.put("new")
            assert plane.output(await plane.end(job)) == 3
            assert plane.scaling.state("probe").failures == 0

    asyncio.run(main())


def test_a_script_that_ends_without_a_start_is_a_failed_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, "print('nothing to see')\n")) as plane:
            await plane.put(1)
            await plane.until(lambda: plane.scaling.state("probe").failures, "the start failed")
            assert plane.scaling.state("probe").last_error_kind == "no-start"

    asyncio.run(main())


def test_a_failed_start_that_is_over_before_the_plane_looks_says_why_all_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, "import no_such_module_at_all\n", concurrency=5)) as plane:
            await plane.put(1)
            await plane.until(lambda: plane.workers() and plane.workers()[0].pid, "its process runs")
            _stand_still_until_ended(plane.workers()[0].pid or 0)
            await plane.put(2)
            await plane.until(lambda: plane.scaling.state("probe").failures, "the start failed")
            state = plane.scaling.state("probe")
            assert (state.last_error_kind, state.permanent) == ("missing-module", True)
            assert plane.count("added") == 1  # none was started in its place before that was known

    asyncio.run(main())


def _stand_still_until_ended(pid: int) -> None:
    """Keeps the plane's loop from turning, so that the worker's connection and its end come to it at once."""
    deadline = time.monotonic() + 60
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_missing_interpreter_is_a_failed_start_with_a_sentence(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, endpoint(tmp_path, ECHO, python="no/such/python")) as plane:
            await plane.put(1)
            await plane.until(lambda: plane.scaling.state("probe").failures, "the start failed")
            state = plane.scaling.state("probe")
            assert state.permanent and state.last_error and "no/such/python" in state.last_error
            assert plane.workers() == []

    asyncio.run(main())


def test_a_worker_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    async def main() -> None:
        mark = tmp_path / "pids"
        source = (
            f"import os, time\nopen({str(mark)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
            "print('loading')\ntime.sleep(600)\n"
        )
        async with serving(tmp_path, endpoint(tmp_path, source, start_timeout_s=1.0)) as plane:
            await plane.put(1)
            # On a busy machine the first ones may not even have come so far.
            await plane.until(lambda: "loading" in (plane.scaling.state("probe").last_error or ""), "the start failed")
            state = plane.scaling.state("probe")
            assert state.failures and state.last_exit == "not ready within 1 s" and not state.permanent
            await plane.until(lambda: not alive(pids(mark, 1)[0]), "its process is gone")

    asyncio.run(main())


async def _running(plane: Plane, mark: Path, count: int = 1) -> list[int]:
    await plane.until(lambda: pids(mark, count), "it runs")
    return pids(mark, count)


def test_a_time_out_ends_a_handler_that_does_not_look(tmp_path: Path) -> None:
    async def main() -> None:
        mark = tmp_path / "pids"
        async with serving(tmp_path, endpoint(tmp_path, timeout_s=0.4, max_workers=1)) as plane:
            job = await plane.put({"mark": str(mark), "sleep": 600})
            (pid,) = await _running(plane, mark)
            ended = await plane.end(job)
            assert ended.status is Status.TIMED_OUT and ended.error and "0.4 s" in ended.error
            assert (await plane.run({"ok": 1})).status is Status.COMPLETED
            assert not alive(pid)
            assert plane.scaling.state("probe").crashes == 0

    asyncio.run(main())


def test_a_cancel_ends_a_handler_that_does_not_look_and_its_children(tmp_path: Path) -> None:
    async def main() -> None:
        mark = tmp_path / "pids"
        source = (
            "import os, subprocess, runpod\n"
            "def handler(job):\n"
            "    child = subprocess.Popen(['sleep', '600'])\n"
            f"    open({str(mark)!r}, 'a').write(f'{{os.getpid()}}\\n{{child.pid}}\\n')\n"
            "    child.wait()\n"
            "runpod.serverless.start({'handler': handler})\n"
        )
        async with serving(tmp_path, endpoint(tmp_path, source)) as plane:
            job = await plane.put({})
            both = await _running(plane, mark, 2)
            cancelled = await plane.store.cancel("probe", job.id)
            assert cancelled is not None and cancelled.status is Status.CANCELLED
            await plane.until(lambda: not any(map(alive, both)), "both processes are gone")
            found = await plane.store.get("probe", job.id)
            assert found is not None and (found.status, found.attempt) == (Status.CANCELLED, 1)
            await plane.until(lambda: not plane.workers(), "the worker is gone")
            assert plane.scaling.state("probe").crashes == 0

    asyncio.run(main())


def test_a_handler_that_looks_at_cancelled_keeps_its_worker(tmp_path: Path) -> None:
    async def main() -> None:
        mark = tmp_path / "pids"
        source = (
            "import os, time, runpod\n"
            "from zeroidle_worker.context import cancelled\n"
            "def handler(job):\n"
            "    if job['input'] == 'pid': return os.getpid()\n"
            f"    open({str(mark)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
            "    while not cancelled(): time.sleep(0.01)\n"
            "runpod.serverless.start({'handler': handler})\n"
        )
        async with serving(tmp_path, endpoint(tmp_path, source)) as plane:
            job = await plane.put("long")
            (pid,) = await _running(plane, mark)
            await plane.store.cancel("probe", job.id)
            assert plane.output(await plane.run("pid")) == pid
            assert plane.count("added") == 1

    asyncio.run(main())


def test_an_async_handler_is_cancelled_without_its_neighbours(tmp_path: Path) -> None:
    async def main() -> None:
        mark, gate = tmp_path / "pids", tmp_path / "gate"
        source = (
            "import asyncio, os, runpod\n"
            "async def handler(job):\n"
            f"    open({str(mark)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
            f"    while not os.path.exists({str(gate)!r}): await asyncio.sleep(0.01)\n"
            "    return job['input']\n"
            "runpod.serverless.start({'handler': handler})\n"
        )
        async with serving(tmp_path, endpoint(tmp_path, source, concurrency=3, max_workers=1)) as plane:
            jobs = [await plane.put(n) for n in range(3)]
            await _running(plane, mark, 3)
            await plane.store.cancel("probe", jobs[1].id)
            await plane.until(lambda: jobs[1].id not in plane.workers()[0].jobs, "it was stopped")
            gate.touch()
            ended = [await plane.end(job) for job in jobs]
            assert [(job.status, job.attempt) for job in ended] == [
                (Status.COMPLETED, 1), (Status.CANCELLED, 1), (Status.COMPLETED, 1),
            ]  # fmt: skip
            assert len(set(pids(mark, 3))) == 1 and plane.count("added") == 1

    asyncio.run(main())


def test_when_one_of_several_jobs_must_be_killed_the_others_are_done_again_and_not_blamed(tmp_path: Path) -> None:
    async def main() -> None:
        mark, gate = tmp_path / "pids", tmp_path / "gate"
        async with serving(tmp_path, endpoint(tmp_path, concurrency=3, max_workers=1, retries=0)) as plane:
            jobs = [await plane.put({"mark": str(mark), "wait": str(gate), "ok": n}) for n in range(3)]
            await _running(plane, mark, 3)
            await plane.store.cancel("probe", jobs[0].id)
            await _running(plane, mark, 5)
            gate.touch()
            ended = [await plane.end(job) for job in jobs]
            assert [(job.status, job.attempt, job.losses) for job in ended] == [
                (Status.CANCELLED, 1, 0), (Status.COMPLETED, 2, 0), (Status.COMPLETED, 2, 0),
            ]  # fmt: skip

    asyncio.run(main())
