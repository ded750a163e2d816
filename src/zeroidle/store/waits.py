"""Who waits for news of a job, and until when: callbacks by job, one timer for all of them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from msgspec import Struct

from zeroidle.job import Job
from zeroidle.store.deadlines import Deadlines

log = logging.getLogger(__name__)


class Wait(Struct, eq=False):
    """Somebody who waits until `until` (the loop's time). `tell` gets the job when its end is durable; None when the
    time is over, the job is gone, the store closes, or (with `news`) something else has happened to it. Whoever is
    not told of news is told once."""

    tell: Callable[[Job | None], None]
    until: float
    news: bool = False


class Waits:
    """All who wait. A timer of its own for each of thousands that wait 90 s would cost more than their jobs."""

    def __init__(self) -> None:
        self._waits: dict[int, list[Wait]] = {}
        self._deadlines = Deadlines(self._waits, self._entries)
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def add(self, seq: int, wait: Wait) -> None:
        """Begins to wait for the job of that number."""
        self._waits.setdefault(seq, []).append(wait)
        self._deadlines.push(wait.until, seq)
        if wait.until < self._rings_at:
            self._arm(wait.until)

    def remove(self, seq: int, wait: Wait) -> None:
        """Waits no more; nothing happens when it has been told."""
        waits = self._waits.get(seq)
        if waits is not None and wait in waits:
            waits.remove(wait)
            if not waits:
                del self._waits[seq]

    def ended(self, job: Job) -> bool:
        """The end of a job is durable. Answers whether somebody waited for it."""
        waits = self._waits.pop(job.seq, None)
        if waits is None:
            return False
        for wait in waits:
            try:  # as _tell does, without the call
                wait.tell(job)
            except Exception:
                log.exception("store.waiter_failed")
        return True

    def gone(self, seq: int) -> None:
        """The job is no more: it could not be written."""
        for wait in self._waits.pop(seq, ()):
            _tell(wait, None)

    def news(self, seq: int) -> None:
        """Something happened to a job."""
        for wait in tuple(self._waits.get(seq, ())):
            if wait.news:
                _tell(wait, None)

    def close(self) -> None:
        """Nobody waits any longer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = None, math.inf
        for seq in list(self._waits):
            self.gone(seq)

    def _entries(self) -> list[tuple[float, int]]:
        return [(wait.until, seq) for seq, waits in self._waits.items() for wait in waits]

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # A clock may count whole milliseconds and ring within the last one, before the time.
        self._timer, self._rings_at = asyncio.get_running_loop().call_at(at + 0.001, self._ring), at

    def _ring(self) -> None:
        """Tells those whose time is over."""
        self._timer, self._rings_at = None, math.inf
        now = asyncio.get_running_loop().time()
        while (seq := self._deadlines.pop_due(now)) is not None:
            for wait in tuple(self._waits.get(seq, ())):
                if wait.until <= now:
                    self.remove(seq, wait)
                    _tell(wait, None)
        following = self._deadlines.first
        if following is not None:
            self._arm(following)


def _tell(wait: Wait, job: Job | None) -> None:
    """One who fails at the news must not keep it from the others."""
    try:
        wait.tell(job)
    except Exception:
        log.exception("store.waiter_failed")
