"""Runs jobs of a sync handler in as many threads as the endpoint asked for."""

from __future__ import annotations

import contextvars
import queue
import threading
import time

from zeroidle_worker import current, wire
from zeroidle_worker.call import call
from zeroidle_worker.current import Running
from zeroidle_worker.link import Gone, Link
from zeroidle_worker.outcome import Outcome
from zeroidle_worker.prefetch import Prefetch
from zeroidle_worker.run import Loop
from zeroidle_worker.service import Service
from zeroidle_worker.settings import Settings


class ThreadLoop(Loop):
    """The calling thread reads frames; the others run jobs. Every thread keeps its own event loop, if any."""

    def __init__(self, service: Service, link: Link, settings: Settings) -> None:
        super().__init__(service, link, settings)
        self.prefetch = Prefetch(link, self.concurrency, self.poll, adaptive=False)
        self.cooperative = service.kind.is_stream
        self._jobs: "queue.SimpleQueue[wire.Frame]" = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0  # handed to the threads and not yet ended

    def run(self) -> None:
        """Serves until drained. Raises Gone."""
        self.listen()
        for number in range(self.concurrency):
            threading.Thread(target=self._work, name="handler-%d" % (number + 1), daemon=True).start()
        self.tell_ready()
        poller = self.link.poller(self._wake_read)
        while True:
            self.link.flush()
            if self.draining and not self._open:
                return
            for fd, _ in poller.poll():
                if fd == self._wake_read:
                    self.woken()
                else:
                    self.link.receive(self.on_frame)
            while self.prefetch:
                frame = self.prefetch.take()
                with self._lock:
                    self._open += 1
                self._jobs.put(frame)

    def _work(self) -> None:
        while True:
            frame = self._jobs.get()
            try:
                self._one(frame)
                self.link.flush()
            except Gone:
                return  # the thread that reads frames notices it as well and ends the process
            finally:
                with self._lock:
                    self._open -= 1
            if self.draining:
                self.wake()

    def _one(self, frame: wire.Frame) -> None:
        running = self.begin(frame)
        if running is None:
            return
        log_start = self.report.log_offset()
        began = time.monotonic()
        result = contextvars.copy_context().run(self._call, running)
        self.end(running, result, time.monotonic() - began, log_start)

    def _call(self, running: Running) -> Outcome:
        current.enter(running)
        return call(self.service, running, self.report, self.worker_id)
