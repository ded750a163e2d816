"""Where queued jobs are handed to the workers that wait for them."""

from __future__ import annotations

import asyncio
import logging
import time

from zeroidle.store.protocol import Waiter
from zeroidle.store.state import State

log = logging.getLogger(__name__)


#: So many jobs go out at once: the worker begins while the loop still reads what else has come.
_AT_ONCE = 8


class Hatch:
    """Serves waiters soon rather than at once, so that calls that came together go out together, unless there are
    many."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._serving: set[str] = set()

    def offer(self, endpoint: str, waiter: Waiter) -> None:
        """Lets a waiter wait for jobs of an endpoint, until it is served once or withdrawn."""
        self._state.queue(endpoint).waiters.setdefault(waiter)
        self.serve(endpoint)

    def withdraw(self, endpoint: str, waiter: Waiter) -> None:
        """Lets it wait no more."""
        self._state.queue(endpoint).waiters.pop(waiter, None)

    def serve(self, endpoint: str) -> None:
        """Hands queued jobs to those who wait, soon."""
        queue = self._state.queues.get(endpoint)
        if queue is None or not queue.waiters:
            return
        if endpoint in self._serving:
            if len(queue.high) == _AT_ONCE:
                self._hand_out(endpoint)
        elif queue.waiting:
            self._soon(endpoint)

    def _soon(self, endpoint: str) -> None:
        self._serving.add(endpoint)
        asyncio.get_running_loop().call_soon(self._dispatch, endpoint)

    def _dispatch(self, endpoint: str) -> None:
        self._serving.discard(endpoint)
        self._hand_out(endpoint)

    def _hand_out(self, endpoint: str) -> None:
        for waiter, jobs in self._state.dispatch(endpoint, time.time()):
            try:
                taken = waiter.serve(jobs)
            except Exception:
                log.exception("store.hand_out_failed endpoint=%s worker=%s", endpoint, waiter.worker_id)
                taken = False
            if not taken:
                for job in reversed(jobs):
                    self._state.unclaim(job, job.attempt)
                if endpoint not in self._serving:
                    self._soon(endpoint)  # others may wait
