"""Collects requests and hands them over as lists; each gets its own result or error, in order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from zeroidle_worker.api.parameters import parameters_of
from zeroidle_worker.handler import kind_of


class _Request(NamedTuple):
    """`came` is the loop's time when it was submitted."""

    arguments: Dict[str, Any]
    future: "asyncio.Future[Any]"
    came: float


class Batcher:
    """Calls `call` with at most `size` requests at once. A batch begins when it is full, or when its oldest request
    has waited `wait_s` seconds; while one runs, the next is collected."""

    def __init__(self, call: Callable[..., Any], size: int, wait_s: float) -> None:
        self._call = call
        self._defaults = {p.name: p.default for p in parameters_of(call) if p.kind == "named"}
        self._size = size
        self._wait_s = wait_s
        # One thread: batches follow each other, as a model on a GPU wants it.
        self._pool = None if kind_of(call).is_async else ThreadPoolExecutor(1, "batch")
        self._waiting: List[_Request] = []
        self._timer: Optional[asyncio.TimerHandle] = None
        self._batch: List[_Request] = []
        self._task: "Optional[asyncio.Task[None]]" = None

    async def submit(self, **arguments: Any) -> Any:
        """One request; returns when its batch has run."""
        loop = asyncio.get_running_loop()
        request = _Request(arguments, loop.create_future(), loop.time())
        self._waiting.append(request)
        self._plan()
        try:
            return await request.future
        except asyncio.CancelledError:
            await self._abandon(request)
            raise

    async def _abandon(self, request: _Request) -> None:
        """A cancelled request leaves its batch to the others. The last one stops it: an async handler at once; a sync
        one is waited for, so that the plane sees that this process cannot work and ends it."""
        task = self._task
        if task is None or all(one is not request for one in self._batch):
            return
        if any(not one.future.done() for one in self._batch):
            return
        if self._pool is None:
            task.cancel()
        await asyncio.wait({task})

    def _plan(self) -> None:
        """Begins a batch now, or at the time when its oldest request has waited long enough."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            return
        self._waiting = [one for one in self._waiting if not one.future.done()]  # cancelled ones are not run
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        due = self._waiting[0].came + self._wait_s
        if len(self._waiting) < self._size and loop.time() < due:
            self._timer = loop.call_at(due, self._start)
        else:
            self._start()

    def _start(self) -> None:
        self._timer = None
        waiting = [one for one in self._waiting if not one.future.done()]
        self._batch, self._waiting = waiting[: self._size], waiting[self._size :]
        if self._batch:
            self._task = asyncio.get_running_loop().create_task(self._run(self._batch))
            self._task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task, self._batch = None, []
        self._plan()

    async def _run(self, batch: List[_Request]) -> None:
        try:
            results = await self._invoke([one.arguments for one in batch])
        except BaseException as exc:  # also SystemExit: each of these jobs must end with it
            results = [exc] * len(batch)
        for one, result in zip(batch, results):
            if one.future.done():
                continue
            if isinstance(result, BaseException):
                one.future.set_exception(_settable(result))
            else:
                one.future.set_result(result)

    async def _invoke(self, requests: List[Dict[str, Any]]) -> List[Any]:
        # Also what every request left out is a list, so that the handler sees one form only.
        names = dict.fromkeys([*self._defaults, *(name for request in requests for name in request)])
        lists = {name: [request.get(name, self._defaults.get(name)) for request in requests] for name in names}
        if self._pool is None:
            results = await self._call(**lists)
        else:
            run = functools.partial(_guarded, self._call, lists)
            results = await asyncio.get_running_loop().run_in_executor(self._pool, run)
        with contextlib.suppress(TypeError):
            results = list(results)
        if not isinstance(results, list) or len(results) != len(requests):
            given = "%d results" % len(results) if isinstance(results, list) else type(results).__name__
            raise ValueError(
                "The batch handler got %d requests and gave %s; it must give a list with one result for each, in order."
                % (len(requests), given)
            )
        return results


def _guarded(call: Callable[..., Any], lists: Dict[str, Any]) -> Any:
    try:
        return call(**lists)
    except StopIteration as exc:
        raise _settable(exc) from exc


def _settable(exc: BaseException) -> BaseException:
    """A future takes every exception but this one."""
    return RuntimeError("The handler raised StopIteration.") if isinstance(exc, StopIteration) else exc
