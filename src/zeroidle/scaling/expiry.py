"""Calls `store.expire` when it is due, and not when nothing can be."""

from __future__ import annotations

import asyncio
import logging
import time

from zeroidle.errors import StoreError
from zeroidle.store.protocol import ClockStore

log = logging.getLogger(__name__)

#: After something happened to a job, the store is asked this much later for its next time, in seconds.
SETTLE_S = 0.25
RETRY_S = 5.0


class ExpiryClock:
    """One timer. It sleeps until the time that the store named, and is set anew after job events."""

    def __init__(self, store: ClockStore) -> None:
        self._store = store
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._poked = False
        self._closed = False

    def poke(self) -> None:
        """Something happened to a job: its times may be earlier than what the clock waits for."""
        if self._poked:
            return  # it has been set for soon already
        due = self._due
        self._poked = True
        if self._task is not None:
            return  # seen when its answer is there
        if due is None or due > time.monotonic() + SETTLE_S:
            self._arm(SETTLE_S)

    def _arm(self, delay_s: float) -> None:
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = time.monotonic() + delay_s
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._due = None
        self._task = asyncio.get_running_loop().create_task(self._expire())

    async def _expire(self) -> None:
        self._poked = False
        try:
            at = await self._store.expire(time.time())
            delay = None if at is None else max(0.01, at - time.time())
        except Exception as exc:
            # A store that cannot be written says why in its own words.
            log.error("expiry.failed error=%s", exc, exc_info=None if isinstance(exc, StoreError) else exc)
            delay = RETRY_S
        self._task = None
        if self._poked:
            delay = SETTLE_S if delay is None else min(delay, SETTLE_S)
        if delay is not None:
            self._arm(delay)

    async def close(self) -> None:
        """Stops the clock; waits for a call that is under way."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})
