"""Runs jobs of an async handler as tasks of one event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Dict, Optional

from zeroidle_worker import current, outcome, wire
from zeroidle_worker.call import STOPPED, Chunks, own_loop
from zeroidle_worker.current import Running
from zeroidle_worker.handler import is_async_generator, is_awaitable
from zeroidle_worker.link import Gone, Link
from zeroidle_worker.outcome import Outcome
from zeroidle_worker.run import ASK_S, Loop
from zeroidle_worker.service import Service
from zeroidle_worker.settings import Settings


class AsyncLoop(Loop):
    """The loop of async handlers and async generators. A stopped job gets CancelledError at its next await."""

    cooperative = True

    def __init__(self, service: Service, link: Link, settings: Settings) -> None:
        super().__init__(service, link, settings)
        self._loop = own_loop()  # on which `setup` ran, if it is async
        self._tasks: Dict[Running, "asyncio.Task[Outcome]"] = {}
        self._ended: "asyncio.Future[None]" = self._loop.create_future()
        self._flush_planned = False

    def run(self) -> None:
        """Serves until drained. Raises Gone."""
        self._loop.add_reader(self.link.fileno(), self._readable)
        self._loop.add_reader(self._wake_read, self.woken)
        self.listen()
        self.tell_ready()
        self._plan_flush()
        self._ask_again()
        self._loop.run_until_complete(self._ended)

    def _readable(self) -> None:
        try:
            self.link.receive(self.on_frame)
        except Gone as exc:
            self._gone(exc)
            return
        self._fill()
        self._plan_flush()

    def _fill(self) -> None:
        while len(self._tasks) < self.concurrency and self.prefetch:
            try:
                frame = self.prefetch.take()
            except IndexError:  # its guard gave the last one back
                return
            self._start(frame)

    def _start(self, frame: wire.Frame) -> None:
        running = self.begin(frame)
        if running is None:
            return
        log_start = self.report.log_offset()
        began = time.monotonic()
        self.prefetch.began(began)
        task = self._loop.create_task(self._call(running))
        self._tasks[running] = task
        # Not at the end of the coroutine: one that is cancelled before its first step never runs.
        task.add_done_callback(lambda task: self._finished(task, running, began, log_start))

    def _finished(self, task: Any, running: Running, began: float, log_start: Optional[int]) -> None:
        del self._tasks[running]
        took_s = time.monotonic() - began
        self.prefetch.ended(took_s, idle=not self._tasks)
        if task.cancelled():
            result = Outcome(outcome.failed(STOPPED))
        elif isinstance(task.exception(), Gone):
            self._gone(task.exception())
            return
        else:
            result = task.result()
        self.end(running, result, took_s, log_start)
        self.rescale()
        self._fill()
        self._plan_flush()
        self._check_end()

    async def _call(self, running: Running) -> Outcome:
        current.enter(running)
        streams = False
        try:
            value = self.service.handler(running.job)
            if is_awaitable(value):
                value = await value
            streams = is_async_generator(value)
            if streams:
                return await self._stream(value, running)
        except Gone:
            raise
        except asyncio.CancelledError as exc:
            if running.cancelled:
                return Outcome(outcome.failed(STOPPED))
            return outcome.raised(exc, self.worker_id)
        except BaseException as exc:  # also SystemExit: it ends this process, but not before it was reported
            return outcome.generator_raised(exc) if streams else outcome.raised(exc, self.worker_id)
        return outcome.returned(value)

    async def _stream(self, pieces: Any, running: Running) -> Outcome:
        chunks = Chunks(self.report, running, self.service.aggregate)
        async for chunk in pieces:
            end = chunks.send(chunk)
            if end is not None:
                await pieces.aclose()
                return end
            if running.cancelled:
                await pieces.aclose()
                return Outcome(outcome.failed(STOPPED))
        return chunks.end()

    def stop_job(self, running: Running) -> None:
        """Cancels the job's task; from any thread."""
        task = self._tasks.get(running)
        if task is not None:
            self._loop.call_soon_threadsafe(task.cancel)

    def drain(self) -> None:
        """Takes no more jobs; from any thread."""
        super().drain()
        self._loop.call_soon_threadsafe(self._check_end)

    def _check_end(self) -> None:
        if self.draining and not self._tasks and not self._ended.done():
            self._ended.set_result(None)

    def _gone(self, exc: Any) -> None:
        self._loop.remove_reader(self.link.fileno())
        if not self._ended.done():
            self._ended.set_exception(exc)

    def _plan_flush(self) -> None:
        # What ends in the same turn of the loop shares a write.
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        try:
            self.link.flush()
        except Gone as exc:
            self._gone(exc)

    def _ask_again(self) -> None:
        if self.service.modifier is not None and not self.draining:
            if not self._tasks:
                self.rescale()
                self._plan_flush()
            self._loop.call_later(ASK_S, self._ask_again)
