"""The clock that has the store expire jobs."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
import uvloop

from zeroidle.errors import StoreFull
from zeroidle.scaling.expiry import LATE_S, SETTLE_S, ExpiryClock


class Full:
    """A store whose disk is full."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def expire(self, now: float) -> float | None:
        self.asked.set()
        raise StoreFull


def test_a_full_disk_is_one_line_and_asked_again_later(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = Full()
        clock = ExpiryClock(store)  # type: ignore[arg-type]  # the one method that it calls
        clock.poke()
        await asyncio.wait_for(store.asked.wait(), 10)
        await clock.close()

    with caplog.at_level(logging.ERROR):
        uvloop.run(main())
    assert [record.exc_info for record in caplog.records] == [None]
    assert "free some space" in caplog.records[0].getMessage()


class Leases:
    """A store that notes when it is asked."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen
        self.asked = asyncio.Event()

    async def expire(self, now: float) -> float | None:
        self._seen.append("expired")
        self.asked.set()
        return None


def test_after_the_plane_was_stopped_leases_are_renewed_before_any_is_taken_away() -> None:
    seen: list[str] = []

    async def main() -> None:
        store = Leases(seen)
        clock = ExpiryClock(store, lambda: 0.5)  # type: ignore[arg-type]  # the one method that it calls
        clock.poke()
        asyncio.get_running_loop().call_later(SETTLE_S + 0.05, seen.append, "renewed")  # due after the clock
        time.sleep(SETTLE_S + LATE_S + 0.5)  # noqa: ASYNC251 (the whole process stands still)
        await asyncio.wait_for(store.asked.wait(), 10)
        store.asked.clear()
        clock.poke()
        await asyncio.wait_for(store.asked.wait(), 10)  # once: it goes on as ever
        await clock.close()

    uvloop.run(main())
    assert seen == ["renewed", "expired", "expired"]
