"""A worker that runs thousands of jobs holds no more memory than after the first hundreds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.worker.plane import Plane, plane
from zeroidle.insight.memory import read
from zeroidle.job import Status

HANDLERS = {
    "plain": "import runpod\nrunpod.serverless.start({'handler': lambda job: {'n': job['input']['n']}})\n",
    "async": (
        "import runpod\nasync def handler(job):\n    return {'n': job['input']['n']}\n"
        "runpod.serverless.start({'handler': handler, 'concurrency_modifier': lambda now: 8})\n"
    ),
    "stream": (
        "import runpod\ndef handler(job):\n    yield from range(3)\n    yield job['input']['n']\n"
        "runpod.serverless.start({'handler': handler, 'return_aggregate_stream': True})\n"
    ),
    "declared": (
        "from zeroidle import endpoint, log, progress\n@endpoint\ndef echo(n: int, text: str) -> dict:\n"
        "    progress(n)\n    log.info('job %d', n)\n    return {'n': n}\n"
    ),
    "fails": (
        "import runpod\ndef handler(job):\n    raise ValueError(job)\nrunpod.serverless.start({'handler': handler})\n"
    ),
}
WARM, JOBS, AT_ONCE = 1000, 5000, 250
#: Python's allocator keeps some of its arenas; a leak of one object for each job would be larger.
ALLOWED_BYTES = 1024 * 1024


QUICK = ("plain", "declared")


@pytest.mark.parametrize("kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in HANDLERS])
def test_five_thousand_jobs(tmp_path: Path, kind: str) -> None:
    async def run(p: Plane, n: int) -> None:
        for start in range(0, n, AT_ONCE):
            ids = [await p.submit({"n": start + i, "text": "x" * 200}) for i in range(AT_ONCE)]
            jobs = await asyncio.gather(*(p.result(job_id) for job_id in ids))
            assert {job.status for job in jobs} == {Status.FAILED if kind == "fails" else Status.COMPLETED}

    async def test() -> None:
        async with plane(tmp_path, HANDLERS[kind]) as p:
            worker = await p.ready()
            assert worker.pid
            await run(p, WARM)
            before = read(worker.pid)
            await run(p, JOBS)
            after = read(worker.pid)
            assert before and after
            assert after.private_bytes - before.private_bytes < ALLOWED_BYTES, (before, after)

    asyncio.run(test())
