"""Checks that a handler's file registers: a worker that fails one takes no jobs."""

from __future__ import annotations

import time
from typing import Any, Callable, List

from zeroidle_worker import boot
from zeroidle_worker.current import worker
from zeroidle_worker.handler import is_awaitable

_fitness_checks: List[Callable[[], Any]] = []


def register_fitness_check(func: Callable[[], Any]) -> Callable[[], Any]:
    """Decorator: `func`, sync or async, runs once before the first job; what it raises ends the worker."""
    _fitness_checks.append(func)
    return func


def clear_fitness_checks() -> None:
    """Forgets all checks."""
    _fitness_checks.clear()


def run_fitness_checks() -> None:
    """Runs the checks in their order; when one fails, the worker is reported as failed and ends."""
    for check in _fitness_checks:
        began, name = time.time(), getattr(check, "__name__", str(check))
        try:
            value = check()
            if is_awaitable(value):
                import asyncio

                asyncio.run(_wait(value))
        except Exception as exc:
            sentence = "The fitness check %s failed: %s: %s" % (name, type(exc).__name__, exc)
            if boot.booted is None:
                raise
            boot.booted.fail("fitness-check", sentence, exc=exc)
        worker.phase("warm-up", began, time.time())


async def _wait(value: Any) -> None:
    await value
