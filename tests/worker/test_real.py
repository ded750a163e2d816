"""Our worker in real mode: the handler's file runs with the real `runpod` package."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sdk import environments
from tests.conformance.sdk.plane import HANDLERS, Plane, with_plane
from zeroidle.endpoint import Endpoint
from zeroidle.job import Status
from zeroidle.worker import Worker, WorkerState

ECHO = """
    import runpod
    def handler(job):
        return job["input"]
    runpod.serverless.start({"handler": handler})
"""


def real_endpoint(tmp_path: Path, source: str, **settings: Any) -> Endpoint:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    handler = root / "handler.py"
    handler.write_text(textwrap.dedent(source))
    given = {"python": sys.executable, "sdk": "real", "max_workers": 1, "idle_s": 600.0, "lease_s": 8.0, **settings}
    return Endpoint("e", handler, root, **given)


def plane_of(
    tmp_path: Path, source: str, env: dict[str, str | None] | None = None, **settings: Any
) -> Callable[[], Plane]:
    endpoint = real_endpoint(tmp_path, source, **settings)
    return lambda: Plane(tmp_path / "data", [endpoint], None, env)


def test_a_handler_runs_as_it_would_by_itself(tmp_path: Path) -> None:
    source = """
        import os, sys
        import runpod, beside
        def handler(job):
            return {"argv": sys.argv, "path": sys.path[0], "cwd": os.getcwd(), "name": __name__, "file": __file__,
                    "main": sys.modules["__main__"].handler is handler, "beside": beside.VALUE,
                    "zeroidle": [n for n in os.environ if n in ("ZEROIDLE_WORKER_TOKEN", "ZEROIDLE_SOCKET")],
                    "version": runpod.__version__, "where": handler.__code__.co_filename}
        if __name__ == "__main__":
            runpod.serverless.start({"handler": handler})
    """

    async def test(plane: Plane) -> None:
        (tmp_path / "root" / "beside.py").write_text("VALUE = 7")
        job = await plane.run("e", {})
        root, file = str(tmp_path / "root"), str(tmp_path / "root" / "handler.py")
        assert plane.output(job) == {
            "argv": [file], "path": root, "cwd": root, "name": "__main__", "file": file, "main": True, "beside": 7,
            "zeroidle": [], "version": "1.12.0", "where": file,
        }  # fmt: skip
        worker = plane.worker("e")
        assert (worker.carrier, worker.sdk, worker.connected) == ("http", "runpod 1.12.0", True)
        assert [phase.name for phase in worker.phases] == ["boot", "import"]
        boot, imported = worker.phases
        assert boot.start <= boot.end == imported.start < imported.end  # type: ignore[operator]
        assert worker.ready_at is not None and imported.end is not None and imported.end <= worker.ready_at

    with_plane(plane_of(tmp_path, source), test)


def test_the_package_does_not_measure_the_processor_and_the_handler_can(tmp_path: Path) -> None:
    source = """
        import sys
        import runpod
        from runpod.serverless.utils import rp_debugger
        seen = "cpuinfo" in sys.modules
        import cpuinfo
        def handler(job):
            return {"seen": seen, "processor": rp_debugger.PROCESSOR, "true": cpuinfo.__file__}
        runpod.serverless.start({"handler": handler})
    """

    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    expected = names[0].partition(":")[2].strip() if names else "Unable to get processor info."

    async def test(plane: Plane) -> None:
        output = plane.output(await plane.run("e", {}))
        assert output["seen"] is False and output["true"].endswith("cpuinfo/__init__.py")
        assert output["processor"] == expected

    with_plane(plane_of(tmp_path, source), test)


def test_a_stale_file_of_running_jobs_does_not_make_a_worker_busy(tmp_path: Path) -> None:
    version = "1.9.1"
    python = str(environments.python(version))

    async def test(plane: Plane) -> None:
        assert plane.output(await plane.run("e", {"n": 1})) == {"n": 1}
        # Not even its own: a killed worker's file is not the next one's.
        worker = plane.worker("e")
        await plane.fleet.stop(worker.id, 0)
        assert plane.output(await plane.run("e", {"n": 2})) == {"n": 2}
        assert stale.read_bytes() == before

    make = plane_of(tmp_path, ECHO, python=python)
    left = "from runpod.serverless.modules.worker_state import JobsProgress; JobsProgress().add('an-earlier-job')"
    subprocess.run([python, "-c", left], cwd=tmp_path / "root", check=True, timeout=60)
    stale = tmp_path / "root" / ".runpod_jobs.pkl"
    before = stale.read_bytes()
    assert before
    with_plane(make, test)


def test_checks_that_fail_on_a_small_or_offline_machine_are_left_out(tmp_path: Path) -> None:
    async def test(plane: Plane) -> None:
        assert plane.output(await plane.run("e", {"n": 1})) == {"n": 1}

    impossible = {"RUNPOD_MIN_MEMORY_GB": "1000000", "RUNPOD_MIN_DISK_PERCENT": "100"}
    endpoint = real_endpoint(tmp_path, ECHO, env=impossible)
    with_plane(lambda: Plane(tmp_path / "data", [endpoint], None), test)


def test_a_check_that_the_handler_registered_is_run_and_its_failure_is_told(tmp_path: Path) -> None:
    source = """
        import runpod
        @runpod.serverless.register_fitness_check
        def weights_are_there():
            raise RuntimeError("no weights")
        runpod.serverless.start({"handler": lambda job: 1})
    """

    async def test(plane: Plane) -> None:
        worker = await failed(plane)
        assert worker.error_kind == "unhealthy"
        assert "weights_are_there" in str(worker.error) and "no weights" in str(worker.error)

    with_plane(plane_of(tmp_path, source), test)


def test_a_key_in_the_home_folder_is_not_sent_to_the_plane(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".runpod").mkdir(parents=True)
    (home / ".runpod" / "config.toml").write_text('[default]\napi_key = "rpa_somebodys_own_key"\n')
    source = """
        import runpod
        runpod.serverless.start({"handler": lambda job: runpod.api_key})
    """

    async def test(plane: Plane) -> None:
        # The handler still has it, for calls of its own.
        assert plane.output(await plane.run("e", {})) == "rpa_somebodys_own_key"
        token = plane.worker("e").token
        await plane.until(lambda: plane.seen("ping"), "it pings")
        assert {r.headers["authorization"] for r in plane.requests} == {token}
        assert token not in plane.logs() and "Heartbeat Sent" in plane.logs()

    settings = {"env": {"HOME": str(home), "RUNPOD_LOG_LEVEL": "DEBUG"}}
    endpoint = real_endpoint(tmp_path, source, **settings)
    with_plane(lambda: Plane(tmp_path / "data", [endpoint], None), test)


def test_without_pings_the_socket_keeps_a_long_job(tmp_path: Path) -> None:
    source = (HANDLERS / "plain.py").read_text()

    async def test(plane: Plane) -> None:
        go, begun = tmp_path / "go", tmp_path / "begun"
        job_id = await plane.submit("e", {"do": "wait", "begun": str(begun), "until": str(go)})
        await plane.until(begun.exists, "the handler has begun")
        job = await plane.job("e", job_id)
        first = job.lease_until
        await plane.until(lambda: job.lease_until > first + 3, "the lease is renewed")
        go.touch()
        assert plane.output(await plane.ended("e", job_id)) and job.attempt == 1
        assert not plane.seen("ping")

    with_plane(plane_of(tmp_path, source, {"RUNPOD_WEBHOOK_PING": None}, lease_s=1.5), test)


def test_it_drains_and_leaves_with_status_0(tmp_path: Path) -> None:
    source = (HANDLERS / "plain.py").read_text()

    async def test(plane: Plane) -> None:
        exits: list[str] = []
        plane.fleet.on_exit(lambda exit: exits.append(str(exit)))
        go, begun = tmp_path / "go", tmp_path / "begun"
        job_id = await plane.submit("e", {"do": "wait", "begun": str(begun), "until": str(go)})
        await plane.until(begun.exists, "the handler has begun")
        worker = plane.worker("e")
        assert worker.control is not None
        worker.control.drain()
        go.touch()
        job = await plane.ended("e", job_id)
        await plane.until(lambda: worker.state is WorkerState.GONE, "it ends")
        assert plane.output(job)["pid"] and job.attempt == 1 and exits == ["exit 0"]

    with_plane(plane_of(tmp_path, source), test)


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("import runpod\nimport no_such_thing\n", "missing-module", ["no_such_thing", sys.executable]),
        ("import runpod\nraise ValueError('weights are broken')\n", "import-error", ["weights are broken", "line 2"]),
        ("import runpod\ndef handler(job)\n", "import-error", ["SyntaxError", "line 2"]),
        ("import runpod\nprint('nothing more')\n", "no-start", ["runpod.serverless.start"]),
        ("import runpod, sys\nsys.exit(0)\n", "no-start", ["runpod.serverless.start"]),
        ("import runpod, sys\nsys.exit('no licence')\n", "import-error", ["no licence"]),
        ("import runpod\nrunpod.serverless.start(None)\n", "bad-handler", ["TypeError", "start"]),
    ],
)
def test_a_start_that_fails_says_why(tmp_path: Path, source: str, kind: str, words: list[str]) -> None:
    async def test(plane: Plane) -> None:
        worker = await failed(plane)
        assert worker.error_kind == kind, worker.error
        for word in words:
            assert word in str(worker.error)
        # The frames of our own program are of no use to anybody.
        assert "zeroidle_worker" not in str(worker.error)

    with_plane(plane_of(tmp_path, source), test)


def test_an_interpreter_without_the_package_says_how_to_install_it(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = str(tmp_path / "bare" / "bin" / "python")

    async def test(plane: Plane) -> None:
        worker = await failed(plane)
        assert worker.error_kind == "real-sdk-missing" and f"{python} -m pip install runpod" in str(worker.error)

    with_plane(plane_of(tmp_path, ECHO, python=python), test)


def test_a_worker_whose_plane_is_gone_ends(tmp_path: Path) -> None:
    """No plane listens on the socket: a sentence and an exit status, no traceback."""
    (tmp_path / "handler.py").write_text("import runpod\n")
    env = {
        "ZEROIDLE_SOCKET": str(tmp_path / "none.sock"), "ZEROIDLE_WORKER_ID": "w", "ZEROIDLE_WORKER_TOKEN": "t",
        "ZEROIDLE_HANDLER": str(tmp_path / "handler.py"), "ZEROIDLE_SDK": "real", "ZEROIDLE_SPOOL": str(tmp_path),
    }  # fmt: skip
    entry = Path(__file__).parents[2] / "src" / "zeroidle_worker" / "__main__.py"
    done = subprocess.run([sys.executable, entry], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "none.sock" in done.stderr and "Traceback" not in done.stderr


async def failed(plane: Plane) -> Worker:
    """The worker that a job has brought up, after it said that it cannot work."""
    told: list[Worker] = []
    plane.registry.listen(lambda kind, worker: told.append(worker) if kind == "failed" else None)
    job_id = await plane.submit("e", {})
    await plane.until(lambda: told, "a worker says that it failed")
    await plane.until(lambda: told[0].state is WorkerState.GONE, "it ends")
    assert (await plane.job("e", job_id)).status is Status.IN_QUEUE  # the queue is kept
    return told[0]
