"""How a worker ends: drained, told to stop a job, with its plane, or by the handler's own doing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.worker.plane import NAME, Plane, plane, until
from zeroidle.job import Status
from zeroidle.worker import Worker

#: A sync handler that says that it has begun and goes on when it is told to.
WAITS = """
import os, runpod, time
def handler(job):
    open('begun-%s' % job['input'], 'w').close()
    while not os.path.exists('go'):
        time.sleep(0.005)
    return job['input']
runpod.serverless.start({'handler': handler})
"""

ASYNC_WAITS = """
import asyncio, os, runpod
async def handler(job):
    open('begun-%s' % job['input'], 'w').close()
    try:
        while not os.path.exists('go'):
            await asyncio.sleep(0.005)
    except asyncio.CancelledError:
        open('cancelled-%s' % job['input'], 'w').close()
        raise
    return job['input']
runpod.serverless.start({'handler': handler, 'concurrency_modifier': lambda now: 2})
"""


def there(p: Plane, name: str) -> bool:
    return (p.endpoint.root / name).exists()


def terminate(worker: Worker) -> None:
    assert worker.pid
    os.kill(worker.pid, signal.SIGTERM)


@pytest.mark.parametrize("text", [WAITS, ASYNC_WAITS], ids=["sync", "async"])
@pytest.mark.parametrize("how", ["signal", "frame"])
def test_a_drain_ends_the_running_job_and_takes_no_other(tmp_path: Path, text: str, how: str) -> None:
    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            first = await p.submit(1)
            await until(lambda: there(p, "begun-1"))
            if how == "signal":
                terminate(worker)
            else:
                assert worker.control
                worker.control.drain()
            (p.endpoint.root / "go").touch()
            assert p.value((await p.result(first)).output) == 1
            assert (await p.exited(worker)).code == 0
            second = await p.submit(2)
            await p.ready()
            assert (await p.result(second)).attempt == 1

    asyncio.run(main())


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_idle_worker_drains_at_once(tmp_path: Path, concurrency: int) -> None:
    async def main() -> None:
        async with plane(tmp_path, WAITS, concurrency=concurrency) as p:
            for _ in range(2):
                worker = await p.ready()
                terminate(worker)
                assert (await p.exited(worker)).code == 0

    asyncio.run(main())


def test_threads_drain_as_well(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, WAITS, concurrency=2) as p:
            worker = await p.ready()
            ids = [await p.submit(n) for n in (1, 2)]
            await until(lambda: there(p, "begun-1") and there(p, "begun-2"))
            terminate(worker)
            (p.endpoint.root / "go").touch()
            assert [p.value((await p.result(i)).output) for i in ids] == [1, 2]
            assert (await p.exited(worker)).code == 0

    asyncio.run(main())


def test_stopping_an_async_job_cancels_it_and_leaves_the_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, ASYNC_WAITS) as p:
            worker = await p.ready()
            ids = [await p.submit(n) for n in (1, 2)]
            await until(lambda: there(p, "begun-1") and there(p, "begun-2"))
            assert worker.cooperative and worker.control
            await p.store.cancel(NAME, ids[0])
            worker.control.cancel(ids[0], 1)
            await until(lambda: there(p, "cancelled-1"))
            await until(lambda: list(worker.jobs) == [ids[1]])
            (p.endpoint.root / "go").touch()
            assert p.value((await p.result(ids[1])).output) == 2
            assert not there(p, "cancelled-2")

    asyncio.run(main())


LOOKS = """
import runpod, time
from zeroidle import cancelled
def handler(job):
    open('begun', 'w').close()
    while not cancelled():
        time.sleep(0.001)
    open('noticed', 'w').close()
runpod.serverless.start({'handler': handler})
"""

PIECES = """
import runpod, time
def handler(job):
    open('begun', 'w').close()
    try:
        while True:
            time.sleep(0.001)
            yield 1
    finally:
        open('noticed', 'w').close()
runpod.serverless.start({'handler': handler})
"""


@pytest.mark.parametrize("text", [LOOKS, PIECES], ids=["asks", "stream"])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_sync_handler_may_notice_that_its_job_was_stopped(tmp_path: Path, text: str, concurrency: int) -> None:
    async def main() -> None:
        async with plane(tmp_path, text, concurrency=concurrency) as p:
            worker = await p.ready()
            assert worker.cooperative
            job_id = await p.submit(None)
            await until(lambda: there(p, "begun"))
            await p.store.cancel(NAME, job_id)
            assert worker.control
            worker.control.cancel(job_id, 1)
            await until(lambda: there(p, "noticed") and not worker.jobs)
            job = await p.store.get(NAME, job_id)
            assert job and job.status is Status.CANCELLED
            assert worker.id not in p.exits

    asyncio.run(main())


def test_a_plain_handler_is_not_said_to_notice(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, WAITS) as p:
            assert not (await p.ready()).cooperative

    asyncio.run(main())


def test_a_worker_that_is_killed_loses_its_job_to_another(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, WAITS) as p:
            worker = await p.ready()
            job_id = await p.submit(1)
            await until(lambda: there(p, "begun-1"))
            assert worker.pid
            os.kill(worker.pid, signal.SIGKILL)
            assert (await p.exited(worker)).code == -9
            (p.endpoint.root / "go").touch()
            await p.ready()
            job = await p.result(job_id)
            assert (job.attempt, job.losses, job.status) == (2, 1, Status.COMPLETED)

    asyncio.run(main())


def test_a_worker_whose_connection_is_cut_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, WAITS) as p:
            worker = await p.ready()
            await p.socket.close()
            assert (await p.exited(worker)).code == 1
            assert "the plane closed the connection" in p.log(worker)

    asyncio.run(main())


def test_what_the_handler_registered_for_the_exit_runs_and_threads_do_not_hold_it_up(tmp_path: Path) -> None:
    text = """
import atexit, runpod, sys, threading, time
atexit.register(lambda: print('goodbye'))
threading.Thread(target=time.sleep, args=(600,)).start()
runpod.serverless.start({'handler': lambda job: sys.stdout.write('unfinished line')})
"""

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            await p.run(1)
            terminate(worker)
            assert (await p.exited(worker)).code == 0
            assert p.log(worker) == "unfinished linegoodbye\n"

    asyncio.run(main())


#: A plane in a process of its own; it says the worker's process id when its handler has begun a job.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.worker.plane import plane, until
async def main():
    async with plane(Path(sys.argv[1]), Path(sys.argv[2]).read_text()) as p:
        worker = await p.ready()
        await p.submit(1)
        await until((p.endpoint.root / "begun-1").exists)
        print(worker.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""

#: It holds the interpreter for seconds at a time, and has a child that ignores everything.
STUBBORN = """
import os, re, runpod, signal, subprocess, sys
def handler(job):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    code = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)'
    child = subprocess.Popen([sys.executable, '-c', code])
    open('child', 'w').write(str(child.pid))
    open('begun-1', 'w').close()
    re.match(r'(a|aa)+$', 'a' * 60 + 'b')  # takes longer than anybody lives, without letting go of the interpreter
runpod.serverless.start({'handler': handler})
"""


@pytest.mark.parametrize("text", [WAITS, STUBBORN], ids=["sleeping", "stubborn"])
def test_workers_die_with_a_plane_that_is_killed(tmp_path: Path, text: str) -> None:
    (tmp_path / "handler.txt").write_text(text)
    (tmp_path / "data").mkdir()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "data"), str(tmp_path / "handler.txt")],
        stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True,
    )  # fmt: skip
    assert program.stdout
    pids = [int(program.stdout.readline())]
    child = tmp_path / "data" / "app" / "child"
    if child.exists():
        pids.append(int(child.read_text()))
    assert all(lives(pid) for pid in pids)
    program.kill()
    program.wait()
    deadline = time.monotonic() + 30
    while any(lives(pid) for pid in pids):
        assert time.monotonic() < deadline, "the worker outlived its plane"
        time.sleep(0.01)


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_that_the_handler_forks_ends_at_a_signal(tmp_path: Path) -> None:
    text = """
import os, runpod, signal, time
def handler(job):
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
runpod.serverless.start({'handler': handler})
"""

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            assert p.value((await p.run(None)).output) == -15
            assert p.value((await p.run(None)).output) == -15
            assert worker.connected

    asyncio.run(main())
