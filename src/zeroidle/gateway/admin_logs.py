"""Reads the logs of workers for the admin API, and waits for more of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from zeroidle.errors import RequestError
from zeroidle.gateway.message import Request
from zeroidle.insight import logs
from zeroidle.insight.gather import Sources
from zeroidle.job import Job
from zeroidle.store.protocol import WorkerRecord

MAX_WAIT_S = 25.0
#: A log grows without telling anybody, so its size is looked at this often while a caller waits.
_LOOK_EVERY_S = 0.1
DEFAULT_LINES = 100
MAX_LINES = 10_000


@dataclass(frozen=True, slots=True)
class _Log:
    """A log file and whose it is. `job` names the one whose lines are wanted; `start` and `end` bound them."""

    worker: str
    path: str | None
    live: bool
    start: int | None = None
    end: int | None = None
    job: str | None = None


@dataclass(frozen=True, slots=True)
class _Ask:
    """`after` are the offsets that the caller has read to; `lines` how many last lines it wants where it has none."""

    lines: int
    after: dict[str, int]
    wait_s: float


#: Answers the logs as they are now, and whether no more will come.
_Find = Callable[[], Awaitable[tuple[list[_Log], bool]]]


class LogReader:
    """Answers are `{"parts": [{"worker", "text", "next", "live", "more"}], "done"}`. `next` goes back as
    `after=WORKER:NEXT` (several with commas); `more` says that the rest can be had at once; `wait` is how many seconds
    to wait for news; `done` says that no more will come.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def of_endpoint(self, name: str, request: Request) -> object:
        """The logs of the live workers, or of the one that ended last."""
        ask = _read(request)

        async def find() -> tuple[list[_Log], bool]:
            found = [_Log(w.id, w.log_path, True) for w in self._sources.registry.of(name)]
            live = {log.worker for log in found}
            records = await self._sources.store.list_workers(name, 50)
            past = [_Log(r.id, r.log_path, False) for r in records if r.id not in live]
            known = [log for log in past if log.worker in ask.after]
            newest = past[:1] if not found and not known else []
            return [*known, *newest, *found], False

        return await self._answer(find, ask)

    async def of_worker(self, record: WorkerRecord, request: Request) -> object:
        """One worker's log."""

        async def find() -> tuple[list[_Log], bool]:
            live = self._sources.registry.get(record.id) is not None
            return [_Log(record.id, record.log_path, live)], not live

        return await self._answer(find, _read(request))

    async def of_job(self, job: Job, request: Request) -> object:
        """What its worker wrote while it ran the job. Until the job has ended its begin is not known, and its
        worker's log is given."""

        async def find() -> tuple[list[_Log], bool]:
            now = await self._sources.store.get(job.endpoint, job.id) or job
            record = await self._sources.worker_record(now.worker_id) if now.worker_id else None
            if record is None:
                return [], now.final
            start, end = now.log_range or (None, None)
            return [_Log(record.id, record.log_path, not now.final, start, end, now.id)], now.final

        return await self._answer(find, _read(request))

    async def _answer(self, find: _Find, ask: _Ask) -> object:
        deadline = time.monotonic() + ask.wait_s
        while True:
            found, done = await find()
            parts = [await asyncio.to_thread(_part, log, ask) for log in found]
            news = [part for part in parts if part["text"]]
            if news or done or time.monotonic() >= deadline:
                return {"parts": parts, "done": done and not news}
            await asyncio.sleep(_LOOK_EVERY_S)


def _part(log: _Log, ask: _Ask) -> dict[str, object]:
    after = ask.after.get(log.worker)
    if after is not None:
        got = logs.read_from(log.path, after, log.end, whole_lines=log.live)
    elif log.start is not None:
        got = logs.read_from(log.path, log.start, log.end, whole_lines=False)
    else:
        got = logs.read_tail(log.path, ask.lines, log.end)
    end = got.size_bytes if log.end is None else min(log.end, got.size_bytes)
    more = bool(got.text) and got.next < end and not log.live
    text = got.text if log.job is None else logs.only_job(got.text, log.job)
    return {"worker": log.worker, "text": text, "next": got.next, "live": log.live, "more": more}


def _read(request: Request) -> _Ask:
    lines, wait = request.param("lines") or str(DEFAULT_LINES), request.param("wait") or "0"
    if not (lines.isascii() and lines.isdigit() and int(lines[:9]) <= MAX_LINES):
        raise RequestError(f"lines is {lines[:100]!r}; it must be a whole number up to {MAX_LINES}.")
    try:
        wait_s = float(wait)
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise RequestError(f"wait is {wait[:100]!r}; it must be from 0 to {MAX_WAIT_S:g} seconds.")
    after = {}
    for item in filter(None, (request.param("after") or "").split(",")):
        worker, _, offset = item.rpartition(":")
        if not (worker and offset.isascii() and offset.isdigit()):
            raise RequestError(f"after has {item[:100]!r}; it must be WORKER:OFFSET.")
        after[worker] = int(offset[:18])
    return _Ask(int(lines), after, wait_s)
