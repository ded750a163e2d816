"""The worker runs in every interpreter from Python 3.9 on that is here."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.worker.plane import plane
from tests.worker.test_handlers import source
from zeroidle.job import Status

VERSIONS = ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]

HANDLERS = {
    "sync": source(
        "progress_update(job, 1)\nreturn validate(job['input'], {'n': {'type': int, 'required': True}})",
        head="from runpod.serverless import progress_update\n"
        "from runpod.serverless.utils.rp_validator import validate\ndef handler(job):",
    ),
    "async": source(
        "await asyncio.sleep(0)\nreturn {'validated_input': job['input']}",
        head="import asyncio\nasync def handler(job):",
    ),
    "stream": source("yield 1\nyield 2", ', "return_aggregate_stream": True'),
    "declared": (
        "from zeroidle import endpoint\n@endpoint\n"
        "def plus(n: int) -> dict:\n    return {'validated_input': {'n': n}}\n"
    ),
}  # fmt: skip


def interpreter(version: str) -> str:
    """An interpreter of that version, from PATH or of pyenv; skips when there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for found in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        if found is None:
            continue
        done = subprocess.run([found, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    pytest.skip(f"Python {version} is not installed here")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_worker_runs_in(tmp_path: Path, version: str) -> None:
    python = interpreter(version)

    async def main() -> None:
        for form, text in HANDLERS.items():
            folder = tmp_path / form
            folder.mkdir()
            async with plane(folder, text, python=python) as p:
                await p.ready()
                job = await p.run({"n": 7})
                assert job.status is Status.COMPLETED, job.error
                assert p.value(job.output) == ([1, 2] if form == "stream" else {"validated_input": {"n": 7}})

    asyncio.run(main())
