"""The fork server: workers that are born with their imports done, and what happens when one cannot be."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import venv
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.worker.plane import Plane, plane, until
from zeroidle.job import Status
from zeroidle.worker import Worker

#: Answers with what it finds in its process; `born_with` is what was imported before its first line.
TELLS = """
import sys
born_with = 'xml.dom.minidom' in sys.modules
import os, random, signal, xml.dom.minidom
import runpod
def handler(job):
    wanted = job['input']
    if wanted == 'exit': os._exit(3)
    print('a line of', os.getpid(), flush=True)
    return {
        'born_with': born_with, 'pid': os.getpid(), 'parent': os.getppid(), 'cwd': os.getcwd(),
        'mode': os.environ.get('MODE'), 'worker': os.environ.get('ZEROIDLE_WORKER'), 'argv': sys.argv[1:],
        'session': os.getsid(0), 'random': random.random(), 'hidden': 'ZEROIDLE_WORKER_TOKEN' in os.environ,
        'threads': os.environ.get('OMP_NUM_THREADS'), 'int': signal.getsignal(signal.SIGINT) is not signal.SIG_IGN,
    }
runpod.serverless.start({'handler': handler})
"""


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def end(p: Plane, worker: Worker) -> None:
    """Lets a worker drain and waits until nothing is left of it."""
    assert worker.pid
    await p.fleet.stop(worker.id, 10)
    assert (await p.exited(worker)).code == 0


async def first_run(p: Plane) -> None:
    """The spawned run after which workers are forked."""
    worker = await p.ready()
    assert not running(p, worker).forked
    await p.run("first")
    await end(p, worker)
    await until(lambda: p.fleet.zygotes.pids())


def running(p: Plane, worker: Worker) -> Any:
    return next(found for found in p.fleet.list() if found.worker_id == worker.id)


async def answer(p: Plane, value: Any = "") -> Any:
    return p.value((await p.run(value)).output)


def test_the_second_worker_is_forked_with_its_imports_done_and_is_otherwise_like_the_first(tmp_path: Path) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS, env={"MODE": "turbo"}) as p:
            first = await p.ready()
            spawned = await answer(p)
            await end(p, first)
            second = await p.ready()
            assert running(p, second).forked
            forked = await answer(p)
            assert (spawned["born_with"], forked["born_with"]) == (False, True)
            assert forked["parent"] == p.fleet.zygotes.pids()[0] != spawned["parent"]
            assert forked["pid"] == running(p, second).pid == forked["session"]
            assert forked["worker"] == second.id
            for same in ("cwd", "mode", "argv", "hidden", "threads", "int"):
                assert forked[same] == spawned[same], same
            assert f"a line of {forked['pid']}" in p.log(second)
            assert str(spawned["pid"]) not in p.log(second)
            await end(p, second)

    run(test())


def test_siblings_draw_different_random_numbers(tmp_path: Path) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS) as p:
            await first_run(p)
            drawn = set()
            for _ in range(3):
                worker = await p.ready()
                drawn.add((await answer(p))["random"])
                await end(p, worker)
            assert len(drawn) == 3

    run(test())


@pytest.mark.parametrize(("how", "code"), [("exit", 3), (signal.SIGKILL, -9), (signal.SIGSEGV, -11)])
def test_how_a_forked_worker_ended_is_known(tmp_path: Path, how: Any, code: int) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS) as p:
            await first_run(p)
            worker = await p.ready()
            pid = running(p, worker).pid
            if how == "exit":
                await p.submit("exit")
            else:
                os.kill(pid, how)
            assert (await p.exited(worker)).code == code
            await until(lambda: not p.fleet.list())
            await until(lambda: not exists(pid))  # reaped, so no zombie is left

    run(test())


def test_workers_outlive_their_fork_server_and_the_next_one_gets_a_new_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS) as p:
            await first_run(p)
            worker = await p.ready()
            (server,) = p.fleet.zygotes.pids()
            os.kill(server, signal.SIGKILL)
            await until(lambda: server not in p.fleet.zygotes.pids())
            assert (await p.run("")).status is Status.COMPLETED
            await p.fleet.stop(worker.id, 10)
            assert (await p.exited(worker)).code is None  # its parent could not be asked
            again = await p.ready()
            assert running(p, again).forked
            assert (await answer(p))["parent"] in p.fleet.zygotes.pids() != [server]
            await end(p, again)

    run(test())


def test_a_fork_server_that_dies_while_a_worker_is_wanted_costs_only_the_fork(tmp_path: Path) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS) as p:
            await first_run(p)
            (server,) = p.fleet.zygotes.pids()
            os.kill(server, signal.SIGSTOP)  # it takes the order and never answers
            starting = asyncio.ensure_future(p.ready())
            await asyncio.sleep(0)  # the order goes out
            os.kill(server, signal.SIGKILL)
            worker = await starting
            assert not running(p, worker).forked
            assert "SIGKILL" in running(p, worker).note
            assert (await p.run("")).status is Status.COMPLETED
            await end(p, worker)

    run(test())


def test_one_that_has_not_taken_its_place_yet_can_be_killed(tmp_path: Path) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS) as p:
            await first_run(p)
            worker = await p.ready()
            ended = running(p, worker).pid
            await end(p, worker)
            (server,) = p.fleet.zygotes.pids()

            def waiting() -> list[int]:
                found = Path(f"/proc/{server}/task/{server}/children").read_text().split()
                return [int(pid) for pid in found if int(pid) != ended]

            spare = await until(waiting)
            os.kill(spare[0], signal.SIGSTOP)  # so it stays in the fork server's group
            await p.start()
            await asyncio.wait_for(p.fleet.stop(p.fleet.list()[0].worker_id, 0), 20)
            assert not p.fleet.list()

    run(test())


def test_two_hundred_forks_leave_nothing_behind(tmp_path: Path) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS) as p:
            await first_run(p)
            (server,) = p.fleet.zygotes.pids()
            open_before = None
            for _ in range(10):
                workers = await asyncio.gather(*(p.ready() for _ in range(20)))
                assert all(running(p, worker).forked for worker in workers)
                await asyncio.gather(*(end(p, worker) for worker in workers))
                await until(lambda: children(server) <= 1)  # the one that waits to be the next worker
                now = len(os.listdir(f"/proc/{server}/fd"))
                open_before = open_before or now
                assert now <= open_before + 1
            assert p.fleet.zygotes.pids() == [server]

    run(test())


def children(pid: int) -> int:
    return len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def test_it_goes_away_when_it_is_not_used(tmp_path: Path) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS, fork_server_idle_s=1.0) as p:
            await first_run(p)
            worker = await p.ready()
            (server,) = p.fleet.zygotes.pids()
            await end(p, worker)
            await until(lambda: not p.fleet.zygotes.pids())
            assert not exists(server)

    run(test())


def exists(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS, fork_server_idle_s=0.0) as p:
            for _ in range(2):
                worker = await p.ready()
                assert not running(p, worker).forked
                await end(p, worker)
            assert not p.fleet.zygotes.pids()

    run(test())


def test_a_changed_handler_is_read_anew(tmp_path: Path) -> None:
    async def test() -> None:
        async with plane(tmp_path, TELLS) as p:
            await first_run(p)
            p.endpoint.handler.write_text(TELLS.replace("'born_with': born_with", "'born_with': 'new'"))
            worker = await p.ready()
            assert not running(p, worker).forked
            assert (await answer(p))["born_with"] == "new"
            await end(p, worker)

    run(test())


LIBRARIES = {
    "threads": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True, name='busy').start()\n",
        "1 threads",
    ),
    "opens the GPU": ("kept = open('/dev/nvidia-of-a-test', 'w')\n", "opened the GPU"),
    "dies": ("import os\nif 'ZEROIDLE_WORKER' not in os.environ: os.abort()\n", "SIGABRT"),
}


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_library_that_cannot_be_forked_is_spawned_and_the_reason_is_said(tmp_path: Path, kind: str) -> None:
    library, words = LIBRARIES[kind]
    if kind == "opens the GPU":
        if not os.access("/dev", os.W_OK):
            pytest.skip("only root can make a file in /dev")
        Path("/dev/nvidia-of-a-test").touch()
    venv.create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    folder = tmp_path / "env" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (folder / "library.py").write_text(library)

    async def test() -> None:
        async with plane(tmp_path, "import library\n" + TELLS, python=str(python)) as p:
            first = await p.ready()
            await end(p, first)
            for _ in range(2):
                worker = await p.ready()
                assert not running(p, worker).forked
                assert words in running(p, worker).note
                assert (await p.run("")).status is Status.COMPLETED
                await end(p, worker)
            assert not p.fleet.zygotes.pids()

    try:
        run(test())
    finally:
        Path("/dev/nvidia-of-a-test").unlink(missing_ok=True)
