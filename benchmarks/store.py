"""How fast the durable store is, in one process through its async API: `python benchmarks/store.py`.

Every figure is taken several times and printed as median, range and n, with the disk's fdatasync of the same moment
beside it: durable figures follow the disk. Each run counts its rows in the file by another connection; a run whose
work is not all there has no figure.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from zeroidle.job import Job, JobIds, Status
from zeroidle.store.protocol import Lease, Outcome
from zeroidle.store.sqlite import SqliteStore

INPUT = b'{"n":1,"text":"hello"}'
DONE = Outcome(Status.COMPLETED, b'{"n":1,"text":"hello"}', run_s=0.0001)
WORKERS = 16
IDS = JobIds()


class Figures:
    """Values by name; printed with unit, range and n."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, list[float]]] = {}

    def add(self, name: str, unit: str, value: float) -> None:
        """One more value of a figure."""
        self.values.setdefault(name, (unit, []))[1].append(value)

    def show(self) -> None:
        """The table."""
        for name, (unit, values) in self.values.items():
            form = "{:,.0f}" if unit.endswith("/s") else "{:.3f}"
            low, mid, high = (form.format(v) for v in (min(values), statistics.median(values), max(values)))
            print(f"{name:58} {mid:>9} {unit:6} range {low} to {high}, n={len(values)}")


def new_job() -> Job:
    """A small job."""
    return Job(IDS.new(), "e", INPUT)


async def submit(store: SqliteStore, n: int, together: int) -> float:
    """Submits per second with `together` callers, each waiting for its answer."""

    async def caller() -> None:
        for _ in range(n // together):
            await store.put(new_job())

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(together)))
    return n // together * together / (time.perf_counter() - start)


async def work_off(store: SqliteStore, n: int, limit: int) -> float:
    """Jobs per second that workers take and complete, each waiting until its results are durable."""
    left = n

    async def worker(name: str) -> None:
        nonlocal left
        while left > 0:
            jobs = await store.claim("e", name, min(limit, left), 30.0, 0.0)
            left -= len(jobs)
            results = [(Lease("e", job.id, name, job.attempt), DONE) for job in jobs]
            if not all(await store.finish_many(results)):
                raise SystemExit("a result did not count")

    start = time.perf_counter()
    await asyncio.gather(*(worker(f"w{i}") for i in range(WORKERS)))
    return n / (time.perf_counter() - start)


async def end_to_end(store: SqliteStore, n: int, together: int) -> float:
    """Jobs per second from submit to a durable result, submitters and workers at the same time."""

    async def caller() -> None:
        for _ in range(n // together):
            job = await store.put(new_job())
            ended = await store.wait("e", job.id, 60.0)
            if ended is None or ended.status is not Status.COMPLETED:
                raise SystemExit("a job was not completed")

    async def worker(name: str) -> None:
        while True:
            jobs = await store.claim("e", name, 32, 30.0, 60.0)
            await store.finish_many([(Lease("e", job.id, name, job.attempt), DONE) for job in jobs])

    workers = [asyncio.ensure_future(worker(f"w{i}")) for i in range(WORKERS)]
    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(together)))
    rate = n // together * together / (time.perf_counter() - start)
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return rate


async def latencies(store: SqliteStore, figures: Figures, n: int) -> None:
    """One call at a time: submit, pick-up by a waiting worker, result."""
    times: dict[str, list[float]] = {"submit": [], "pick-up by a waiting worker": [], "result": []}
    for _ in range(n):
        picked: list[float] = []
        claim = asyncio.ensure_future(store.claim("e", "w", 1, 30.0, 60.0))
        claim.add_done_callback(lambda _, picked=picked: picked.append(time.perf_counter()))
        await asyncio.sleep(0)
        start = time.perf_counter()
        job = await store.put(new_job())
        times["submit"].append(time.perf_counter() - start)
        await claim
        times["pick-up by a waiting worker"].append(picked[0] - start)
        start = time.perf_counter()
        await store.finish(Lease("e", job.id, "w", job.attempt), DONE)
        times["result"].append(time.perf_counter() - start)
    for name, values in times.items():
        values.sort()
        figures.add(f"{name}, one at a time, p50", "ms", values[n // 2] * 1e3)
        figures.add(f"{name}, one at a time, p99", "ms", values[n * 99 // 100] * 1e3)


async def reopen(folder: Path, figures: Figures, n: int) -> SqliteStore:
    """How long opening takes with `n` queued jobs."""
    start = time.perf_counter()
    store = SqliteStore(folder, {})
    await store.open()
    figures.add(f"opening with {n:,} queued jobs", "s", time.perf_counter() - start)
    if store.counts("e").queued != n:
        raise SystemExit(f"{store.counts('e').queued} jobs are queued after opening instead of {n}")
    return store


async def idle(store: SqliteStore, figures: Figures, seconds: float) -> None:
    """What it costs to wait with 50 workers and 50 clients."""
    job = await store.put(new_job())
    await asyncio.sleep(0.2)
    tasks = [asyncio.ensure_future(store.claim("other", f"w{i}", 1, 30.0, 60.0)) for i in range(50)]
    tasks += [asyncio.ensure_future(store.wait("e", job.id, 60.0)) for _ in range(50)]  # type: ignore[arg-type]
    await asyncio.sleep(0.1)
    cpu_s = time.process_time()
    await asyncio.sleep(seconds)
    figures.add("idle, 50 workers and 50 clients waiting", "% CPU", (time.process_time() - cpu_s) / seconds * 100)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def sync_ms(folder: Path, n: int = 50) -> list[float]:
    """fdatasync of 4 KiB on the same disk."""
    times = []
    fd = os.open(folder / "sync", os.O_RDWR | os.O_CREAT)
    for at in range(n):
        os.pwrite(fd, b"\0" * 4096, at * 4096)
        start = time.perf_counter()
        os.fdatasync(fd)
        times.append((time.perf_counter() - start) * 1e3)
    os.close(fd)
    return times


def check(folder: Path, status: str, n: int) -> None:
    """Raises unless the file holds that many jobs in that state."""
    db = sqlite3.connect(folder / "zeroidle.db")
    found = db.execute("SELECT count(*) FROM job WHERE status = ?", (status,)).fetchone()[0]
    db.close()
    if found != n:
        raise SystemExit(f"{found} jobs are {status} in the file instead of {n}: no figure")


async def one_run(folder: Path, figures: Figures, n: int) -> None:
    """Everything once, on a fresh store."""
    for value in sync_ms(folder):
        figures.add("fdatasync of 4 KiB on this disk", "ms", value)
    store = SqliteStore(folder, {})
    await store.open()
    put = done = 0
    for together in (64, 512):
        figures.add(f"submits, {together} callers", "/s", await submit(store, n, together))
        put += n // together * together
    check(folder, "IN_QUEUE", put)
    await store.close()
    store = await reopen(folder, figures, put)
    for limit in (1, 32):
        some = put // 2 if limit == 1 else put - put // 2
        figures.add(f"take and result, {WORKERS} workers, {limit} a time", "/s", await work_off(store, some, limit))
        done += some
    check(folder, "COMPLETED", done)
    for together in (64, 512):
        figures.add(f"submit to result, {together} callers", "/s", await end_to_end(store, n, together))
        done += n // together * together
    check(folder, "COMPLETED", done)
    await latencies(store, figures, 300)
    check(folder, "COMPLETED", done + 300)
    await idle(store, figures, 2.0)
    await store.close()


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, repeats, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="how often everything is run (5)")
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs per figure (20000)")
    parser.add_argument("--folder", type=Path, help="where the store is made (a temporary folder)")
    options = parser.parse_args(arguments)
    figures = Figures()
    for _ in range(options.repeats):
        folder = Path(tempfile.mkdtemp(prefix="zeroidle-bench-", dir=options.folder))
        try:
            uvloop.run(one_run(folder, figures, options.jobs))
        finally:
            shutil.rmtree(folder)
    load = os.getloadavg()[0]
    print(f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} CPUs, load {load:.1f}")
    figures.show()


if __name__ == "__main__":
    main(sys.argv[1:])
