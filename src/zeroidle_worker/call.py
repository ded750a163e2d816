"""Calls a handler in the calling thread and makes an outcome of whatever it gives: a value, a stream, an awaitable."""

from __future__ import annotations

import _thread
from typing import Any, Iterator, List, Optional

from zeroidle_worker import outcome
from zeroidle_worker.current import Running
from zeroidle_worker.encode import NotJson
from zeroidle_worker.handler import is_async_generator, is_awaitable, is_generator
from zeroidle_worker.link import Gone
from zeroidle_worker.outcome import Outcome
from zeroidle_worker.report import Reporter
from zeroidle_worker.service import Service

#: What a job gets when it was stopped; nobody reads it, because a stopped job has ended already.
STOPPED = "The job was stopped."


class Chunks:
    """The pieces of one stream: each is sent at once, and kept when they are the result as well."""

    def __init__(self, report: Reporter, running: Running, aggregate: bool) -> None:
        self._report = report
        self._running = running
        self._kept: Optional[List[Any]] = [] if aggregate else None

    def send(self, chunk: Any) -> Optional[Outcome]:
        """Sends one piece; answers the job's outcome when this ends the stream."""
        if isinstance(chunk, dict) and chunk.get("error"):
            return outcome.returned({"error": str(chunk["error"])})
        try:
            self._report.stream(self._running, chunk)
        except NotJson as exc:
            return Outcome(outcome.failed(str(exc)))
        except OSError as exc:
            return Outcome(outcome.failed("A chunk could not be written to the plane's spool folder: %s." % exc))
        if self._kept is not None:
            self._kept.append(chunk)
        return None

    def end(self) -> Outcome:
        """The outcome after the last piece: the list of all, or an empty one."""
        return outcome.returned(self._kept or [])


def call(service: Service, running: Running, report: Reporter, worker_id: str) -> Outcome:
    """Runs one job. Raises Gone only."""
    try:
        value = service.handler(running.job)
        if is_awaitable(value):
            value = own_loop().run_until_complete(value)
        if is_async_generator(value):
            value = _drive(value)
    except Gone:
        raise
    except BaseException as exc:  # also SystemExit: it ends this process, but not before it was reported
        return outcome.raised(exc, worker_id)
    if is_generator(value):
        return _stream(value, Chunks(report, running, service.aggregate), running)
    return outcome.returned(value)


def _stream(pieces: Any, chunks: Chunks, running: Running) -> Outcome:
    from zeroidle_worker.current import worker

    try:
        for chunk in pieces:
            end = chunks.send(chunk)
            if end is not None:
                pieces.close()
                return end
            worker.poll()
            if running.cancelled:
                pieces.close()
                return Outcome(outcome.failed(STOPPED))
    except Gone:
        raise
    except BaseException as exc:
        return outcome.generator_raised(exc)
    return chunks.end()


def _drive(pieces: Any) -> Iterator[Any]:
    """Pulls an async generator from a thread that runs no event loop."""
    loop = own_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(pieces.__anext__())
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(pieces.aclose())


class _Loops(_thread._local):
    """One event loop per thread, kept between jobs, because a handler's connections belong to it."""

    loop: Any = None


_loops = _Loops()


def own_loop() -> Any:
    """The event loop of the calling thread, made when there is none."""
    if _loops.loop is None:
        import asyncio

        _loops.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_loops.loop)
    return _loops.loop
