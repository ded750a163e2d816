"""A job whose caller waits for its end: written once, never answered before it is durable, never lost in a shutdown."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.store.test_failing_disk import Disk
from zeroidle.errors import StoreError
from zeroidle.job import Job, Status, new_job_id
from zeroidle.store.protocol import Lease, Outcome
from zeroidle.store.sqlite import SqliteStore

DONE = Outcome(Status.COMPLETED, b'{"ok":true}')


def on(folder: Path, scenario: Callable[[SqliteStore], Awaitable[None]]) -> None:
    """Runs a scenario on an open store."""

    async def main() -> None:
        store = SqliteStore(folder, {})
        await store.open()
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(asyncio.wait_for(main(), 60))


async def work(store: SqliteStore, count: int = 1) -> None:
    """A worker that ends jobs."""
    for _ in range(count):
        (job,) = await store.claim("e", "w", 1, 30, 10)
        assert await store.finish(Lease("e", job.id, "w", job.attempt), DONE)


def in_file(folder: Path, job_id: str) -> str | None:
    """The status that the file knows."""
    db = sqlite3.connect(folder / "zeroidle.db")
    try:
        row = db.execute("SELECT status FROM job WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else str(row[0])
    finally:
        db.close()


def test_the_end_is_answered_when_it_is_in_the_file(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        jobs = [Job(new_job_id(sync=True), "e", b"1", sync=True) for _ in range(20)]
        waits = [asyncio.ensure_future(store.put_and_wait(job, 20)) for job in jobs]
        worker = asyncio.ensure_future(work(store, len(jobs)))
        for job, wait in zip(jobs, waits, strict=True):
            found = await wait
            assert found is not None and found.status is Status.COMPLETED and found.output == DONE.output
            assert in_file(tmp_path, job.id) == "COMPLETED"
        await worker

    on(tmp_path, scenario)


def test_an_answer_before_the_end_is_durable_as_well(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        job = Job(new_job_id(sync=True), "e", b"1", sync=True)
        found = await store.put_and_wait(job, 0.001)
        assert found is not None and found.status is Status.IN_QUEUE
        assert in_file(tmp_path, job.id) == "IN_QUEUE"

    on(tmp_path, scenario)


def test_a_job_in_the_queue_outlives_a_shutdown_at_once(tmp_path: Path) -> None:
    job = Job(new_job_id(sync=True), "e", b"1", sync=True)

    async def scenario(store: SqliteStore) -> None:
        waiting = asyncio.ensure_future(store.put_and_wait(job, 20))
        await asyncio.sleep(0)
        await store.close()
        found = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(found[0], (Job, StoreError))

    on(tmp_path, scenario)

    async def again(store: SqliteStore) -> None:
        (taken,) = await store.claim("e", "w", 1, 30, 10)
        assert taken.id == job.id and taken.sync and taken.input == b"1"

    on(tmp_path, again)


def test_chunks_and_progress_come_before_the_end(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        job = Job(new_job_id(sync=True), "e", b"1", sync=True)
        waiting = asyncio.ensure_future(store.put_and_wait(job, 20))
        (taken,) = await store.claim("e", "w", 1, 30, 10)
        lease = Lease("e", taken.id, "w", taken.attempt)
        assert await store.chunk(lease, b'"a"') and await store.progress(lease, b"50")
        found = await store.read_stream("e", job.id, None, 10)
        assert found is not None and found[1] == [b'"a"']
        assert await store.finish(lease, DONE)
        ended = await waiting
        assert ended is not None and ended.chunks == 1 and ended.chunks_read == 1

    on(tmp_path, scenario)


def test_cancelled_while_its_caller_waits(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        job = Job(new_job_id(sync=True), "e", b"1", sync=True)
        waiting = asyncio.ensure_future(store.put_and_wait(job, 20))
        await asyncio.sleep(0)
        await store.cancel("e", job.id)
        found = await waiting
        assert found is not None and found.status is Status.CANCELLED
        assert in_file(tmp_path, job.id) == "CANCELLED"

    on(tmp_path, scenario)


def test_what_cannot_be_written_is_said_and_not_kept(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        await asyncio.gather(*(store.put(Job(new_job_id(), "filler", b"f" * 2000)) for _ in range(300)))
        job = Job(new_job_id(sync=True), "e", b"1", sync=True)
        with Disk(tmp_path, store._journal.pid).failing():
            waiting = asyncio.ensure_future(store.put_and_wait(job, 20))
            (taken,) = await store.claim("e", "w", 1, 30, 10)
            with pytest.raises(StoreError):
                await store.finish(Lease("e", taken.id, "w", taken.attempt), DONE)
            with pytest.raises(StoreError):
                await waiting
        assert await store.get("e", job.id) is None and in_file(tmp_path, job.id) is None
        other = Job(new_job_id(sync=True), "e", b"2", sync=True)
        waiting = asyncio.ensure_future(store.put_and_wait(other, 20))
        await work(store)
        found = await waiting
        assert found is not None and found.status is Status.COMPLETED

    on(tmp_path, scenario)
