"""Load on an endpoint: so many callers at once, or so many requests a second, with every answer checked."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

#: What looks at a job's end and says what is wrong with it, or None.
Judge = Callable[[dict[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """`concurrency` callers, each sending its next request when it has its answer; or `rate` requests a second,
    whatever the answers do. It ends after `n` requests or `duration_s`, whichever comes first."""

    url: str
    key: str | None = field(repr=False)
    body: Any
    concurrency: int = 1
    rate: float | None = None
    n: int | None = None
    duration_s: float | None = None
    timeout_s: float = 120.0


@dataclass(slots=True)
class Load:
    """What was measured. A latency counts from the moment at which the request was due, so that a server that stalls
    does not hide the requests that it held up."""

    latencies_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return len(self.latencies_s) / self.seconds if self.seconds else 0.0


async def run(plan: Plan, judge: Judge) -> Load:
    """Sends the load and waits for all answers."""
    found = Load()
    headers = {"Authorization": f"Bearer {plan.key}"} if plan.key else {}
    timeout = aiohttp.ClientTimeout(total=plan.timeout_s)
    connector = aiohttp.TCPConnector(limit=0 if plan.rate else plan.concurrency)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
        began = time.perf_counter()
        sender = _open_loop if plan.rate else _closed_loop
        await sender(session, plan, judge, found, began)
        found.seconds = time.perf_counter() - began
    return found


async def _closed_loop(session: aiohttp.ClientSession, plan: Plan, judge: Judge, found: Load, began: float) -> None:
    left = plan.n if plan.n is not None else 1 << 62
    end = began + plan.duration_s if plan.duration_s is not None else float("inf")

    async def caller() -> None:
        nonlocal left
        while left > 0 and time.perf_counter() < end:
            left -= 1
            await _one(session, plan, judge, found, time.perf_counter())

    await asyncio.gather(*(caller() for _ in range(plan.concurrency)))


async def _open_loop(session: aiohttp.ClientSession, plan: Plan, judge: Judge, found: Load, began: float) -> None:
    assert plan.rate
    n = plan.n if plan.n is not None else 1 << 62
    if plan.duration_s is not None:
        n = min(n, max(1, round(plan.rate * plan.duration_s)))
    tasks: set[asyncio.Task[None]] = set()
    for i in range(n):
        due = began + i / plan.rate
        pause_s = due - time.perf_counter()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        task = asyncio.ensure_future(_one(session, plan, judge, found, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)


async def _one(session: aiohttp.ClientSession, plan: Plan, judge: Judge, found: Load, due: float) -> None:
    try:
        async with session.post(plan.url, json=plan.body) as response:
            answer = await response.json(content_type=None)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
        found.errors[type(exc).__name__] += 1
        return
    problem = f"HTTP {status}: {_reason(answer)}" if status >= 400 else judge(answer)
    if problem is None:
        found.latencies_s.append(time.perf_counter() - due)
    else:
        found.errors[problem[:200]] += 1


def _reason(answer: Any) -> str:
    return str(answer.get("error") or answer.get("message") or answer) if isinstance(answer, dict) else str(answer)
