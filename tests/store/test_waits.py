"""One timer for all who wait: everybody is told once, in time, and what is over leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from zeroidle.job import Job
from zeroidle.store.waits import Wait, Waits


def on(scenario: Callable[[Waits, list[tuple[str, Job | None]]], Awaitable[None]]) -> None:
    """Runs a scenario with waits, and a list of who was told what."""
    asyncio.run(asyncio.wait_for(scenario(Waits(), []), 20))


def job(seq: int) -> Job:
    return Job(f"j{seq}", "e", b"1", seq=seq)


def wait(told: list[tuple[str, Job | None]], name: str, after_s: float, news: bool = False) -> Wait:
    at = asyncio.get_running_loop().time() + after_s
    return Wait(lambda found: told.append((name, found)), at, news)


async def length(told: list[tuple[str, Job | None]], n: int) -> None:
    while len(told) < n:  # noqa: ASYNC110  # nothing tells of a list
        await asyncio.sleep(0.001)


def test_an_end_is_told_to_all_and_only_once() -> None:
    async def scenario(waits: Waits, told: list[tuple[str, Job | None]]) -> None:
        one = job(1)
        waits.add(1, wait(told, "a", 0.05))
        waits.add(1, wait(told, "b", 0.05, news=True))
        waits.add(2, wait(told, "c", 0.05))
        waits.news(1)
        assert told == [("b", None)]
        waits.ended(one)
        assert told[1:] == [("a", one), ("b", one)]
        waits.news(1)
        waits.ended(one)
        waits.gone(1)
        await length(told, 4)
        assert told[3:] == [("c", None)]

    on(scenario)


def test_times_are_kept_in_whatever_order_they_come() -> None:
    async def scenario(waits: Waits, told: list[tuple[str, Job | None]]) -> None:
        for seq, after_s in enumerate((0.06, 30.0, 0.02, 0.04, 0.02, 0.0, 0.08)):
            waits.add(seq, wait(told, f"{after_s}", after_s))
        await length(told, 6)
        assert [name for name, _ in told] == ["0.0", "0.02", "0.02", "0.04", "0.06", "0.08"]
        assert all(found is None for _, found in told)
        waits.close()
        assert told[6:] == [("30.0", None)]

    on(scenario)


def test_who_was_told_of_the_time_may_wait_again() -> None:
    async def scenario(waits: Waits, told: list[tuple[str, Job | None]]) -> None:
        again = wait(told, "second", 0.02)

        def first(found: Job | None) -> None:
            told.append(("first", found))
            waits.add(1, again)

        waits.add(1, Wait(first, asyncio.get_running_loop().time()))
        await length(told, 2)
        assert told == [("first", None), ("second", None)]

    on(scenario)


def test_who_waits_no_more_is_not_told() -> None:
    async def scenario(waits: Waits, told: list[tuple[str, Job | None]]) -> None:
        left, stays = wait(told, "left", 0.01), wait(told, "stays", 0.02)
        waits.add(1, left)
        waits.add(1, stays)
        waits.remove(1, left)
        waits.remove(1, left)
        await length(told, 1)
        assert told == [("stays", None)]

    on(scenario)


def test_an_error_of_one_does_not_keep_the_others_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(waits: Waits, told: list[tuple[str, Job | None]]) -> None:
        def wrong(found: Job | None) -> None:
            raise ValueError("a mistake of one who waits")

        now = asyncio.get_running_loop().time()
        for seq in (1, 2):
            waits.add(seq, Wait(wrong, now + 0.01))
            waits.add(seq, wait(told, f"right {seq}", 0.01))
        waits.ended(job(1))
        assert [name for name, _ in told] == ["right 1"]
        await length(told, 2)
        assert "a mistake of one who waits" in caplog.text

    on(scenario)


def test_what_is_over_takes_no_room() -> None:
    async def scenario(waits: Waits, told: list[tuple[str, Job | None]]) -> None:
        for seq in range(20_000):
            waits.add(seq, wait(told, "x", 90.0))
            waits.ended(job(seq))
        assert len(told) == 20_000
        assert not waits._waits and len(waits._deadlines) < 1100

    on(scenario)


def test_the_timer_of_a_coarse_clock_does_not_ring_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    rings = 0
    ring = Waits._ring

    def counted(self: Waits) -> None:
        nonlocal rings
        rings += 1
        ring(self)

    async def scenario() -> None:
        waits, told = Waits(), list[tuple[str, Job | None]]()
        for seq in range(40):
            waits.add(seq, wait(told, "x", 0.0503 + seq * 0.001))  # between two milliseconds
        await length(told, 40)

    monkeypatch.setattr(Waits, "_ring", counted)
    uvloop.run(asyncio.wait_for(scenario(), 20))
    assert rings <= 40
