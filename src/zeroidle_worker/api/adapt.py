"""Makes a declared function or class into a handler of jobs that the worker's loop runs."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from zeroidle_worker.api.declare import DeclarationError, Declared
from zeroidle_worker.api.result import placer, to_json
from zeroidle_worker.api.signature import Signature, read

_END = object()


class Adapted(NamedTuple):
    """What the loop needs: the handler, how many jobs at once, and what to do before the first job."""

    handler: Callable[[Dict[str, Any]], Any]
    concurrency: int
    setup: Optional[Callable[[], Any]]


def adapt(declared: Declared, settings: Optional[Dict[str, Any]] = None) -> Adapted:
    """The handler of a declared endpoint. `settings` (from the plane) win over those of the decorator."""
    merged = {**declared.settings, **(settings or {})}
    call, setup = _instance(declared, merged)
    batch = batch_of(merged.get("batch"))
    signature = read(call, _doc(declared), batch is not None)
    files = str(merged.get("files") or "auto")
    concurrency = int(merged.get("concurrency") or 1)
    if batch is not None:
        collector = Batcher(call, batch[0], batch[1])
        return Adapted(_single(signature, files, collector.submit), max(concurrency, 2 * batch[0]), setup)
    target = _sync_call(call)
    if inspect.isasyncgenfunction(target):
        return Adapted(_async_stream(signature, files, call), concurrency, setup)
    if inspect.iscoroutinefunction(target):
        return Adapted(_single(signature, files, call), concurrency, setup)
    if concurrency == 1:
        make = _stream if inspect.isgeneratorfunction(target) else _plain
        return Adapted(make(signature, files, call), 1, setup)
    pool = ThreadPoolExecutor(concurrency, "handler")
    if inspect.isgeneratorfunction(target):
        return Adapted(_async_stream(signature, files, functools.partial(_pulled, pool, call)), concurrency, setup)
    return Adapted(_single(signature, files, functools.partial(_threaded, pool, call)), concurrency, setup)


def signature_of(declared: Declared, settings: Optional[Dict[str, Any]] = None) -> Signature:
    """What a declared endpoint takes and gives, without making an instance of its class."""
    batch = batch_of({**declared.settings, **(settings or {})}.get("batch"))
    target: Any = declared.target
    if inspect.isclass(target):
        target = target.__call__.__get__(object())  # bound, so that `self` is no parameter
    return read(target, _doc(declared), batch is not None)


def form_of(declared: Declared) -> str:
    """In one word how it answers: function, async, stream or batch."""
    if declared.settings.get("batch"):
        return "batch"
    target = declared.target.__call__ if inspect.isclass(declared.target) else declared.target
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        return "stream"
    return "async" if inspect.iscoroutinefunction(target) else "function"


def batch_of(value: Any) -> Optional[Tuple[int, float]]:
    """`8` or `[8, "50ms"]` -> (most requests, seconds to collect them)."""
    if value in (None, 0, 1):
        return None
    size, wait = value if isinstance(value, (list, tuple)) else (value, 0.01)
    if isinstance(wait, str):
        match = re.fullmatch(r"([0-9.]+)\s*(ms|s|m)", wait.strip())
        if not match:
            raise DeclarationError("The batch wait %r is no duration; write for example '50ms'." % wait)
        wait = float(match.group(1)) * {"ms": 0.001, "s": 1.0, "m": 60.0}[match.group(2)]
    if not isinstance(size, int) or size < 1:
        raise DeclarationError("The batch size %r must be a whole number from 1." % (size,))
    return size, float(wait)


def _doc(declared: Declared) -> Optional[str]:
    if not inspect.isclass(declared.target):
        return declared.target.__doc__
    return declared.target.__doc__ or getattr(declared.target, "__call__").__doc__  # noqa: B009


def _sync_call(call: Any) -> Any:
    return call if inspect.isroutine(call) else call.__call__


def _instance(declared: Declared, settings: Dict[str, Any]) -> Tuple[Callable[..., Any], Optional[Callable[[], Any]]]:
    """The callable, and the `setup` of a class with its weights filled in."""
    if not inspect.isclass(declared.target):
        return declared.target, None
    instance = declared.target()
    setup = getattr(instance, "setup", None)
    if setup is not None and inspect.signature(setup).parameters:
        weights = settings.get("weights")
        if weights is None:
            raise DeclarationError(
                "%s.setup takes weights; name them in the decorator: weights=Weights(...)." % declared.target.__name__
            )
        setup = functools.partial(setup, weights)
    return getattr(instance, "__call__"), setup  # noqa: B009


def _arguments(signature: Signature, job: Dict[str, Any]) -> Dict[str, Any]:
    return {"job": job} if signature.load is None else signature.load(job.get("input"))


def _place(files: str, job: Dict[str, Any]) -> Any:
    return placer(files, str(job["id"]), dict(os.environ))


def _called(signature: Signature, call: Callable[..., Any], job: Dict[str, Any]) -> Any:
    if signature.load is None:
        return call(job)
    return call(**signature.load(job.get("input")))


def _plain(signature: Signature, files: str, call: Callable[..., Any]) -> Callable[[Dict[str, Any]], Any]:
    def handler(job: Dict[str, Any]) -> Any:
        return to_json(_called(signature, call, job), _place(files, job))

    return handler


def _single(signature: Signature, files: str, call: Callable[..., Any]) -> Callable[[Dict[str, Any]], Any]:
    async def handler(job: Dict[str, Any]) -> Any:
        return to_json(await _called(signature, call, job), _place(files, job))

    return handler


def _stream(signature: Signature, files: str, call: Callable[..., Any]) -> Callable[[Dict[str, Any]], Any]:
    def handler(job: Dict[str, Any]) -> Any:
        place = _place(files, job)
        for chunk in _called(signature, call, job):
            yield to_json(chunk, place)

    return handler


def _async_stream(signature: Signature, files: str, call: Callable[..., Any]) -> Callable[[Dict[str, Any]], Any]:
    async def handler(job: Dict[str, Any]) -> Any:
        place = _place(files, job)
        async for chunk in _called(signature, call, job):
            yield to_json(chunk, place)

    return handler


async def _threaded(pool: ThreadPoolExecutor, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Runs a sync function off the loop, with the job's context (progress, cancelled) in its thread."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, functools.partial(context.run, call, *args, **kwargs))


async def _pulled(pool: ThreadPoolExecutor, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Pulls the chunks of a sync generator in a thread."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    generator = context.run(call, *args, **kwargs)
    try:
        while True:
            chunk = await loop.run_in_executor(pool, functools.partial(context.run, next, generator, _END))
            if chunk is _END:
                return
            yield chunk
    finally:
        await loop.run_in_executor(pool, generator.close)


class Batcher:
    """Collects requests and hands them over as lists; each gets its own result or error, in order."""

    def __init__(self, call: Callable[..., Any], size: int, wait_s: float) -> None:
        self._call = call
        self._size = size
        self._wait_s = wait_s
        self._is_async = inspect.iscoroutinefunction(_sync_call(call))
        # One thread: batches follow each other, as a model on a GPU wants it.
        self._pool = None if self._is_async else ThreadPoolExecutor(1, "batch")
        self._waiting: List[Tuple[Dict[str, Any], "asyncio.Future[Any]"]] = []
        self._timer: Optional[asyncio.TimerHandle] = None
        self._running = False

    async def submit(self, **arguments: Any) -> Any:
        """One request; returns when its batch has run."""
        loop = asyncio.get_running_loop()
        future: "asyncio.Future[Any]" = loop.create_future()
        self._waiting.append((arguments, future))
        if len(self._waiting) >= self._size:
            self._start()
        elif self._timer is None and not self._running:
            self._timer = loop.call_later(self._wait_s, self._start)
        return await future

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._running:
            return  # the next batch collects while this one runs
        self._waiting = [(a, f) for a, f in self._waiting if not f.done()]  # cancelled ones are not run
        batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        if batch:
            self._running = True
            task = asyncio.ensure_future(self._run(batch))
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Future[None]") -> None:
        self._running = False
        task.result()
        if len(self._waiting) >= self._size:
            self._start()
        elif self._waiting:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._start)

    async def _run(self, batch: "List[Tuple[Dict[str, Any], asyncio.Future[Any]]]") -> None:
        try:
            results = await self._invoke([arguments for arguments, _ in batch])
        except Exception as exc:
            for _, future in batch:
                if not future.done():
                    future.set_exception(exc)
            return
        for (_, future), result in zip(batch, results):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _invoke(self, requests: List[Dict[str, Any]]) -> List[Any]:
        parameters = inspect.signature(self._call).parameters.values()
        # Also what every request left out is a list, so that the handler sees one form only.
        lists = {p.name: [request.get(p.name, p.default) for request in requests] for p in parameters}
        if self._pool is None:
            results = await self._call(**lists)
        else:
            loop = asyncio.get_running_loop()
            results = await loop.run_in_executor(self._pool, functools.partial(self._call, **lists))
        results = list(results)
        if len(results) != len(requests):
            raise ValueError(
                "The batch handler got %d requests and gave %d results; it must give one for each, in order."
                % (len(requests), len(results))
            )
        return results
