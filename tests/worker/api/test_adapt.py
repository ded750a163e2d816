"""Declared functions and classes become handlers of jobs, in every form."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from zeroidle_worker.api import declare
from zeroidle_worker.api.adapt import adapt, form_of, signature_of
from zeroidle_worker.api.declare import DeclarationError, Declared, default_name, endpoint
from zeroidle_worker.api.errors import InputError


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declare, "DECLARED", [])


def declared() -> Declared:
    return declare.DECLARED[-1]


def job(**fields: Any) -> dict[str, Any]:
    return {"id": "j1", "input": fields}


def test_a_function_stays_a_function_and_becomes_a_handler() -> None:
    @endpoint
    def add_up(a: int, b: int = 2) -> int:
        return a + b

    assert add_up(1) == 3
    adapted = adapt(declared())
    assert declared().name == "add-up" and adapted.concurrency == 1 and form_of(declared()) == "function"
    assert adapted.handler(job(a=5)) == 7
    with pytest.raises(InputError, match="a is missing"):
        adapted.handler(job())


def test_a_class_is_set_up_once_with_its_weights() -> None:
    @endpoint(name="speak", weights="hf:org/model")
    class Speak:
        """Speaks."""

        def setup(self, weights: Any) -> None:
            self.weights = weights

        def __call__(self, text: str) -> str:
            return f"{self.weights}: {text}"

    assert signature_of(declared()).input["required"] == ["text"] and signature_of(declared()).doc == "Speaks."
    adapted = adapt(declared())
    assert adapted.setup is not None
    adapted.setup()
    assert adapted.handler(job(text="hi")) == "hf:org/model: hi"


def test_setup_with_weights_and_none_declared_says_so() -> None:
    @endpoint
    class Speak:
        def setup(self, weights: Any) -> None: ...

        def __call__(self) -> None: ...

    with pytest.raises(DeclarationError, match=r"Speak.setup takes weights; name them"):
        adapt(declared())


def test_streams_of_both_kinds() -> None:
    @endpoint
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    assert list(adapt(declared()).handler(job(n=3))) == [0, 1, 2] and form_of(declared()) == "stream"

    @endpoint(concurrency=2)
    def count_in_threads(n: int) -> Iterator[int]:
        yield from range(n)

    @endpoint
    async def count_async(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    for one in declare.DECLARED[1:]:
        assert asyncio.run(_collect(adapt(one).handler(job(n=3)))) == [0, 1, 2]


async def _collect(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


def test_a_sync_function_with_concurrency_runs_in_threads_with_its_context() -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")
    both = threading.Barrier(2, timeout=10)

    @endpoint(concurrency=2)
    def meet(me: str) -> str:
        both.wait()  # passes only when two calls run at the same time
        return f"{me} {who.get()}"

    handler = adapt(declared()).handler

    async def call(name: str) -> Any:
        who.set(name.upper())
        return await handler(job(me=name))

    async def main() -> list[Any]:
        return await asyncio.gather(call("a"), call("b"))

    assert asyncio.run(main()) == ["a A", "b B"]


def test_settings_of_the_plane_win_over_the_decorator() -> None:
    @endpoint(concurrency=4)
    def f() -> None: ...

    assert adapt(declared(), {"concurrency": 1}).concurrency == 1


def test_a_plain_job_handler_gets_the_whole_job() -> None:
    @endpoint
    def handler(job):  # type: ignore[no-untyped-def]
        return job["input"]

    assert adapt(declared()).handler(job(x=1)) == {"x": 1}


def test_requests_are_collected_into_batches_with_an_error_each() -> None:
    sizes: list[int] = []

    @endpoint(batch=(4, "20ms"))
    def double(n: list[int], plus: list[int] = 0) -> list[Any]:  # type: ignore[assignment]
        sizes.append(len(n))
        return [ValueError(f"{a} is odd") if a % 2 else 2 * a + b for a, b in zip(n, plus, strict=True)]

    async def main() -> list[Any]:
        adapted = adapt(declared())
        assert adapted.concurrency == 8 and form_of(declared()) == "batch"
        calls = [adapted.handler(job(n=i)) for i in range(9)]
        return await asyncio.gather(*calls, adapted.handler(job(n=2, plus=5)), return_exceptions=True)

    results = asyncio.run(main())
    assert [r if isinstance(r, int) else str(r) for r in results] == [
        0, "1 is odd", 4, "3 is odd", 8, "5 is odd", 12, "7 is odd", 16, 9,
    ]  # fmt: skip
    assert sum(sizes) == 10 and sizes[0] == 4 and max(sizes) == 4


def test_a_batch_that_fails_fails_each_request_and_the_next_goes_on() -> None:
    @endpoint(batch=2)
    async def f(n: list[int]) -> list[int]:
        if 0 in n:
            raise RuntimeError("zero")
        return n[:1] if 5 in n else n

    async def main() -> list[Any]:
        handler = adapt(declared()).handler
        calls = [handler(job(n=i)) for i in (0, 1, 2, 3, 5, 6)]
        return await asyncio.gather(*calls, return_exceptions=True)

    got = [r if isinstance(r, int) else str(r) for r in asyncio.run(main())]
    assert got[:4] == ["zero", "zero", 2, 3]
    assert "got 2 requests and gave 1 results" in got[4] and got[4] == got[5]


def test_a_cancelled_request_is_not_run() -> None:
    seen: list[int] = []

    @endpoint(batch=(8, 0.05))
    async def f(n: list[int]) -> list[int]:
        seen.extend(n)
        return n

    async def main() -> None:
        handler = adapt(declared()).handler
        one, two = asyncio.ensure_future(handler(job(n=1))), asyncio.ensure_future(handler(job(n=2)))
        await asyncio.sleep(0)
        one.cancel()
        assert await two == 2

    asyncio.run(main())
    assert seen == [2]


def test_throughput_grows_with_the_batch() -> None:
    """With a fixed cost per call, 32 requests take 4 calls, not 32."""
    calls: list[float] = []

    @endpoint(batch=(8, 0.005))
    def f(n: list[int]) -> list[int]:
        calls.append(time.monotonic())
        return n

    async def main() -> list[Any]:
        handler = adapt(declared()).handler
        return await asyncio.gather(*(handler(job(n=i)) for i in range(32)))

    assert asyncio.run(main()) == list(range(32))
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda: endpoint(wokers=(0, 1)), "'wokers'; did you mean workers"),
        (lambda: endpoint(5), "not before 5"),
        (lambda: endpoint(batch=(2, "5 parsecs"))(lambda: 0) and adapt(declared()), "'5 parsecs' is no duration"),
    ],
)
def test_a_wrong_declaration_is_one_clear_error(write: Any, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        write()


def test_two_endpoints_of_one_name_are_an_error() -> None:
    with pytest.raises(DeclarationError, match="Two endpoints are named 'x'"):
        endpoint(name="x")(lambda: 0)
        endpoint(name="x")(lambda: 1)


def test_names_follow_the_function() -> None:
    assert default_name("PronunciationAssessment") == default_name("pronunciation_assessment")
    assert default_name("TTSModel") == "tts-model"
