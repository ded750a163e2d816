"""Recognises what kind of handler a function is, without running it."""

from __future__ import annotations

from types import AsyncGeneratorType, GeneratorType
from typing import Any, NamedTuple

# Flags of a code object (those that `inspect` reads; importing it would cost more than this whole program).
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Kind(NamedTuple):
    """`is_async`: it runs on an event loop. `is_stream`: it yields its result in pieces."""

    is_async: bool
    is_stream: bool


class BadHandler(TypeError):
    """What was given as the handler cannot be one; the text is one sentence."""


def kind_of(handler: Any) -> Kind:
    """The kind of a function, bound method, partial or callable object. Raises BadHandler.

    A plain function may still give an awaitable or a generator (a wrapper without `async`): what it gives decides
    then, see `is_generator` and `is_awaitable`.
    """
    if not callable(handler):
        raise BadHandler(
            'The "handler" given to runpod.serverless.start is a %s; give it a function.' % type(handler).__name__
        )
    flags = _flags(handler)
    return Kind(bool(flags & (_COROUTINE | _ASYNC_GENERATOR)), bool(flags & (_GENERATOR | _ASYNC_GENERATOR)))


def _flags(handler: Any) -> int:
    for _ in range(32):  # partials and methods may be nested; nobody nests them deeper
        if hasattr(handler, "__code__"):
            return int(handler.__code__.co_flags)
        if hasattr(handler, "__func__"):  # a bound method
            handler = handler.__func__
        elif hasattr(handler, "func") and hasattr(handler, "keywords"):  # functools.partial
            handler = handler.func
        elif isinstance(handler, type):  # calling a class makes an object: plain
            return 0
        elif hasattr(type(handler), "__call__"):
            handler = type(handler).__call__
        else:
            return 0
    return 0


def is_generator(value: Any) -> bool:
    """Whether a handler's return value is a running generator."""
    return isinstance(value, GeneratorType)


def is_async_generator(value: Any) -> bool:
    """Whether a handler's return value is a running async generator."""
    return isinstance(value, AsyncGeneratorType)


def is_awaitable(value: Any) -> bool:
    """Whether a handler's return value must be awaited."""
    return hasattr(type(value), "__await__")
