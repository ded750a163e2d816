"""Calls `store.expire` when it is due, and not when nothing can be."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from zeroidle.errors import StoreError
from zeroidle.store.protocol import ClockStore

log = logging.getLogger(__name__)

#: After something happened to a job, the store is asked this much later for its next time, in seconds.
SETTLE_S = 0.25
RETRY_S = 5.0

#: When the clock rings so much later than it was set for, or the time of day has run ahead by so much, the plane was
#: stopped (a laptop that slept, a machine that was paused): what has run out meanwhile was not its workers' fault.
LATE_S = 2.0


class ExpiryClock:
    """One timer. It sleeps until the time that the store named, and is set anew after job events.

    `poked`: it has been set for soon already. `renewal_s` says within which time every lease that can be renewed is:
    after the plane was stopped it waits so long.
    """

    def __init__(self, store: ClockStore, renewal_s: Callable[[], float] = lambda: 0.0) -> None:
        self._store = store
        self._renewal_s = renewal_s
        self._ahead = time.time() - time.monotonic()
        self._hold_until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._task: asyncio.Task[None] | None = None
        self.poked = False
        self._closed = False

    def poke(self) -> None:
        """Something happened to a job: its times may be earlier than what the clock waits for."""
        if self.poked:
            return  # it has been set for soon already
        due = self._due
        self.poked = True
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
        due, self._due = self._due, None
        if (wait_s := self._hold(due)) > 0:
            self._arm(wait_s)
            return
        self._task = asyncio.get_running_loop().create_task(self._expire())

    def _hold(self, due: float | None) -> float:
        """How long to wait because the plane was stopped; once for each stop, so that nothing waits for ever."""
        now = time.monotonic()
        before, self._ahead = self._ahead, time.time() - now
        stopped_s = max(now - (now if due is None else due), self._ahead - before)
        if self._hold_until is None and stopped_s > LATE_S:
            log.warning("expiry.held stopped_s=%.1f", stopped_s)
            self._hold_until = now + self._renewal_s()
        if self._hold_until is None or now < self._hold_until:
            return 0.0 if self._hold_until is None else self._hold_until - now
        self._hold_until = None
        return 0.0

    async def _expire(self) -> None:
        self.poked = False
        try:
            at = await self._store.expire(time.time())
            delay = None if at is None else max(0.01, at - time.time())
        except Exception as exc:
            # A store that cannot be written says why in its own words.
            log.error("expiry.failed error=%s", exc, exc_info=None if isinstance(exc, StoreError) else exc)
            delay = RETRY_S
        self._task = None
        if self.poked:
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
