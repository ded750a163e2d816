"""Files that declare endpoints with `@endpoint` instead of calling `runpod.serverless.start`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.worker.plane import NAME, Plane, plane, until
from tests.worker.test_handlers import chunks
from tests.worker.test_starts import bare_python
from zeroidle.job import Status
from zeroidle.worker import Worker

HEAD = "from zeroidle import endpoint, cancelled, progress\n"
DEMO = "\nif __name__ == '__main__':\n    raise SystemExit('the demo ran')\n"
ONE = HEAD + "@endpoint\ndef hello(name: str, times: int = 1) -> str:\n    return ' '.join([name] * times)\n" + DEMO


async def one(p: Plane, value: Any) -> Any:
    await p.ready()
    job = await p.run(value)
    assert job.status is Status.COMPLETED, job.error
    return p.value(job.output)


def answer(tmp_path: Path, text: str, value: Any, **settings: Any) -> Any:
    async def main() -> Any:
        async with plane(tmp_path, text, **settings) as p:
            return await one(p, value)

    return asyncio.run(main())


def test_the_only_endpoint_of_a_file_is_served_and_its_demo_does_not_run(tmp_path: Path) -> None:
    assert answer(tmp_path, ONE, {"name": "x", "times": 2}) == "x x"


def test_it_needs_nothing_installed(tmp_path: Path) -> None:
    assert answer(tmp_path, ONE, {"name": "x"}, python=bare_python(tmp_path)) == "x"


def test_bad_input_is_the_callers_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, ONE) as p:
            await p.ready()
            job = await p.run({"name": 3, "tims": 1})
            assert (job.status, job.error) == (Status.FAILED, "tims is not known; did you mean times?")

    asyncio.run(main())


def test_the_named_one_of_several_is_served(tmp_path: Path) -> None:
    text = HEAD + "".join(f"@endpoint\ndef {name}() -> str:\n    return '{name}'\n" for name in ("first", "second_one"))
    assert answer(tmp_path, text, {}, declared="second-one") == "second_one"


def test_a_declaration_in_another_module_is_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, "import parts  # zeroidle endpoint\n") as p:
            (p.endpoint.root / "parts.py").write_text(ONE)
            assert await one(p, {"name": "x"}) == "x"

    asyncio.run(main())


@pytest.mark.parametrize("word", ["", "async "])
def test_a_class_is_set_up_once_before_its_first_job(tmp_path: Path, word: str) -> None:
    text = HEAD + (
        "import time\nfrom zeroidle import context\n@endpoint\nclass Model:\n    calls = 0\n"
        f"    {word}def setup(self):\n"
        "        time.sleep(0.01)\n        with context.phase('weights'): time.sleep(0.01)\n        self.calls += 1\n"
        f"    {word}def __call__(self) -> int:\n        return self.calls\n"
    )

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            assert [p.value((await p.run({})).output) for _ in range(2)] == [1, 1]
            names = [phase.name for phase in sorted(worker.phases, key=lambda phase: phase.start)]
            assert names == ["boot", "import", "warm-up", "weights"]

    asyncio.run(main())


def test_a_stream_sends_its_pieces_and_has_them_all_as_its_result(tmp_path: Path) -> None:
    text = HEAD + "@endpoint\ndef count(upto: int):\n    for n in range(upto):\n        yield n\n"

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            await p.ready()
            job = await p.run({"upto": 3})
            assert p.value(job.output) == [0, 1, 2] and await chunks(p, job.id) == [0, 1, 2]

    asyncio.run(main())


def test_jobs_of_a_concurrent_endpoint_run_side_by_side(tmp_path: Path) -> None:
    text = HEAD + (
        "import time\nwaiting = []\n@endpoint\ndef meet(n: int) -> int:\n    waiting.append(n)\n"
        "    while len(waiting) < 3: time.sleep(0.001)\n    return n\n"
    )

    async def main() -> None:
        async with plane(tmp_path, text, concurrency=3) as p:
            worker = await p.ready()
            ids = [await p.submit({"n": n}) for n in range(3)]
            assert [p.value((await p.result(i)).output) for i in ids] == [0, 1, 2]
            assert worker.concurrency == 3

    asyncio.run(main())


def failed(tmp_path: Path, text: str, **settings: Any) -> Worker:
    async def main() -> Worker:
        async with plane(tmp_path, text, **settings) as p:
            worker = await p.start()
            await p.exited(worker)
            return worker

    return asyncio.run(main())


def test_a_setup_that_fails_is_a_failed_start(tmp_path: Path) -> None:
    text = HEAD + (
        "@endpoint\nclass Model:\n    def setup(self): raise RuntimeError('no weights')\n    def __call__(self): pass\n"
    )
    worker = failed(tmp_path, text)
    assert worker.error and worker.error.startswith("RuntimeError: no weights") and "in setup" in worker.error


def test_a_name_that_the_file_does_not_declare(tmp_path: Path) -> None:
    worker = failed(tmp_path, ONE, declared="other")
    assert (
        worker.error_kind == "bad-handler"
        and worker.error
        and "declares no endpoint named other; it declares hello." in worker.error
    )


def test_several_endpoints_and_no_name(tmp_path: Path) -> None:
    text = HEAD + "@endpoint\ndef a(): pass\n@endpoint\ndef b(): pass\n"
    worker = failed(tmp_path, text)
    assert worker.error and "declares a, b; name one of them" in worker.error


def test_a_file_that_only_mentions_them(tmp_path: Path) -> None:
    worker = failed(tmp_path, "# zeroidle has an endpoint decorator\n")
    assert worker.error_kind == "no-start"


def test_a_file_that_does_both_is_a_runpod_handler(tmp_path: Path) -> None:
    text = HEAD + (
        "import runpod\n@endpoint\ndef ours() -> str:\n    return 'ours'\n"
        "runpod.serverless.start({'handler': lambda job: 'theirs'})\n"
    )
    assert answer(tmp_path, text, {}) == "theirs"


def test_a_job_of_a_declared_endpoint_reports_progress(tmp_path: Path) -> None:
    text = HEAD + (
        "import os, time\n@endpoint\ndef work() -> str:\n    progress({'half': True})\n"
        "    while not os.path.exists('go') and not cancelled(): time.sleep(0.005)\n    return 'done'\n"
    )

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            job_id = await p.submit({})

            job = await p.store.get(NAME, job_id)
            assert job
            await until(lambda: job.progress == b'{"half":true}')  # the store keeps it up to date
            assert worker.cooperative
            (p.endpoint.root / "go").touch()
            assert p.value((await p.result(job_id)).output) == "done"

    asyncio.run(main())


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_declared_endpoint_may_use_child_processes(tmp_path: Path, method: str) -> None:
    """A spawned child imports the file anew, in an interpreter where nothing is installed."""
    text = HEAD + (
        "import multiprocessing\ndef square(n): return n * n\n@endpoint\ndef squares(numbers: list) -> list:\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n        return pool.map(square, numbers)\n"
    )
    assert answer(tmp_path, text, {"numbers": [1, 2, 3]}, python=bare_python(tmp_path)) == [1, 4, 9]
