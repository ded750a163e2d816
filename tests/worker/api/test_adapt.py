"""Declared functions and classes become handlers of jobs, in every form."""

from __future__ import annotations

import asyncio
import enum
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from zeroidle_worker.api import declare
from zeroidle_worker.api.adapt import adapt, batched_signature, form_of, signature_of
from zeroidle_worker.api.declare import DeclarationError, Declared, default_name, endpoint
from zeroidle_worker.api.errors import InputError
from zeroidle_worker.api.weights import Weights


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
            return f"{self.weights.source}: {text}"

    assert signature_of(declared()).input["required"] == ["text"] and signature_of(declared()).doc == "Speaks."
    adapted = adapt(declared())
    assert adapted.setup is not None
    adapted.setup()
    assert adapted.handler(job(text="hi")) == "hf:org/model: hi"


def test_weights_of_the_plane_win_and_keep_the_form_of_the_decorator() -> None:
    class Speak:
        def setup(self, weights: Any) -> None:
            self.weights = weights

        def __call__(self) -> Any:
            return repr(self.weights)

    def set_up(decorated: Any, given: Any) -> Any:
        adapted = adapt(Declared("speak", Speak, {"weights": decorated} if decorated else {}), {"weights": given})
        assert adapted.setup is not None
        adapted.setup()
        return adapted.handler(job())

    other = "hf:org/other#allow=*.bin"
    assert set_up("hf:org/model", [other]) == repr(Weights("hf:org/other", allow=["*.bin"]))
    assert set_up(None, [other]) == repr(Weights(other))
    assert set_up(["hf:org/model"], [other]) == repr([Weights(other)])
    assert set_up(None, [other, "hf:org/model"]) == repr([Weights(other), Weights("hf:org/model")])


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

    @endpoint
    async def count_async(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    assert asyncio.run(_collect(adapt(declared()).handler(job(n=3)))) == [0, 1, 2]


def test_a_wrapper_that_hides_the_form_is_served_for_what_it_gives() -> None:
    def plain_wrapper(call: Any) -> Any:
        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return call(*args, **kwargs)

        return wrapper

    @endpoint
    @plain_wrapper
    async def slow(n: int) -> Mood:
        return Mood(n)

    assert asyncio.run(adapt(declared()).handler(job(n=1))) == 1

    @endpoint
    @plain_wrapper
    def count(n: int) -> Iterator[Mood]:
        yield Mood(n)

    assert list(adapt(declared()).handler(job(n=1))) == [1]

    @endpoint
    @plain_wrapper
    async def count_async(n: int) -> AsyncIterator[Mood]:
        yield Mood(n)

    assert asyncio.run(_collect(adapt(declared()).handler(job(n=1)))) == [1]
    with pytest.raises(InputError, match="n is missing"):
        adapt(declared()).handler(job())


class Mood(enum.Enum):
    CALM = 1


async def _collect(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


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


@pytest.mark.parametrize("size", [1, 4, 8, 32])
def test_requests_that_wait_share_a_call(size: int) -> None:
    """With a fixed cost per call the throughput is that of the calls: 32 requests take 32 / size of them."""
    calls: list[int] = []

    @endpoint(batch=(size, 60))
    def f(n: list[int]) -> list[int]:
        calls.append(len(n))
        return n

    async def main() -> list[Any]:
        handler = adapt(declared()).handler
        return await asyncio.gather(*(handler(job(n=i)) for i in range(32)))

    assert asyncio.run(main()) == list(range(32))
    assert calls == [size] * (32 // size)


def test_what_waited_while_a_batch_ran_need_not_wait_again() -> None:
    calls: list[list[int]] = []
    began, go = threading.Event(), threading.Event()

    @endpoint(batch=(4, 0.05))
    def f(n: list[int]) -> list[int]:
        calls.append(n)
        began.set()
        assert go.wait(10)
        return n

    async def main() -> None:
        handler = adapt(declared()).handler
        first = [asyncio.ensure_future(handler(job(n=i))) for i in range(4)]
        assert await asyncio.get_running_loop().run_in_executor(None, began.wait, 10)
        late = asyncio.ensure_future(handler(job(n=4)))
        await asyncio.sleep(0.1)  # longer than it may be kept for others to join
        go.set()
        await asyncio.gather(*first)
        while len(calls) < 2 and not late.done():
            await asyncio.sleep(0)
            timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
            assert all(timer.cancelled() for timer in timers)
        assert await late == 4

    asyncio.run(main())
    assert calls == [[0, 1, 2, 3], [4]]


@pytest.mark.parametrize("raised", [SystemExit, StopIteration, KeyboardInterrupt])
def test_every_way_to_fail_ends_every_job_of_the_batch(raised: type[BaseException]) -> None:
    @endpoint(batch=2)
    def f(n: list[int]) -> list[int]:
        raise raised("no")

    async def main() -> list[Any]:
        handler = adapt(declared()).handler

        async def kept(n: int) -> str:
            try:
                return str(await handler(job(n=n)))
            except BaseException as exc:
                return type(exc).__name__

        return await asyncio.wait_for(asyncio.gather(kept(1), kept(2)), 10)

    expected = "RuntimeError" if raised is StopIteration else raised.__name__
    assert asyncio.run(main()) == [expected] * 2


def test_a_result_that_is_no_list_is_named() -> None:
    @endpoint(batch=2)
    def f(n: list[int]) -> Any:
        return 5

    async def main() -> None:
        await adapt(declared()).handler(job(n=1))

    with pytest.raises(ValueError, match="got 1 requests and gave int; it must give a list"):
        asyncio.run(main())


def test_a_batch_of_whole_jobs_and_of_other_keys() -> None:
    @endpoint(batch=2)
    def whole(job):  # type: ignore[no-untyped-def]
        return [one["input"]["n"] for one in job]

    @endpoint(batch=2)
    def others(n: list[int], **rest: Any) -> list[Any]:
        return [[a, *(rest[key][i] for key in sorted(rest))] for i, a in enumerate(n)]

    async def main(one: Declared, *inputs: dict[str, Any]) -> list[Any]:
        handler = adapt(one).handler
        return await asyncio.gather(*(handler(job(**value)) for value in inputs))

    assert asyncio.run(main(declare.DECLARED[0], {"n": 1}, {"n": 2})) == [1, 2]
    assert asyncio.run(main(declare.DECLARED[1], {"n": 1}, {"n": 2, "x": 3})) == [[1, None], [2, 3]]


def test_batches_of_the_plane_win_over_the_decorator() -> None:
    sizes: list[int] = []

    @endpoint(batch=(8, "50ms"))
    def f(n: list[int]) -> list[int]:
        sizes.append(len(n))
        return n

    async def main(given: Any) -> int:
        sizes.clear()
        adapted = adapt(declared(), {"batch": given})
        assert await asyncio.gather(*(adapted.handler(job(n=i)) for i in range(4))) == [0, 1, 2, 3]
        return adapted.concurrency

    assert asyncio.run(main([2, 0.01])) == 4 and sizes == [2, 2]
    assert asyncio.run(main([1, 0.01])) == 2 and sizes == [1] * 4
    assert asyncio.run(main(None)) == 2 and sizes == [1] * 4  # it takes lists, whatever the setting


def test_a_handler_of_lists_may_be_batched_from_outside() -> None:
    @endpoint
    def f(n: list[int], by: int = 1) -> list[int]:
        return n

    @endpoint
    def stream(n: int) -> Iterator[int]:
        yield n

    batched = batched_signature(declare.DECLARED[0])
    assert batched is not None
    assert batched.input["properties"]["n"] == {"type": "integer"} and batched.output == {"type": "integer"}
    assert batched_signature(declare.DECLARED[1]) is None


def test_a_stream_cannot_have_a_batch() -> None:
    @endpoint(batch=2)
    def stream(n: list[int]) -> Iterator[int]:
        yield from n

    with pytest.raises(DeclarationError, match="stream has a batch and yields"):
        signature_of(declared())


def test_the_last_cancelled_request_of_a_batch_waits_for_a_sync_handler() -> None:
    """So the plane sees a worker that cannot work any more, and ends it."""
    began, go = threading.Event(), threading.Event()

    @endpoint(batch=(2, 60))
    def f(n: list[int]) -> list[int]:
        began.set()
        assert go.wait(10)
        return n

    async def main() -> None:
        handler = adapt(declared()).handler
        one, two = (asyncio.ensure_future(handler(job(n=n))) for n in (1, 2))
        assert await asyncio.get_running_loop().run_in_executor(None, began.wait, 10)
        one.cancel()
        await asyncio.wait({one}, timeout=10)
        assert one.cancelled() and not two.done()
        two.cancel()
        assert not (await asyncio.wait({two}, timeout=0.05))[0]
        go.set()
        await asyncio.wait({two}, timeout=10)
        assert two.cancelled()

    asyncio.run(main())


def test_the_last_cancelled_request_of_a_batch_cancels_an_async_handler() -> None:
    ended: list[str] = []

    @endpoint(batch=2)
    async def f(n: list[int]) -> list[int]:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("f")
        return n

    async def main() -> None:
        handler = adapt(declared()).handler
        both = [asyncio.ensure_future(handler(job(n=n))) for n in (1, 2)]
        await asyncio.sleep(0.01)
        for one in both:
            one.cancel()
        await asyncio.wait(both, timeout=10)
        assert ended == ["f"]

    asyncio.run(main())


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
