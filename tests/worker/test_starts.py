"""What happens when a handler's file cannot be served, and how a start is told in phases."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.plane import Plane, plane, until
from zeroidle.fleet.local import worker_entry
from zeroidle.worker import Worker

SERVE = "import runpod\n%s\nrunpod.serverless.start({'handler': lambda job: job['input']})\n"


def failed(tmp_path: Path, text: str, **settings: object) -> tuple[str | None, str, str, int]:
    """Starts a worker that fails; answers the kind, what the plane was told, the log, the exit status."""

    async def main() -> tuple[str | None, str, str, int]:
        async with plane(tmp_path, text, **settings) as p:
            worker = await p.start()
            end = await p.exited(worker)
            return worker.error_kind, worker.error or "", p.log(worker), end.code

    return asyncio.run(main())


def test_a_file_that_never_calls_start(tmp_path: Path) -> None:
    kind, error, log, code = failed(tmp_path, "import runpod\ndef handler(job): pass\n")
    assert (kind, code) == ("no-start", 1) and "handler.py ended without calling runpod.serverless.start()" in error
    assert error in log


def test_a_file_with_a_missing_module(tmp_path: Path) -> None:
    kind, error, log, code = failed(tmp_path, "import runpod\nimport surely_not_there.deeper\n")
    assert (kind, code) == ("missing-module", 1)
    assert error.startswith("handler.py needs the module surely_not_there")
    assert f"run {sys.executable} -m pip install surely_not_there" in error
    assert "line 2, in <module>" in error and "ModuleNotFoundError" in log


def test_a_file_that_is_no_python(tmp_path: Path) -> None:
    kind, error, log, code = failed(tmp_path, "import runpod\ndef handler(job)\n    pass\n")
    assert (kind, code) == ("import-error", 1) and error.startswith("SyntaxError:") and "handler.py, line 2" in error
    assert "zeroidle_worker" not in error + log and log.count("SyntaxError") == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("raise RuntimeError('no weights')", "RuntimeError: no weights"),
        ("raise SystemExit(4)", "handler.py ended by sys.exit(4) before"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("from os import nothing_of_the_kind", "ImportError: cannot import name"),
        ("open('absent.bin')", "FileNotFoundError: [Errno 2] No such file or directory: 'absent.bin'"),
    ],
)
def test_a_file_that_fails_while_it_is_imported(tmp_path: Path, body: str, sentence: str) -> None:
    kind, error, log, code = failed(tmp_path, SERVE % body)
    assert (kind, code) == ("import-error", 1) and error.startswith(sentence), error
    trace = error.split("\n", 1)[1]
    assert trace.startswith("Traceback") and 'handler.py", line 2' in trace and "zeroidle_worker" not in trace
    assert "Traceback" in log


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("{}", 'start got no "handler"'),
        ("None", 'start got no "handler"'),
        ("{'handler': 'text'}", "is a str; give it a function"),
        ("{'handler': print, 'concurrency_modifier': 3}", '"concurrency_modifier" is a int'),
    ],
)
def test_a_start_that_is_called_wrongly(tmp_path: Path, config: str, sentence: str) -> None:
    kind, error, _, code = failed(tmp_path, f"import runpod\nrunpod.serverless.start({config})\n")
    assert (kind, code) == ("bad-handler", 1) and sentence in error


def test_a_fitness_check_that_fails_keeps_the_worker_from_jobs(tmp_path: Path) -> None:
    checks = (
        "@runpod.serverless.register_fitness_check\ndef fine(): pass\n"
        "@runpod.serverless.register_fitness_check\nasync def disk(): raise OSError('the disk is slow')\n"
    )
    kind, error, _, code = failed(tmp_path, SERVE % checks)
    assert (kind, code) == ("fitness-check", 1)
    assert error.startswith("The fitness check disk failed: OSError: the disk is slow")


def test_a_start_is_told_in_phases(tmp_path: Path) -> None:
    text = SERVE % (
        "import time\nfrom zeroidle import context\ntime.sleep(0.02)\n"
        "with context.phase('weights'): time.sleep(0.02)\ntime.sleep(0.02)\n"
        "@runpod.serverless.register_fitness_check\ndef warm(): time.sleep(0.01)"
    )

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            phases = sorted(worker.phases, key=lambda phase: phase.start)
            assert [phase.name for phase in phases] == ["boot", "import", "weights", "import", "warm-up"]
            for before, after in itertools.pairwise(phases):
                assert before.end is not None and before.start <= before.end <= after.start + 0.001
            assert phases[0].start <= worker.started_at + 0.05
            assert worker.sdk == "shim" and worker.pid

    asyncio.run(main())


def test_the_log_says_what_the_import_printed_even_when_it_dies(tmp_path: Path) -> None:
    kind, _, log, code = failed(tmp_path, "print('loading')\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert (kind, log, code) == (None, "loading\n", -9)


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({}, "ZEROIDLE_SOCKET is not set: this program is started by a plane"),
        ({"ZEROIDLE_SDK": "fake"}, 'ZEROIDLE_SDK is "fake"; it must be auto, shim or real.'),
        ({"ZEROIDLE_CONCURRENCY": "many"}, 'ZEROIDLE_CONCURRENCY is "many"; it must be a whole number.'),
        ({"ZEROIDLE_SOCKET": "/nowhere/worker.sock"}, "The plane's socket /nowhere/worker.sock cannot be reached"),
    ],
)
def test_a_worker_with_wrong_settings_says_which(env: dict[str, str], sentence: str) -> None:
    given = {name: "x" for name in ("SOCKET", "WORKER_ID", "WORKER_TOKEN", "HANDLER")} if env else {}
    full = {"PATH": os.environ["PATH"], **{f"ZEROIDLE_{name}": value for name, value in given.items()}, **env}
    done = subprocess.run([sys.executable, str(worker_entry())], env=full, capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2) and sentence in done.stderr and "Traceback" not in done.stderr


def test_a_worker_with_a_wrong_token_is_let_in_nowhere(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, SERVE % "") as p:
            worker = await p.start(ZEROIDLE_WORKER_TOKEN="wrong")
            assert (await p.exited(worker)).code == 1
            assert worker.pid is None and "The plane closed the connection" in p.log(worker).replace(
                "the plane", "The plane"
            )

    asyncio.run(main())


def test_a_long_path_to_the_socket(tmp_path: Path) -> None:
    """A Unix socket's address is short: the worker goes there by way of its folder."""

    async def main() -> None:
        async with plane(tmp_path, SERVE % "") as p:
            deep = tmp_path / ("d" * 100)
            deep.mkdir()
            (deep / "worker.sock").hardlink_to(p.socket.path)
            await p.ready(ZEROIDLE_SOCKET=str(deep / "worker.sock"))
            assert (await p.run(1)).output == b"1"

    asyncio.run(main())


def test_the_standard_librarys_names_stay_free_for_the_handler(tmp_path: Path) -> None:
    """A handler may have modules named like ours (run, link, current, report) and must get its own."""
    names = ("run", "link", "current", "report", "call", "settings", "wire", "service")
    body = f"import {', '.join(names)}\nassert [m.OWN for m in ({', '.join(names)})] == {list(names)!r}"

    async def main() -> None:
        async with plane(tmp_path, SERVE % body) as p:
            for name in names:
                (p.endpoint.root / f"{name}.py").write_text(f"OWN = {name!r}\n")
            await p.ready()
            assert (await p.run(1)).output == b"1"

    asyncio.run(main())


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_handler_may_use_child_processes_however_they_are_made(tmp_path: Path, method: str) -> None:
    """They import the handler's file anew, where `runpod` may not be installed, and must not become workers."""
    text = (
        "import multiprocessing, runpod\n"
        "from runpod.serverless.utils.rp_validator import validate\n"
        "def square(n): return n * n\n"
        "def handler(job):\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        return pool.map(square, job['input'])\n"
        "if __name__ == '__main__':\n    runpod.serverless.start({'handler': handler})\n"
    )

    async def main(p: Plane, worker: Worker) -> None:
        assert p.value((await p.run([1, 2, 3])).output) == [1, 4, 9]
        assert worker.connected and "Traceback" not in p.log(worker)

    async def both() -> None:
        python = bare_python(tmp_path)
        async with plane(tmp_path, text, python=python) as p:
            worker = await p.ready()
            await main(p, worker)

    asyncio.run(both())


def bare_python(tmp_path: Path) -> str:
    """An interpreter with nothing installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    return str(tmp_path / "bare" / "bin" / "python")


def test_an_interpreter_without_anything_installed_serves(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, SERVE % "", python=bare_python(tmp_path)) as p:
            worker = await p.ready()
            assert (await p.run([1])).output == b"[1]"
            assert worker.connected

    asyncio.run(main())


def test_stop_before_start_ends_a_worker_at_once(tmp_path: Path) -> None:
    text = "open('begun', 'w').close()\nimport time\ntime.sleep(600)\n"

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.start()
            await until((p.endpoint.root / "begun").exists)
            await p.fleet.stop(worker.id, 30)
            assert p.exits[worker.id].code == -15

    asyncio.run(main())


def test_a_plain_handler_starts_without_the_heavy_modules(tmp_path: Path) -> None:
    """The start of a worker is a budget: each of these costs as much to import as much of the worker itself."""
    heavy = {
        "asyncio", "concurrent.futures", "dataclasses", "http.client", "importlib.resources", "importlib.util",
        "inspect", "logging", "multiprocessing", "pathlib", "runpy", "shutil", "socket", "ssl", "subprocess",
        "tempfile", "threading", "traceback", "urllib.request", "uuid",
    }  # fmt: skip
    text = "import runpod, sys\nrunpod.serverless.start({'handler': lambda job: sorted(sys.modules)})\n"

    async def main() -> None:
        async with plane(tmp_path, text, python=bare_python(tmp_path)) as p:
            await p.ready()
            modules = set(p.value((await p.run(1)).output))
            assert modules & heavy == set()
            assert "zeroidle_worker.run_sync" in modules and "zeroidle_worker.run_async" not in modules

    asyncio.run(main())
