"""`sdk = "auto"`: the light `runpod` module first, the real package as soon as a handler needs more."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sdk.plane import Plane, with_plane
from tests.worker.plane import plane, until
from zeroidle.endpoint import Endpoint
from zeroidle.worker import Worker

IMPORTS = {
    "attribute": "import runpod\nrunpod.api_key = 'k'\nclient = runpod.Endpoint('other')\n",
    "from": "import runpod\nfrom runpod import Endpoint, RunPodLogger\n",
    "module": "import runpod\nimport runpod.api.ctl_commands\n",
    "module below": "import runpod\nfrom runpod.serverless.modules.rp_http import send_result\n",
    "name below": "import runpod\nfrom runpod.serverless.utils import VolumeCache\n",
}
SERVE = (
    "%sdef handler(job):\n    return [runpod.__file__, job['input']]\nrunpod.serverless.start({'handler': handler})\n"
)

#: The need shows only while a job runs.
LATE = """
import os, runpod
def handler(job):
    with open('tries', 'a') as file:
        file.write('x')
    return [runpod.Endpoint.__name__, os.path.getsize('tries')]
runpod.serverless.start({'handler': handler})
"""


def endpoint(tmp_path: Path, text: str, **settings: Any) -> Endpoint:
    root = tmp_path / "root"
    root.mkdir()
    (root / "handler.py").write_text(text)
    given = {"python": sys.executable, "max_workers": 1, "idle_s": 600.0, "lease_s": 8.0, **settings}
    return Endpoint("e", root / "handler.py", root, **given)


@pytest.mark.parametrize("how", IMPORTS)
def test_a_handler_that_needs_more_gets_the_real_package(tmp_path: Path, how: str) -> None:
    async def test(p: Plane) -> None:
        where, value = p.output(await p.run("e", "hello"))
        assert value == "hello" and "site-packages" in where
        worker = p.worker("e")
        assert worker.carrier == "http" and str(worker.sdk).startswith("runpod")
        assert [phase.name for phase in worker.phases if phase.name == "import"] == ["import"]
        assert "is not in the light runpod module: starting again with the real package." in p.logs()

    with_plane(lambda: Plane(tmp_path / "data", [endpoint(tmp_path, SERVE % IMPORTS[how])], None), test)


def test_a_job_that_needs_more_is_run_again_by_the_real_package(tmp_path: Path) -> None:
    async def test(p: Plane) -> None:
        job = await p.run("e", 1)
        assert p.output(job) == ["Endpoint", 2]
        assert (job.attempt, job.losses) == (2, 0)

    with_plane(lambda: Plane(tmp_path / "data", [endpoint(tmp_path, LATE)], None), test)


def test_the_light_module_is_what_a_handler_gets_otherwise(tmp_path: Path) -> None:
    async def test(p: Plane) -> None:
        where, _ = p.output(await p.run("e", 1))
        assert "runpod_shim" in where and p.worker("e").carrier == "socket"

    with_plane(lambda: Plane(tmp_path / "data", [endpoint(tmp_path, SERVE % "import runpod\n")], None), test)


def test_real_is_real_from_the_first_line(tmp_path: Path) -> None:
    async def test(p: Plane) -> None:
        where, _ = p.output(await p.run("e", 1))
        assert "site-packages" in where and "starting again" not in p.logs()

    with_plane(
        lambda: Plane(tmp_path / "data", [endpoint(tmp_path, SERVE % "import runpod\n", sdk="real")], None), test
    )


def start(tmp_path: Path, text: str, bare: bool, **settings: Any) -> Worker:
    """Starts a worker until it is ready or fails; `bare`: where the real package is not installed."""

    async def main() -> Worker:
        from tests.worker.test_starts import bare_python

        python = bare_python(tmp_path) if bare else sys.executable
        async with plane(tmp_path, text, python=python, **settings) as p:
            worker = await p.start()
            await until(lambda: worker.ready_at or worker.error or worker.id in p.exits)
            return worker

    return asyncio.run(main())


@pytest.mark.parametrize("how", IMPORTS)
def test_without_the_real_package_the_sentence_names_what_is_missing(tmp_path: Path, how: str) -> None:
    worker = start(tmp_path, SERVE % IMPORTS[how], bare=True)
    assert worker.error_kind == "real-sdk-missing"
    assert worker.error and worker.error.startswith("The handler uses runpod.")
    assert "-m pip install runpod" in worker.error


def test_a_name_that_no_runpod_has_is_an_ordinary_error(tmp_path: Path) -> None:
    worker = start(tmp_path, SERVE % "import runpod\nassert not hasattr(runpod, 'nothing_of_the_kind')\n", bare=True)
    assert worker.ready_at, worker.error


def test_shim_means_that_the_real_package_is_never_used(tmp_path: Path) -> None:
    worker = start(tmp_path, SERVE % IMPORTS["attribute"], bare=False, sdk="shim")
    assert worker.error_kind == "import-error"
    assert worker.error and worker.error.startswith("AttributeError: module 'runpod' has no attribute 'Endpoint'")
