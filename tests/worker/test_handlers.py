"""Every form of handler that `runpod.serverless.start` takes, in a real worker process on the plane's socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.worker.plane import NAME, Plane, plane, until
from zeroidle.job import Status

START = '\nrunpod.serverless.start({"handler": handler%s})\n'


def source(body: str, options: str = "", head: str = "def handler(job):") -> str:
    """A handler's file."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"import runpod\n{head}\n{lines}\n{START % options}"


def outcome(tmp_path: Path, text: str, value: Any = None, **settings: Any) -> tuple[Status, Any, str | None, list[Any]]:
    """Runs one job; answers its status, output, error and chunks."""

    async def main() -> tuple[Status, Any, str | None, list[Any]]:
        async with plane(tmp_path, text, **settings) as p:
            await p.ready()
            job = await p.run(value)
            return job.status, p.value(job.output), job.error, await chunks(p, job.id)

    return asyncio.run(main())


async def chunks(p: Plane, job_id: str) -> list[Any]:
    """All chunks of a job."""
    found = await p.store.read_stream(NAME, job_id, 0)
    assert found is not None
    return [json.loads(chunk) for chunk in found[1]]


FORMS = {
    "a function": source("return job['input']"),
    "a lambda": "import runpod\nhandler = lambda job: job['input']\n" + START % "",
    "a partial": (
        "import runpod, functools\ndef f(a, job):\n    return job[a]\nhandler = functools.partial(f, 'input')\n"
        + START % ""
    ),
    "a method": "import runpod\nclass A:\n    def f(self, job): return job['input']\nhandler = A().f\n" + START % "",
    "an object": "import runpod\nclass A:\n    def __call__(self, job): return job['input']\nhandler = A()\n"
    + START % "",
    "an async function": source(
        "await asyncio.sleep(0)\nreturn job['input']", head="import asyncio\nasync def handler(job):"
    ),
    "a lambda that gives an awaitable": (
        "import runpod, asyncio\nasync def f(job):\n    await asyncio.sleep(0)\n    return job['input']\n"
        "handler = lambda job: f(job)\n" + START % ""
    ),
    "an async method": (
        "import runpod\nclass A:\n    async def __call__(self, job): return job['input']\nhandler = A()\n" + START % ""
    ),
    "a start under __main__": (
        "import runpod\ndef handler(job): return job['input']\n"
        "if __name__ == '__main__':\n    runpod.serverless.start({'handler': handler})\n"
    ),
    "a start by its module": (
        "from runpod import serverless\nfrom runpod.serverless.utils import rp_validator\n"
        "def handler(job): return job['input']\nserverless.start({'handler': handler})\n"
    ),
    "a start in a thread": (
        "import runpod, threading\ndef handler(job): return job['input']\n"
        "threading.Thread(target=lambda: runpod.serverless.start({'handler': handler})).start()\n"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_handler_answers(tmp_path: Path, form: str) -> None:
    value = {"text": "grüße ☃", "n": [1, 2.5, None, True]}
    assert outcome(tmp_path, FORMS[form], value) == (Status.COMPLETED, value, None, [])


@pytest.mark.parametrize("head", ["def handler(job):", "async def handler(job):"])
@pytest.mark.parametrize(
    ("value", "output", "error"),
    [
        ("None", None, None),
        ("True", True, None),
        ("'text'", "text", None),
        ("[1, 2]", [1, 2], None),
        ("0", 0, None),
        ("float('nan')", None, None),
        ("{'a': 1, 'error': ''}", {"a": 1}, None),
        ("{'error': 'no'}", None, "no"),
        ("{'error': 'no', 'partial': 1}", {"partial": 1}, "no"),
        ("{'error': {'code': 3}}", None, '{"code":3}'),
        ("{'output': {'x': 1}}", {"output": {"x": 1}}, None),
        ("(1, 'two')", [1, "two"], None),
    ],
)
def test_results_are_read_as_the_sdk_reads_them(
    tmp_path: Path, head: str, value: str, output: Any, error: str | None
) -> None:
    status, got, message, _ = outcome(tmp_path, source(f"return {value}", head=head))
    assert (got, message) == (output, error)
    assert status is (Status.FAILED if error else Status.COMPLETED)


@pytest.mark.parametrize("head", ["def handler(job):", "async def handler(job):"])
def test_streams_send_each_piece_and_keep_them_when_asked(tmp_path: Path, head: str) -> None:
    body = "for n in range(3):\n    yield {'n': n}"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pieces = [{"n": 0}, {"n": 1}, {"n": 2}]
    assert outcome(tmp_path / "a", source(body, head=head)) == (Status.COMPLETED, [], None, pieces)
    kept = source(body, ', "return_aggregate_stream": True', head)
    assert outcome(tmp_path / "b", kept) == (Status.COMPLETED, pieces, None, pieces)


def test_a_stream_is_read_while_it_runs(tmp_path: Path) -> None:
    text = source("import os, time\nyield 1\nwhile not os.path.exists('go'): time.sleep(0.01)\nyield 2")

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            await p.ready()
            job_id = await p.submit(None)
            job, first = await p.store.read_stream(NAME, job_id, 0, 30) or pytest.fail("no such job")
            assert first == [b"1"] and not job.final
            (p.endpoint.root / "go").touch()
            await p.result(job_id)
            assert await chunks(p, job_id) == [1, 2]

    asyncio.run(main())


@pytest.mark.parametrize("head", ["def handler(job):", "async def handler(job):"])
def test_an_error_in_a_stream_ends_the_job_and_keeps_the_pieces(tmp_path: Path, head: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    status, output, error, pieces = outcome(tmp_path / "a", source("yield 1\nraise KeyError('gone')", head=head))
    assert (status, output, pieces) == (Status.FAILED, None, [1])
    assert error and error.startswith("handler: 'gone' \ntraceback: Traceback") and "handler.py" in error
    status, output, error, pieces = outcome(
        tmp_path / "b", source("yield 1\nyield {'error': 'bad'}\nyield 2", head=head)
    )
    assert (status, error, pieces) == (Status.FAILED, "bad", [1])


@pytest.mark.parametrize("head", ["def handler(job):", "async def handler(job):"])
def test_an_exception_is_reported_in_the_sdks_form(tmp_path: Path, head: str) -> None:
    status, output, error, _ = outcome(tmp_path, source("return 1 / job['input']", head=head), 0)
    assert (status, output) == (Status.FAILED, None)
    info = json.loads(error or "")
    assert info["error_type"] == "<class 'ZeroDivisionError'>" and info["error_message"] == "division by zero"
    assert info["worker_id"].startswith("w1-") and info["runpod_version"]
    assert info["error_traceback"].startswith("Traceback") and "1 / job['input']" in info["error_traceback"]
    assert "zeroidle_worker" not in info["error_traceback"]


NOT_JSON = [
    ("b'x'", "a value of type bytes at output, which is not JSON; return text, for example base64"),
    ("{'a': [1, {2}]}", "a value of type set at output.a[1], which is not JSON; return a list"),
    ("{(1, 2): 3}", "a dict with a key of type tuple at output, which is not JSON; use text as keys"),
    ("object", "a value of type type at output"),
]


@pytest.mark.parametrize(("value", "sentence"), NOT_JSON)
def test_a_result_that_is_not_json_fails_with_its_place_and_remedy(tmp_path: Path, value: str, sentence: str) -> None:
    status, _, error, _ = outcome(tmp_path, source(f"return {value}"))
    assert status is Status.FAILED and error and error.startswith("The handler returned " + sentence), error


def test_a_worker_that_returned_what_is_not_json_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, source("return b'x' if job['input'] else 'fine'")) as p:
            await p.ready()
            assert (await p.run(True)).status is Status.FAILED
            assert p.value((await p.run(False)).output) == "fine"
            assert len(list(p.registry.of(NAME))) == 1

    asyncio.run(main())


def test_large_inputs_and_results_travel_as_files(tmp_path: Path) -> None:
    async def main() -> None:
        text = source(
            "if job['input'] == 'chunk': yield 'c' * 600_000\nelse: yield len(job['input'])",
            ', "return_aggregate_stream": True',
        )
        async with plane(tmp_path, text) as p:
            await p.ready()
            job = await p.run("chunk")
            assert p.value(job.output) == ["c" * 600_000]
            assert [len(c) for c in await chunks(p, job.id)] == [600_000]
            assert p.value((await p.run("x" * 3_000_000)).output) == [3_000_000]

    asyncio.run(main())


def test_progress_is_shown_until_the_end_and_ignored_after_it(tmp_path: Path) -> None:
    text = source(
        "import threading\n"
        "runpod.serverless.progress_update(job, {'done': 0.5})\n"
        "late = threading.Timer(0.05, runpod.serverless.progress_update, (job, 'late'))\n"
        "late.start()\n"
        "while not os.path.exists('go'): time.sleep(0.01)\n"
        "return 'end'",
        head="import os, time\ndef handler(job):",
    )

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            await p.ready()
            job_id = await p.submit(None)
            seen = set()
            job = None

            async def look() -> None:
                nonlocal job
                while not {b'{"done":0.5}', b'"late"'} <= seen:
                    job = await p.store.get(NAME, job_id)
                    if job is not None and job.progress is not None:
                        seen.add(bytes(job.progress))
                    await asyncio.sleep(0.005)

            await asyncio.wait_for(look(), 30)
            (p.endpoint.root / "go").touch()
            assert p.value((await p.result(job_id)).output) == "end"

    asyncio.run(main())


def test_progress_after_the_result_changes_nothing(tmp_path: Path) -> None:
    text = source(
        "if job['input'] == 'first': old.append(job)\n"
        "else: runpod.serverless.progress_update(old[0], 'late')\nreturn job['input']",
        head="old = []\ndef handler(job):",
    )

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            await p.ready()
            first = await p.submit("first")
            await p.result(first)
            await p.run("second")
            job = await p.store.get(NAME, first)
            assert job and job.status is Status.COMPLETED and job.output == b'"first"'

    asyncio.run(main())


@pytest.mark.parametrize("how", ["config", "returned", "exit"])
def test_refresh_replaces_the_worker_after_the_job(tmp_path: Path, how: str) -> None:
    text = {
        "config": source("return {'n': 1}", ', "refresh_worker": True'),
        "returned": source("return {'n': 1, 'refresh_worker': True}"),
        "exit": source("import sys\nsys.exit(3)"),
    }[how]

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            job = await p.run(None)
            if how == "exit":
                assert job.error and "sys.exit(3)" in job.error
            else:
                assert p.value(job.output) == {"n": 1}
            assert (await p.exited(worker)).code == 0
            await p.ready()  # the next one is like the first
            second = await p.run(None)
            assert second.final and second.worker_id != job.worker_id

    asyncio.run(main())


def test_an_async_handler_runs_jobs_side_by_side(tmp_path: Path) -> None:
    """Four jobs that wait for each other end only if all four run at once."""
    text = source(
        "waiting.append(job['id'])\nwhile len(waiting) < 4: await asyncio.sleep(0.001)\nreturn len(waiting)",
        ', "concurrency_modifier": lambda now: 4',
        "import asyncio\nwaiting = []\nasync def handler(job):",
    )

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            ids = [await p.submit(n) for n in range(4)]
            assert [p.value((await p.result(i)).output) for i in ids] == [4] * 4
            assert worker.concurrency == 4

    asyncio.run(main())


def test_a_sync_handler_of_a_concurrent_endpoint_runs_in_threads_with_its_own_context(tmp_path: Path) -> None:
    text = source(
        "mark.set(job['id'])\nwaiting.append(1)\nwhile len(waiting) < 3: time.sleep(0.001)\n"
        "return mark.get() == job['id'] == context.job_id()",
        head="import time, contextvars\nfrom zeroidle import context\nwaiting = []\n"
        "mark = contextvars.ContextVar('m')\ndef handler(job):",
    )

    async def main() -> None:
        async with plane(tmp_path, text, concurrency=3) as p:
            await p.ready()
            ids = [await p.submit(n) for n in range(3)]
            assert [p.value((await p.result(i)).output) for i in ids] == [True] * 3

    asyncio.run(main())


def test_a_modifier_is_asked_again_and_its_nonsense_ignored(tmp_path: Path) -> None:
    text = source(
        "return calls[-1]", ', "concurrency_modifier": modifier',
        "calls = []\nanswers = [1, 2, None, 5]\n"
        "def modifier(now):\n    calls.append(now)\n    return answers.pop(0) if answers else now\n"
        "async def handler(job):",
    )  # fmt: skip

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            for _ in range(3):
                await p.run(None)
            await until(lambda: worker.concurrency == 5)
            assert "The concurrency_modifier gave None" in p.log(worker)

    asyncio.run(main())


def test_handlers_run_in_the_main_thread_and_leave_no_context_behind(tmp_path: Path) -> None:
    """As with the SDK: torch's grad mode and the CUDA device that the file set belong to that thread."""
    text = source(
        "before = mark.get('unset')\nmark.set('set')\n"
        "return [threading.current_thread() is threading.main_thread(), before]",
        head="import threading, contextvars\nmark = contextvars.ContextVar('m')\ndef handler(job):",
    )

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            await p.ready()
            for _ in range(2):
                assert p.value((await p.run(None)).output) == [True, "unset"]

    asyncio.run(main())


def test_the_handler_sees_a_plain_script_and_no_secret(tmp_path: Path) -> None:
    text = source(
        "return {'name': __name__, 'file': __file__, 'argv': sys.argv, 'path': sys.path[0], 'cwd': os.getcwd(),\n"
        "        'main': sys.modules['__main__'].__file__, 'env': dict(os.environ), 'near': near.VALUE,\n"
        "        'ours': [p for p in sys.path if p.endswith('zeroidle_worker')]}",
        head="import os, sys\nimport near\ndef handler(job):",
    )

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            (p.endpoint.root / "near.py").write_text("VALUE = 7\n")
            worker = await p.ready()
            got = p.value((await p.run(None)).output)
            handler = str(p.endpoint.handler)
            assert (got["name"], got["file"], got["main"], got["argv"]) == ("__main__", handler, handler, [handler])
            assert got["path"] == got["cwd"] == str(p.endpoint.root) and got["near"] == 7 and got["ours"] == []
            assert not [n for n, v in got["env"].items() if worker.token in v]
            assert got["env"]["RUNPOD_POD_ID"] == worker.id and "RUNPOD_WEBHOOK_GET_JOB" in got["env"]

    asyncio.run(main())


def test_a_job_knows_its_deadline_attempt_and_extra_keys(tmp_path: Path) -> None:
    text = source(
        "left = context.remaining_s()\n"
        "return [context.job_id() == job['id'], context.attempt(), 0 < left <= 90, job['s3Config']]",
        head="from zeroidle import context\ndef handler(job):",
    )

    async def main() -> None:
        async with plane(tmp_path, text, timeout_s=90.0) as p:
            await p.ready()
            job_id = await p.submit(1, envelope=b'{"s3Config":{"bucketName":"b"}}')
            assert p.value((await p.result(job_id)).output) == [True, 1, True, {"bucketName": "b"}]

    asyncio.run(main())


def test_what_a_job_printed_is_its_range_of_the_log(tmp_path: Path) -> None:
    text = source(
        "print('job', job['input'], flush=True)\nsys.stderr.write('warn\\n')",
        head="import sys\nprint('import')\ndef handler(job):",
    )

    async def main() -> None:
        async with plane(tmp_path, text) as p:
            worker = await p.ready()
            for n in (1, 2):
                job = await p.run(n)
                assert job.log_range
                start, end = job.log_range
                assert p.log(worker)[start:end] == f"job {n}\nwarn\n"

    asyncio.run(main())


@pytest.mark.parametrize("head", ["def handler(job):", "async def handler(job):"])
def test_lines_of_jobs_that_run_at_once_name_their_job(tmp_path: Path, head: str) -> None:
    """Each writes half of a line while the other does the same."""
    pause = "await asyncio.sleep(0.001)" if head.startswith("async") else "time.sleep(0.001)"
    text = source(
        "print('begin', job['input'], end=' ')\nwaiting.append(1)\n"
        f"while len(waiting) < 2: {pause}\nprint('middle')\nsys.stderr.write('end')",
        ', "concurrency_modifier": lambda now: 2' if head.startswith("async") else "",
        "import asyncio, sys, time\nwaiting = []\nprint('import')\n" + head,
    )

    async def main() -> None:
        async with plane(tmp_path, text, concurrency=2) as p:
            worker = await p.ready()
            ids = [await p.submit(n) for n in (1, 2)]
            for job_id in ids:
                await p.result(job_id)
            await until(lambda: not worker.jobs)
            lines = p.log(worker).splitlines()
            assert lines[0] == "import"
            expected = [f"[{i}] {text}" for n, i in enumerate(ids, 1) for text in (f"begin {n} middle", "end")]
            assert sorted(lines[1:]) == sorted(expected)

    asyncio.run(main())
