"""Makes a declared function or class into a handler of jobs that the worker's loop runs."""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from typing import Any, AsyncIterator, Callable, Dict, Iterator, NamedTuple, Optional, Tuple

from zeroidle_worker.api.declare import DeclarationError, Declared
from zeroidle_worker.api.parameters import parameters_of
from zeroidle_worker.api.result import Place, placer, to_json
from zeroidle_worker.api.scalars import UnsupportedType
from zeroidle_worker.api.signature import Signature, read
from zeroidle_worker.handler import Kind, is_async_generator, is_awaitable, is_generator, kind_of

#: How long requests are collected for a batch when nobody says, in seconds.
DEFAULT_WAIT_S = 0.01

#: The module that is loaded when a handler takes or gives files.
_FILES = "zeroidle_worker.api.files"


class Adapted(NamedTuple):
    """What the loop needs: the handler, how many jobs at once, and what to do before the first job. `stubborn`: nothing
    ends a job that has begun but the end of the process (a batch runs in a thread, for several jobs)."""

    handler: Callable[[Dict[str, Any]], Any]
    concurrency: int
    setup: Optional[Callable[[], Any]]
    stubborn: bool = False


def adapt(declared: Declared, settings: Optional[Dict[str, Any]] = None) -> Adapted:
    """The handler of a declared endpoint. `settings` (from the plane) win over those of the decorator."""
    merged = {**declared.settings, **(settings or {})}
    call, setup = _instance(declared, merged)
    batch = _batch(declared, merged)
    signature = read(call, batch=batch is not None)
    files = str(merged.get("files") or "auto")
    concurrency = int(merged.get("concurrency") or 1)
    if batch is not None:
        from zeroidle_worker.api.batch import Batcher

        submit: Callable[..., Any] = Batcher(call, batch[0], batch[1]).submit
        if signature.load is None:  # it takes lists of whole jobs
            name = parameters_of(call)[0].name
            submit = partial(_by_name, submit, name)
        handler = _async(signature, files, submit)
        return Adapted(handler, max(concurrency, 2 * batch[0]), setup, stubborn=not kind_of(call).is_async)
    kind = kind_of(call)
    if kind == Kind(is_async=True, is_stream=True):
        return Adapted(_async_stream(signature, files, call), concurrency, setup)
    make = _async if kind.is_async else _stream if kind.is_stream else _plain
    return Adapted(make(signature, files, call), concurrency, setup)


def signature_of(declared: Declared, settings: Optional[Dict[str, Any]] = None) -> Signature:
    """What a declared endpoint takes and gives and its author's description, without making an instance of its
    class."""
    merged = {**declared.settings, **(settings or {})}
    target: Any = declared.target
    doc = target.__doc__
    if isinstance(target, type):
        target = target.__call__.__get__(object())  # bound, so that `self` is no parameter
        doc = doc or target.__doc__
    batch = _batch(declared, merged)
    if batch is not None and kind_of(target).is_stream:
        raise DeclarationError(
            "%s has a batch and yields; a handler of batches takes lists and returns a list." % declared.name
        )
    return read(target, doc or "", batch is not None)


def batched_signature(declared: Declared) -> Optional[Signature]:
    """The same if requests were handed over in lists; None when the decorator says so already or it cannot be."""
    if form_of(declared) not in ("function", "async"):
        return None
    try:
        signature = signature_of(declared, {"batch": 2})
    except UnsupportedType:
        return None
    return signature if signature.load is not None else None


def form_of(declared: Declared) -> str:
    """In one word how it answers: function, async, stream or batch."""
    if declared.settings.get("batch"):
        return "batch"
    target: Any = declared.target
    kind = kind_of(target.__call__ if isinstance(target, type) else target)
    if kind.is_stream:
        return "stream"
    return "async" if kind.is_async else "function"


def batch_of(value: Any) -> Optional[Tuple[int, float]]:
    """`8` or `[8, "50ms"]` -> (most requests, seconds to collect them); None for 0."""
    if value in (None, 0):
        return None
    size, wait = value if isinstance(value, (list, tuple)) and len(value) == 2 else (value, DEFAULT_WAIT_S)
    if isinstance(wait, str):
        match = re.fullmatch(r"([0-9.]+)\s*(ms|s|m)", wait.strip())
        if not match:
            raise DeclarationError("The batch wait %r is no duration; write for example '50ms'." % wait)
        wait = float(match.group(1)) * {"ms": 0.001, "s": 1.0, "m": 60.0}[match.group(2)]
    if not isinstance(size, int) or size < 0:
        raise DeclarationError("The batch size %r must be a whole number from 0." % (size,))
    return (size, float(wait)) if size else None


def _batch(declared: Declared, merged: Dict[str, Any]) -> Optional[Tuple[int, float]]:
    """With a batch in its decorator a handler takes lists, whatever else is said."""
    return batch_of(merged.get("batch")) or ((1, 0.0) if batch_of(declared.settings.get("batch")) else None)


def _instance(declared: Declared, settings: Dict[str, Any]) -> Tuple[Callable[..., Any], Optional[Callable[[], Any]]]:
    """The callable, and the `setup` of a class with its weights filled in."""
    if not isinstance(declared.target, type):
        return declared.target, None
    instance = declared.target()
    setup = getattr(instance, "setup", None)
    if setup is not None and parameters_of(setup):
        weights = _weights(declared.settings.get("weights"), settings.get("weights"))
        if not weights:
            raise DeclarationError(
                "%s.setup takes weights; name them in the decorator: weights=Weights(...)." % declared.target.__name__
            )
        return getattr(instance, "__call__"), lambda: setup(weights)  # noqa: B009
    return getattr(instance, "__call__"), setup  # noqa: B009


def _weights(decorated: Any, given: Any) -> Any:
    """What `setup` gets: Weights, or a list of them where the decorator or a setting has several."""
    from zeroidle_worker.api.weights import Weights

    many = given if isinstance(given, (list, tuple)) else [given] if given else []
    found = [one if isinstance(one, Weights) else Weights(str(one)) for one in many]
    several = isinstance(decorated, (list, tuple)) or len(found) > 1
    return found if several else found[0] if found else None


def _by_name(submit: Callable[..., Any], name: str, job: Dict[str, Any]) -> Any:
    return submit(**{name: job})


def _place(files: str, job: Dict[str, Any]) -> Place:
    return placer(files, str(job["id"]), os.environ)


def _called(signature: Signature, call: Callable[..., Any], job: Dict[str, Any]) -> Any:
    if signature.load is None:
        return call(job)
    return call(**signature.load(job.get("input")))


def _plain(signature: Signature, files: str, call: Callable[..., Any]) -> Callable[[Dict[str, Any]], Any]:
    def handler(job: Dict[str, Any]) -> Any:
        value, place = _called(signature, call, job), _place(files, job)
        # A wrapper without `async` or `yield` around a function that has it: what it gives decides.
        if is_awaitable(value):
            return _awaited(value, place)
        if is_generator(value):
            return _pieces(value, place)
        if is_async_generator(value):
            return _async_pieces(value, place)
        return to_json(value, place)

    return handler


def _async(signature: Signature, files: str, call: Callable[..., Any]) -> Callable[[Dict[str, Any]], Any]:
    async def handler(job: Dict[str, Any]) -> Any:
        args, keywords = await _given(signature, job)
        return await _awaited(call(*args, **keywords), _place(files, job))

    return handler


def _stream(signature: Signature, files: str, call: Callable[..., Any]) -> Callable[[Dict[str, Any]], Any]:
    def handler(job: Dict[str, Any]) -> Any:
        yield from _pieces(_called(signature, call, job), _place(files, job))

    return handler


def _async_stream(signature: Signature, files: str, call: Callable[..., Any]) -> Callable[[Dict[str, Any]], Any]:
    async def handler(job: Dict[str, Any]) -> Any:
        args, keywords = await _given(signature, job)
        async for piece in _async_pieces(call(*args, **keywords), _place(files, job)):
            yield piece

    return handler


async def _given(signature: Signature, job: Dict[str, Any]) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
    """The arguments of a call. With files they are loaded in a thread: a download must not stop other jobs."""
    if signature.load is None:
        return (job,), {}
    value = job.get("input")
    if _FILES not in sys.modules:
        return (), signature.load(value)
    import asyncio

    return (), await asyncio.to_thread(signature.load, value)


async def _awaited(value: Any, place: Place) -> Any:
    return await _converted(await value, place)


async def _converted(value: Any, place: Place) -> Any:
    if _FILES not in sys.modules:
        return to_json(value, place)
    import asyncio

    return await asyncio.to_thread(to_json, value, place)  # it may write a large file


def _pieces(value: Any, place: Place) -> Iterator[Any]:
    for chunk in value:
        yield to_json(chunk, place)


async def _async_pieces(value: Any, place: Place) -> AsyncIterator[Any]:
    async for chunk in value:
        yield await _converted(chunk, place)
