"""Runs jobs one after another in the calling thread."""

from __future__ import annotations

import contextvars
import time

from zeroidle_worker import current, wire
from zeroidle_worker.call import call
from zeroidle_worker.current import Running
from zeroidle_worker.link import Link
from zeroidle_worker.outcome import Outcome
from zeroidle_worker.run import ASK_S, Loop
from zeroidle_worker.service import Service
from zeroidle_worker.settings import Settings

#: Results of short jobs share a write, but none waits longer than this for the next job, in seconds.
_FLUSH_S = 0.0005


class SyncLoop(Loop):
    """The loop of sync handlers and generators. While a job runs, nobody reads frames unless the handler asks
    (`cancelled()`, the pieces of a stream) or jobs wait behind it (`Prefetch`)."""

    def __init__(self, service: Service, link: Link, settings: Settings) -> None:
        # However many jobs a modifier asks for, a sync handler runs them in turn: one is taken at a time.
        super().__init__(service, link, settings)
        self.cooperative = service.kind.is_stream

    def _ask(self, now: int) -> int:
        return min(1, super()._ask(now))

    def run(self) -> None:
        """Serves until drained. Raises Gone."""
        self.listen()
        self.tell_ready()
        poller = self.link.poller(self._wake_read)
        flushed_at = 0.0
        while True:
            self.link.flush()
            if self.draining:
                return
            events = poller.poll(None if self.concurrency else ASK_S * 1000)
            if not events:
                self.rescale()
            for fd, _ in events:
                if fd == self._wake_read:
                    self.woken()
                else:
                    self.link.receive(self.on_frame)
            self.report.log_end = None  # much may have been written while nothing ran
            while self.prefetch:
                try:
                    frame = self.prefetch.take()
                except IndexError:  # its guard gave the last one back
                    break
                self._one(frame)
                now = time.monotonic()
                if now - flushed_at > _FLUSH_S:
                    self.link.flush()
                    flushed_at = now
                if self.signalled:
                    self.woken()

    def _one(self, frame: wire.Frame) -> None:
        running = self.begin(frame)
        if running is None:
            return
        log_start = self.report.log_end
        if log_start is None:
            log_start = self.report.log_offset()
        began = time.monotonic()
        self.prefetch.began(began)
        result = contextvars.copy_context().run(self._call, running)
        took_s = time.monotonic() - began
        self.prefetch.ended(took_s)
        self.end(running, result, took_s, log_start)
        self.rescale()

    def _call(self, running: Running) -> Outcome:
        current.enter(running)
        return call(self.service, running, self.report, self.worker_id)
