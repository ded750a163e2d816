"""Serves a handler: takes jobs from the plane, runs them, reports, until the worker has drained."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import Any, Optional, Tuple

from zeroidle_worker import current, outcome, wire
from zeroidle_worker.current import Running
from zeroidle_worker.link import Gone, Link
from zeroidle_worker.outcome import Outcome
from zeroidle_worker.prefetch import Prefetch
from zeroidle_worker.report import Reporter, read_job
from zeroidle_worker.service import Service
from zeroidle_worker.settings import Settings

#: How long a worker that ends listens for jobs that were on their way to it, to give them back. In seconds.
LINGER_S = 0.02

#: How often a concurrency modifier that wants no jobs is asked again, in seconds (the SDK's pace).
ASK_S = 1.0


def run(service: Service, link: Link, settings: Settings) -> None:
    """Serves until the worker has drained. Raises Gone when the plane has gone.

    Jobs of a sync handler run one after another in the thread that called `start`, as with the SDK: libraries keep
    settings per thread (torch's grad mode, the CUDA device), and the handler's file made them there. Only an endpoint
    that asks for concurrency gets threads.
    """
    loop: Loop
    if service.kind.is_async:
        from zeroidle_worker.run_async import AsyncLoop

        loop = AsyncLoop(service, link, settings)
    elif service.concurrency > 1 and service.modifier is None:
        from zeroidle_worker.run_threads import ThreadLoop

        loop = ThreadLoop(service, link, settings)
    else:
        from zeroidle_worker.run_sync import SyncLoop

        loop = SyncLoop(service, link, settings)
    loop.run()
    loop.say_goodbye()


class Loop:
    """What every way of running shares: frames in, the start and the end of a job, concurrency, draining."""

    #: Whether the handler notices a stop by itself.
    cooperative = False

    def __init__(self, service: Service, link: Link, settings: Settings) -> None:
        self.service = service
        self.link = link
        self.worker_id = settings.worker_id
        self.report = Reporter(link, settings.spool, settings.worker_id)
        self.concurrency = self._ask(service.concurrency)
        self.prefetch = Prefetch(link, self.concurrency, self.poll, adaptive=service.modifier is None)
        self.draining = False
        self.drained_at = 0.0
        self.signalled = False
        self._mask: Any = ()
        self._told: Optional[Tuple[int, bool]] = None
        # A signal handler may run while this thread holds any lock, so it only writes a byte here.
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self._tag()
        current.worker.poll = self.poll
        current.worker.progress = self.report.progress

    def run(self) -> None:
        """Serves until drained."""
        raise NotImplementedError

    # -- frames

    def on_frame(self, frame: wire.Frame) -> None:
        """Takes in one frame of the plane."""
        if frame.kind == wire.JOB:
            self.arrived(frame)
        elif frame.kind == wire.CANCEL:
            self.cancelled(str(frame.header.get("id")), int(frame.header.get("attempt") or 0))
        elif frame.kind == wire.DRAIN:
            self.drain()

    def arrived(self, frame: wire.Frame) -> None:
        """A job was handed out."""
        if self.draining:
            self.link.push(wire.pack(wire.RELEASE, {"ids": [frame.header["id"]]}))
        else:
            self.prefetch.add(frame)

    def cancelled(self, job_id: str, attempt: int) -> None:
        """The plane wants a job stopped: one that was not begun goes back, a running one is told."""
        if self.prefetch.remove(job_id, attempt):
            self.link.push(wire.pack(wire.RELEASE, {"ids": [job_id]}))
            return
        running = current.worker.jobs.get(job_id)
        if running is not None and running.attempt == attempt:
            running.cancelled = True
            self.stop_job(running)

    def stop_job(self, running: Running) -> None:
        """Interrupts a running job, where that can be done from outside."""

    def poll(self) -> None:
        """Looks for frames without waiting; from any thread."""
        try:
            self.link.receive(self.on_frame)
        except Gone:
            return  # the loop finds out by itself

    # -- jobs

    def begin(self, frame: wire.Frame) -> Optional[Running]:
        """The job of a frame, marked as running; None when it cannot be read, which is then reported."""
        head = frame.header
        running = Running(str(head["id"]), int(head["attempt"]), head.get("deadline"))
        try:
            running.job = read_job(frame)
        except (ValueError, OSError, RecursionError, MemoryError) as exc:
            sentence = "The worker could not read the job: %s: %s" % (type(exc).__name__, exc)
            self.report.done(running, Outcome(outcome.failed(sentence)), 0.0, None)
            return None
        current.worker.jobs[running.id] = running
        return running

    def end(self, running: Running, result: Outcome, run_s: float, log_start: Optional[int]) -> None:
        """Reports the end of a job (into the link's buffer) and does what follows from it."""
        current.worker.jobs.pop(running.id, None)
        if self.service.refresh and not result.refresh:
            result = result._replace(refresh=True)
        tagged = sys.modules.get("zeroidle_worker.tagged")
        if tagged is not None:
            tagged.finish(running.id)
        _flush_output()
        self.report.done(running, result, run_s, log_start)
        debugger = sys.modules.get("runpod.serverless.utils.rp_debugger")
        if debugger is not None:  # its checkpoints are those of one job
            debugger.clear_debugger_output()
        if result.refresh:
            self.drain()
        self.tell_ready()

    # -- concurrency

    def tell_ready(self) -> None:
        """Says how many jobs may run at once and whether the handler notices a stop, when that is news."""
        cooperative = self.cooperative or "zeroidle_worker.context" in sys.modules
        cooperative = cooperative and not self.service.stubborn
        news = (self.concurrency, cooperative)
        if news != self._told and not self.draining:
            self._told = news
            header = {"concurrency": self.concurrency, "cooperative": cooperative}
            self.link.push(wire.pack(wire.READY, header))

    def rescale(self) -> None:
        """Asks the concurrency modifier, as the SDK does before each take."""
        if self.service.modifier is None or self.draining:
            return
        wanted = self._ask(self.concurrency)
        if wanted != self.concurrency:
            self.concurrency = wanted
            self._tag()
            self.prefetch.set_base(wanted)
            self.tell_ready()

    def _tag(self) -> None:
        if self.concurrency > 1:
            from zeroidle_worker import tagged

            tagged.install()

    def _ask(self, now: int) -> int:
        modifier = self.service.modifier
        if modifier is None:
            return now
        try:
            wanted = modifier(now)
        except Exception as exc:
            outcome.log_text(outcome.trace_text(exc))
            return now
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
            outcome.log_text("The concurrency_modifier gave %r, not a whole number; %d stays." % (wanted, now))
            return now
        return wanted

    # -- the end

    def drain(self) -> None:
        """Takes no more jobs; those that run are ended. Not from a signal handler: see `listen`."""
        if not self.draining:
            self.draining = True
            self.drained_at = time.monotonic()
            self.prefetch.stop()

    def listen(self) -> None:
        """Lets SIGTERM and SIGINT begin the drain. Outside of the main thread only the plane can."""
        try:
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, self._on_signal)
        except ValueError:
            outcome.log_text("start() was not called in the main thread: SIGTERM will not drain this worker.")
            return
        # A process that the handler forks must end at a SIGTERM: a pool waits for that without limit. The signals are
        # held back meanwhile, or one that comes before the child is in order would be lost.
        os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._give_back)

    def _hold(self) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _give_back(self) -> None:
        for number, usual in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, usual)
        self._release()

    def _on_signal(self, number: int, stack: Any) -> None:
        self.signalled = True
        self.wake()

    def wake(self) -> None:
        """Makes the waiting loop look around; safe in a signal handler."""
        try:
            os.write(self._wake_write, b"t")
        except OSError:
            return  # full: it will wake

    def woken(self) -> None:
        """Takes the bytes of `wake`; begins the drain when a signal asked for it."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 64)
        if self.signalled:
            self.drain()

    def say_goodbye(self) -> None:
        """Sends everything, and gives back jobs that were on their way while the drain began."""
        self.link.flush()
        poller = self.link.poller(self._wake_read)
        while True:
            left_s = self.drained_at + LINGER_S - time.monotonic()
            if left_s <= 0 or not poller.poll(left_s * 1000):
                return
            self.woken()
            self.link.receive(self.on_frame)
            self.link.flush()


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed or replaced by the handler
            continue
