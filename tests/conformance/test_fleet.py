"""What every fleet keeps, run over each implementation."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.fleet.programs import alive, endpoint, entry, pids, say, until
from zeroidle.errors import WorkerError
from zeroidle.fleet.local import LocalFleet
from zeroidle.fleet.protocol import Exit, Fleet

Made = tuple[Fleet, list[Exit]]
Make = Callable[[Path], AbstractAsyncContextManager[Made]]


@asynccontextmanager
async def local(folder: Path) -> AsyncIterator[Made]:
    fleet = LocalFleet(folder / "data", entry=entry(folder))
    exits: list[Exit] = []
    fleet.on_exit(exits.append)
    try:
        yield fleet, exits
    finally:
        await fleet.close()


@pytest.fixture(params=[local], ids=["local"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def test_a_started_worker_is_listed_and_its_exit_is_told_once(make: Make, tmp_path: Path) -> None:
    async def main() -> None:
        async with make(tmp_path) as (fleet, exits):
            running = await fleet.start(endpoint(tmp_path, "import sys\nprint('hello')\nsys.exit(7)"), "w1", {})
            assert (running.worker_id, running.endpoint) == ("w1", "probe")
            assert [r.worker_id for r in fleet.list()] == ["w1"]
            await until(lambda: exits, "the exit is told")
            assert exits == [Exit("w1", 7)]
            assert fleet.list() == []
            assert running.log_path.read_text() == "hello\n"
            await fleet.stop("w1", 1)  # already gone: returns
            assert len(exits) == 1

    asyncio.run(main())


def test_stop_asks_first_and_the_worker_may_end_by_itself(make: Make, tmp_path: Path) -> None:
    source = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\nprint('up', flush=True)\ntime.sleep(60)"
    )

    async def main() -> None:
        async with make(tmp_path) as (fleet, exits):
            running = await fleet.start(endpoint(tmp_path, source), "w1", {})
            await until(lambda: "up" in running.log_path.read_text(), "the program runs")
            await fleet.stop("w1", 20)
            assert exits == [Exit("w1", 3)]
            assert not alive(running.pid)

    asyncio.run(main())


def test_stop_kills_a_worker_that_does_not_listen_and_all_its_children(make: Make, tmp_path: Path) -> None:
    log = tmp_path / "pids"
    source = say(log) + (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n    say(); time.sleep(60)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "say(); time.sleep(60)"
    )

    async def main() -> None:
        async with make(tmp_path) as (fleet, exits):
            await fleet.start(endpoint(tmp_path, source), "w1", {})
            await until(lambda: pids(log, 2), "both run")
            await fleet.stop("w1", 0.05)
            assert exits == [Exit("w1", -signal.SIGKILL)]
            assert not exits[0].out_of_memory
            assert not any(alive(pid) for pid in pids(log, 2))

    asyncio.run(main())


def test_close_leaves_nothing(make: Make, tmp_path: Path) -> None:
    async def main() -> None:
        async with make(tmp_path) as (fleet, exits):
            target = endpoint(tmp_path, "import time; time.sleep(60)")
            started = [await fleet.start(target, f"w{n}", {}) for n in range(3)]
            await fleet.close()
            assert sorted(e.worker_id for e in exits) == ["w0", "w1", "w2"]
            assert not any(alive(r.pid) for r in started)

    asyncio.run(main())


def test_a_missing_interpreter_or_handler_is_one_sentence(make: Make, tmp_path: Path) -> None:
    async def main() -> None:
        async with make(tmp_path) as (fleet, _):
            with pytest.raises(WorkerError, match=r"interpreter no/such/python of endpoint probe"):
                await fleet.start(endpoint(tmp_path, "", python="no/such/python"), "w1", {})
            with pytest.raises(WorkerError, match=r"gone\.py of endpoint probe is not a file"):
                await fleet.start(endpoint(tmp_path, "", handler=tmp_path / "gone.py"), "w1", {})
            assert fleet.list() == []

    asyncio.run(main())
