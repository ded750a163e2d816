"""How many short jobs a worker holds ahead, and a thread that gives them back when one runs long.

Handing out ahead removes the round trip between two short jobs. It must never keep a job waiting behind a long one
while another worker is idle: so at most `AHEAD_S` of expected work is held, and when the running job is not done
after `STUCK_S`, the jobs that have not begun go back to the plane.
"""

from __future__ import annotations

import _thread
import time
from collections import deque
from typing import Any, Callable, Deque, List

from zeroidle_worker import wire
from zeroidle_worker.link import Gone, Link

#: Expected work that is held ahead, in seconds; a handler call that takes as long ends the handing out ahead.
AHEAD_S = 0.005
#: A job that runs this long makes the worker give back what it has not begun.
STUCK_S = 0.020
#: More jobs than this are never held.
CREDIT_MAX = 128
#: So many short calls in a row before anything is held ahead.
TRUST_AFTER = 3

_TICK_S = 0.005
_SLOW_TICK_S = 0.050
_CALM_TICKS = 3


class Prefetch:
    """The jobs that were handed out and not begun, and the credit that the plane was told.

    The loop calls `began` before and `ended` after each job, and takes jobs with `take`. `poll`, when given, is how
    the thread reads frames while the loop cannot.
    """

    def __init__(self, link: Link, base: int, poll: Callable[[], None], adaptive: bool = True) -> None:
        self._link = link
        self._poll = poll
        self._adaptive = adaptive
        self._waiting: Deque[wire.Frame] = deque()
        self._lock = _thread.allocate_lock()
        self.base = base
        self.credit = base
        self._mean_s = 0.0
        self._short = 0
        self._moved_at = 0.0  # when the last job was begun; 0 while none runs
        self._awake: Any = None  # an Event, once the thread exists
        self._asleep = True

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, frame: wire.Frame) -> None:
        """Takes in a job that was handed out."""
        self._waiting.append(frame)

    def take(self) -> wire.Frame:
        """The next job. Raises IndexError when there is none."""
        return self._waiting.popleft()

    def remove(self, job_id: str, attempt: int) -> bool:
        """Takes out a job that has not begun; False when it does not wait here."""
        for frame in list(self._waiting):
            if frame.header["id"] == job_id and frame.header["attempt"] == attempt:
                try:
                    self._waiting.remove(frame)
                except ValueError:  # another thread took it meanwhile
                    return False
                return True
        return False

    def began(self, now: float) -> None:
        """A job begins. `now` is of time.monotonic()."""
        self._moved_at = now
        # With a credit above the base, jobs may come while this one runs.
        if self._asleep and (self._waiting or self._link.pending or self.credit > self.base):
            self._wake()

    def ended(self, took_s: float, idle: bool = True) -> None:
        """A job has ended after `took_s` seconds; `idle` when no other is running."""
        if idle:
            self._moved_at = 0.0
        if not self._adaptive:
            return
        if took_s >= AHEAD_S:
            self._short = 0
            self._mean_s = max(self._mean_s, took_s)
            if self.credit > self.base:
                self._give_back()
            return
        self._mean_s = took_s if self._short == 0 else 0.8 * self._mean_s + 0.2 * took_s
        self._short += 1
        if self._short < TRUST_AFTER:
            return
        ahead = min(CREDIT_MAX, int(AHEAD_S / max(self._mean_s, 1e-6)))
        wanted = self.base if ahead < 2 else max(self.base, self.base + ahead - 1)
        # Each change costs a frame: only large ones are told.
        if wanted >= 2 * self.credit or (wanted < self.credit and 2 * wanted <= self.credit):
            self._tell(wanted)

    def set_base(self, base: int) -> None:
        """The concurrency has changed."""
        if base != self.base:
            with self._lock:
                self.base = base
                self._short = 0
            self._tell(base)

    def stop(self) -> None:
        """Takes no more jobs and gives back those that were not begun."""
        self._adaptive = False
        self.base = 0
        self._give_back()

    def _tell(self, credit: int) -> None:
        with self._lock:
            self.credit = credit
            self._link.push(wire.pack(wire.TAKE, {"n": credit}))

    def _give_back(self) -> None:
        with self._lock:
            # First the credit, or the plane would hand out others in their place.
            if self.credit != self.base or self.base == 0:
                self.credit = self.base
                self._link.push(wire.pack(wire.TAKE, {"n": self.base}))
            ids: List[str] = []
            while self._waiting:
                try:
                    ids.append(self._waiting.pop().header["id"])
                except IndexError:  # the loop took the last one meanwhile
                    break
            if ids:
                self._link.push(wire.pack(wire.RELEASE, {"ids": ids[::-1]}))

    # The thread. It sleeps while no job waits, so that an idle or a slow worker never pays for it.

    def _wake(self) -> None:
        self._asleep = False
        if self._awake is None:
            import threading

            self._awake = threading.Event()
            threading.Thread(target=self._guard, name="zeroidle-prefetch", daemon=True).start()
        self._awake.set()

    def _guard(self) -> None:
        while True:
            self._awake.wait()
            self._awake.clear()
            try:
                self._watch()
            except Gone:
                return  # the loop notices it as well and ends
            self._asleep = True
            if self._moved_at and (self._waiting or self._link.pending or self.credit > self.base):
                # A job began between the last look and the line above, and so nobody woke us.
                self._asleep = False
                self._awake.set()

    def _watch(self) -> None:
        quiet = calm = 0
        while quiet < 3:
            moved_at = self._moved_at
            held_s = time.monotonic() - moved_at if moved_at else 0.0
            time.sleep(_TICK_S if held_s < STUCK_S else _SLOW_TICK_S)
            if self._moved_at != moved_at:
                quiet = calm = 0
                continue
            if not moved_at:
                quiet += 1
                continue
            # The same job as one tick ago: what is finished must not wait for it.
            if time.monotonic() - moved_at >= STUCK_S:
                self._short = 0
                self._poll()  # what is still on its way here goes back as well
                calm += 1
                if self._waiting or self.credit > self.base:
                    self._give_back()
                    calm = 0
            self._link.flush()
            if calm >= _CALM_TICKS:
                return  # the plane knows the credit, so nothing comes any more while this job runs
