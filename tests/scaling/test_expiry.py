"""The clock that has the store expire jobs."""

from __future__ import annotations

import asyncio
import logging

import pytest
import uvloop

from zeroidle.errors import StoreFull
from zeroidle.scaling.expiry import ExpiryClock


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
