"""The local fleet: environment, logs, the mark on descendants, orphans, the parent's death, memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from tests.fleet.programs import ENTRY, alive, endpoint, entry, pids, say, until
from zeroidle.errors import WorkerError
from zeroidle.fleet.environment import worker_environment
from zeroidle.fleet.local import LocalFleet, worker_entry
from zeroidle.fleet.logs import LogFolder
from zeroidle.fleet.protocol import Exit


def test_the_environment_is_small_and_holds_no_secret_of_the_plane() -> None:
    plane = {
        "PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "0", "HF_HOME": "/hf",
        "HF_TOKEN": "x", "AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/plane", "VIRTUAL_ENV": "/plane", "RANDOM": "1",
    }  # fmt: skip
    made = worker_environment(plane, {"MODE": "turbo", "HF_TOKEN": "mine", "HOME": "/app"}, {"RUNPOD_POD_ID": "w"})
    assert made == {
        "PATH": "/bin", "HOME": "/app", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "0", "HF_HOME": "/hf",
        "MODE": "turbo", "HF_TOKEN": "mine", "RUNPOD_POD_ID": "w", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def test_a_worker_gets_its_settings_its_folder_and_no_standard_input(tmp_path: Path) -> None:
    source = (
        "import json, os, sys\n"
        "print(json.dumps({'env': dict(os.environ), 'cwd': os.getcwd(), 'in': sys.stdin.read(), 'sid': os.getsid(0),"
        " 'pid': os.getpid(), 'scratch': os.path.isdir(os.environ['ZEROIDLE_SCRATCH'])}))"
    )

    async def main() -> None:
        fleet = LocalFleet(tmp_path / "data", entry=entry(tmp_path))
        exits: list[Exit] = []
        fleet.on_exit(exits.append)
        target = endpoint(tmp_path, source, sdk="shim", concurrency=4, env={"MODE": "turbo"})
        running = await fleet.start(target, "w1", {"GIVEN": "1"})
        await until(lambda: exits, "it ends")
        said = json.loads(running.log_path.read_text())
        env = said["env"]
        assert said["cwd"] == str(target.root) and said["in"] == "" and said["scratch"]
        assert said["sid"] == said["pid"] == running.pid
        assert (env["MODE"], env["GIVEN"], env["ZEROIDLE_SDK"], env["ZEROIDLE_CONCURRENCY"]) == (
            "turbo", "1", "shim", "4",
        )  # fmt: skip
        assert env["ZEROIDLE_HANDLER"] == str(target.handler)
        assert env["ZEROIDLE_PLANE"] == str(tmp_path / "data")
        assert "PYTEST_CURRENT_TEST" not in env
        assert running.log_path == tmp_path / "data" / "logs" / "w1.log"
        await fleet.close()
        assert not (tmp_path / "data" / "workers" / "w1").exists()

    asyncio.run(main())


def test_the_entry_of_the_real_worker_is_a_file_beside_its_package() -> None:
    assert worker_entry().parent.name == "zeroidle_worker"


def test_exits_are_noticed_under_uvloop_as_well(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = LocalFleet(tmp_path / "data", entry=entry(tmp_path))
        exits: asyncio.Queue[Exit] = asyncio.Queue()
        fleet.on_exit(exits.put_nowait)
        await fleet.start(endpoint(tmp_path, "import os; os.kill(os.getpid(), 9)"), "w1", {})
        assert await asyncio.wait_for(exits.get(), 20) == Exit("w1", -signal.SIGKILL)
        await fleet.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_an_interpreter_is_found_by_name_and_relative_to_the_folder(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = LocalFleet(tmp_path / "data", entry=entry(tmp_path))
        target = endpoint(tmp_path, "import sys; print(sys.executable)", python="bin/python")
        (target.root / "bin").mkdir()
        (target.root / "bin" / "python").symlink_to(sys.executable)
        exits: list[Exit] = []
        fleet.on_exit(exits.append)
        running = await fleet.start(target, "w1", {})
        await until(lambda: exits, "it ends")
        assert running.log_path.read_text().strip() == str(target.root / "bin" / "python")
        (target.root / "bad").write_text("not a program")
        (target.root / "bad").chmod(0o755)
        with pytest.raises(WorkerError, match="does not run"):
            await fleet.start(endpoint(tmp_path, "", python="./bad"), "w2", {})
        await fleet.close()

    asyncio.run(main())


def test_a_daemonised_descendant_dies_with_its_worker(tmp_path: Path) -> None:
    log = tmp_path / "pids"
    daemon = tmp_path / "daemon.py"
    daemon.write_text(say(log) + "import time\nsay()\ntime.sleep(60)")
    # The grandchild leaves the session, and replaces its program: only its environment still names the worker.
    source = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        os.execv(sys.executable, [sys.executable, {str(daemon)!r}])\n"
        "    os._exit(0)\n"
        "time.sleep(60)"
    )

    async def main() -> None:
        fleet = LocalFleet(tmp_path / "data", entry=entry(tmp_path))
        running = await fleet.start(endpoint(tmp_path, source), "w1", {})
        await until(lambda: pids(log, 1), "the daemon runs")
        os.kill(running.pid, signal.SIGKILL)
        await until(lambda: not fleet.list(), "the exit is noticed")
        await fleet.stop("w1", 0)
        assert not alive(pids(log, 1)[0])
        await fleet.close()

    asyncio.run(main())


def test_a_worker_of_the_same_name_in_another_plane_lives_on(tmp_path: Path) -> None:
    log = tmp_path / "pids"
    target = endpoint(tmp_path, say(log) + "import time\nsay()\ntime.sleep(60)")

    async def main() -> None:
        first, second = (LocalFleet(tmp_path / name, entry=entry(tmp_path)) for name in ("one", "other"))
        await first.start(target, "w1", {})
        await until(lambda: pids(log, 1), "the first one runs")
        await second.start(target, "w1", {})
        await until(lambda: pids(log, 2), "both run")
        await first.stop("w1", 0)
        assert [alive(pid) for pid in pids(log, 2)] == [False, True]
        await first.close()
        await second.close()
        assert not any(alive(pid) for pid in pids(log, 2))

    asyncio.run(main())


def plane(*arguments: str) -> subprocess.Popen[bytes]:
    """Another process that plays the plane."""
    return subprocess.Popen([sys.executable, *arguments])


def test_orphans_of_a_killed_plane_are_reaped_and_strangers_are_not(tmp_path: Path) -> None:
    log = tmp_path / "pids"
    target = endpoint(tmp_path, say(log) + "import time\nsay()\ntime.sleep(60)")
    script = tmp_path / "plane.py"
    script.write_text(
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from zeroidle.endpoint import Endpoint\nfrom zeroidle.fleet.local import LocalFleet\n"
        "async def main():\n"
        f"    fleet = LocalFleet(Path(sys.argv[1]), entry=Path({str(entry(tmp_path))!r}))\n"
        f"    e = Endpoint('probe', Path({str(target.handler)!r}), Path({str(target.root)!r}), sys.executable)\n"
        "    await fleet.start(e, 'w1', {})\n    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )

    async def main() -> None:
        folders = [tmp_path / "one", tmp_path / "other"]
        planes = [plane(str(script), str(folder)) for folder in folders]
        try:
            await until(lambda: pids(log, 2), "both workers run")
            for process in planes:
                process.kill()
                process.wait()
            assert all(alive(pid) for pid in pids(log, 2))
            fleet = LocalFleet(folders[0], entry=entry(tmp_path))
            assert await fleet.reap_orphans() == 1
            assert [alive(pid) for pid in pids(log, 2)].count(True) == 1
            assert await fleet.reap_orphans() == 0
            await fleet.close()
            assert await LocalFleet(folders[1], entry=entry(tmp_path)).reap_orphans() == 1
            assert not any(alive(pid) for pid in pids(log, 2))
        finally:
            for pid in pids(log, 1):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)

    asyncio.run(main())


def test_a_worker_reads_end_of_file_when_its_plane_is_gone(tmp_path: Path) -> None:
    done = tmp_path / "done"
    worker = (
        "import os\n"
        f"open({str(done)!r}, 'a').write('up ')\n"
        "os.read(int(os.environ['ZEROIDLE_PARENT_FD']), 1)\n"
        f"open({str(done)!r}, 'a').write('eof')\n"
    )
    target = endpoint(tmp_path, worker)
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from zeroidle.endpoint import Endpoint\nfrom zeroidle.fleet.local import LocalFleet\n"
        "async def main():\n"
        f"    fleet = LocalFleet(Path({str(tmp_path / 'data')!r}), entry=Path({str(entry(tmp_path))!r}))\n"
        f"    e = Endpoint('probe', Path({str(target.handler)!r}), Path({str(target.root)!r}), sys.executable)\n"
        "    for n in range(2): await fleet.start(e, f'w{n}', {})\n    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )

    async def main() -> None:
        process = plane("-c", script)
        await until(lambda: done.exists() and done.read_text().count("up") == 2, "the workers run")
        process.kill()
        process.wait()
        await until(lambda: done.read_text().count("eof") == 2, "both workers notice")

    asyncio.run(main())


def test_a_log_that_grows_too_large_loses_its_beginning_and_keeps_its_offsets(tmp_path: Path) -> None:
    logs = LogFolder(tmp_path, keep=10, max_bytes=64 * 1024)
    path, fd = logs.open("w1")
    os.write(fd, b"first line\n" + b"x" * 300 * 1024 + b"\nlast line\n")
    size = path.stat().st_size
    logs.bound()
    assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 <= 64 * 1024 + 4096
    os.write(fd, b"and more\n")
    os.close(fd)
    data = path.read_bytes()
    assert data.startswith(b"\0\0\0\0") and data.endswith(b"\nlast line\nand more\n")


def test_only_the_newest_logs_are_kept_and_no_live_one_goes(tmp_path: Path) -> None:
    logs = LogFolder(tmp_path, keep=5, max_bytes=1 << 20)
    for n in range(33):
        path, fd = logs.open(f"w{n}")
        os.close(fd)
        os.utime(path, (n + 1, n + 1))
        if n:
            logs.ended(f"w{n}")
    left = {p.stem for p in tmp_path.glob("*.log")}
    assert left == {"w0", *(f"w{n}" for n in range(27, 33))}


MEMORY_PLANE = """
import asyncio, os, sys
from pathlib import Path
group = Path(sys.argv[1])
(group / "cgroup.procs").write_text(str(os.getpid()))
sys.path.insert(0, sys.argv[3])
from zeroidle.endpoint import Endpoint
from zeroidle.fleet.local import LocalFleet
async def main():
    folder = Path(sys.argv[2])
    fleet = LocalFleet(folder / "data", entry=folder / "entry.py")
    exits = asyncio.Queue()
    fleet.on_exit(exits.put_nowait)
    endpoint = Endpoint("probe", folder / "app" / "handler.py", folder / "app", sys.executable)
    await fleet.start(endpoint, "w1", {})
    print(await exits.get(), flush=True)
    await fleet.close()
asyncio.run(main())
"""


def test_a_worker_that_the_kernel_kills_for_memory_is_told_as_such(tmp_path: Path) -> None:
    v2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    group = Path("/sys/fs/cgroup" if v2 else "/sys/fs/cgroup/memory", f"zeroidle-test-{os.getpid()}")
    try:
        group.mkdir()
        (group / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(150 * 1024 * 1024))
    except OSError as exc:
        pytest.skip(f"needs the right to make a memory cgroup: {exc}")
    try:
        endpoint(tmp_path, "import time\nhoard = []\nwhile True:\n    hoard.append(bytearray(b'x' * (8 << 20)))\n")
        (tmp_path / "entry.py").write_text(ENTRY)
        said = subprocess.run(
            [sys.executable, "-c", MEMORY_PLANE, str(group), str(tmp_path), "src"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert said.stdout.strip() == "out of memory", said.stderr
    finally:
        group.rmdir()
