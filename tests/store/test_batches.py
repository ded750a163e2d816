"""Batches in the SQLite store: what a failing disk takes back, what memory holds, files of the first version."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.store.test_failing_disk import DONE, LARGE, Disk, on, refused, under_way, until
from zeroidle.errors import Conflict
from zeroidle.job import Job, Status, new_job_id
from zeroidle.job_batch import BatchStatus, JobBatch, new_batch_id
from zeroidle.store.database import SCHEMA_VERSION
from zeroidle.store.protocol import Lease
from zeroidle.store.sqlite import SqliteStore


def some(n: int, text: bytes = b"1") -> list[Job]:
    return [Job(new_job_id(), "e", text, created_at=1.0) for _ in range(n)]


async def make(store: SqliteStore, jobs: list[Job]) -> str:
    return (await store.create_batch(JobBatch(new_batch_id(), "e"), jobs)).id


async def now(store: SqliteStore, batch_id: str) -> JobBatch:
    found = await store.get_batch("e", batch_id)
    assert found is not None
    return found[0]


def test_a_batch_that_could_not_be_written_is_not_there(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        batch_id = await make(store, some(1))
        with disk.failing():
            lost = JobBatch(new_batch_id(), "e")
            creating = asyncio.ensure_future(store.create_batch(lost, some(2, LARGE)))
            adding = asyncio.ensure_future(store.add_to_batch("e", batch_id, some(300, b"f" * 2000)))
            await refused(creating, adding)
        assert await store.get_batch("e", lost.id) is None and list(store.spool.iterdir()) == []
        assert (await now(store, batch_id)).total == 1
        assert (await store.add_to_batch("e", batch_id, some(2))).total == 3

    on(tmp_path, scenario)


def test_a_batch_whose_finalizing_failed_is_a_draft_still(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        jobs = some(300)
        batch_id = await make(store, jobs)
        with disk.failing():
            await refused(store.finalize_batch("e", batch_id))
            assert await store.get("e", jobs[0].id) is None
            assert (await now(store, batch_id)).status is BatchStatus.DRAFT
        assert await store.claim("e", "w", 9, 30.0, 0.0) == []
        await store.finalize_batch("e", batch_id)
        assert [job.id for job in await store.claim("e", "w", 999, 30.0, 0.0)] == [job.id for job in jobs]

    on(tmp_path, scenario)


def test_an_end_that_could_not_be_written_is_counted_once_it_is(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        jobs = some(2)
        batch_id = await make(store, jobs)
        await store.finalize_batch("e", batch_id)
        await store.claim("e", "w", 2, 30.0, 0.0)
        leases = [Lease("e", job.id, "w") for job in jobs]
        with disk.failing():
            first = asyncio.ensure_future(store.finish(leases[0], DONE))
            await under_way()
            await refused(first, store.finish(leases[1], DONE))
            third = asyncio.ensure_future(store.finish(leases[0], DONE))
            await asyncio.sleep(0)
            told = await now(store, batch_id)
            assert (told.completed, told.ended_at) == (0, None), "what is not in the file is not told"
            await refused(third)
        known = await now(store, batch_id)
        assert (known.completed, known.ended_at) == (0, None)
        assert all([await store.finish(lease, DONE) for lease in leases])
        known = await now(store, batch_id)
        assert known.completed == 2 and known.ended_at is not None

    on(tmp_path, scenario)


def test_a_cancel_that_could_not_be_written_can_be_sent_again(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        jobs = some(600)
        batch_id = await make(store, jobs)
        await store.finalize_batch("e", batch_id)
        with disk.failing():
            await refused(store.cancel_batch("e", batch_id))
        assert store.counts("e").queued == 600
        (job,) = await store.claim("e", "w", 1, 30.0, 0.0)
        await store.release([Lease("e", job.id, "w")], lost=True, reason="its worker is gone")
        assert job.status is Status.IN_QUEUE, "nothing is left of the cancel"
        over = await store.cancel_batch("e", batch_id)
        assert over.cancelled == 600 and over.ended_at is not None and store.counts("e").queued == 0

    on(tmp_path, scenario)


def test_large_inputs_leave_no_files_behind(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        batch_id = await make(store, [])
        with disk.failing():
            await refused(store.add_to_batch("e", batch_id, some(3, LARGE)))
        assert list(store.spool.iterdir()) == []
        gone = asyncio.ensure_future(store.add_to_batch("e", batch_id, some(5, LARGE)))
        await asyncio.sleep(0)
        gone.cancel()
        records = store._changes.batches.all
        await until(lambda: records[batch_id].total == 5)  # who asked has gone away, what was asked for is done
        await store.get_batch("e", batch_id)
        assert len(list(store.spool.iterdir())) == 5
        await store.cancel_batch("e", batch_id)
        assert isinstance(await store.add_to_batch("e", await make(store, []), some(1)), JobBatch)
        with pytest.raises(Conflict):
            await store.add_to_batch("e", batch_id, some(2, LARGE))
        assert len(list(store.spool.iterdir())) == 5

    on(tmp_path, scenario)


def test_a_cancelled_batch_is_cancelled_by_the_next_plane_too(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path, {})
        await store.open()
        batch_id = await make(store, some(3))
        await store.finalize_batch("e", batch_id)
        await store.close()
        db = sqlite3.connect(tmp_path / "zeroidle.db")
        # The first commit of a cancel; the plane was killed before the second.
        db.execute("UPDATE batch SET status = 'CANCELLED'")
        db.commit()
        db.close()
        await store.open()
        known = await now(store, batch_id)
        assert known.cancelled == 3 and known.ended_at is not None and store.counts("e").queued == 0
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_batch_that_could_not_be_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        jobs = some(5)
        batch_id = await make(store, jobs)
        monkeypatch.setattr("zeroidle.store.job_batches._AGAIN_S", 0.01)
        db, store._reader._list_db = store._reader._list_db, None
        work = asyncio.ensure_future(store.finalize_batch("e", batch_id))
        await until(lambda: "store.batch_not_read" in caplog.text)
        assert not work.done() and store.counts("e").queued == 0
        store._reader._list_db = db
        await work
        assert len(await store.claim("e", "w", 9, 30.0, 0.0)) == 5

    on(tmp_path, scenario)


def test_drafts_take_no_memory(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        batch_id = await make(store, some(1000))
        queue = store._state.queue("e")
        assert not queue.jobs and all(job.batch is None for job in store._state.live.values())
        await store.finalize_batch("e", batch_id)
        assert len(queue.jobs) == len(queue.batch) == 1000
        await store.cancel_batch("e", batch_id)
        assert not queue.jobs and not queue.batch and len(store._changes.recent._jobs) == 0

    on(tmp_path, scenario)


def test_a_file_of_the_first_version_is_taken_on(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path, {})
        await store.open()
        job = await store.put(Job(new_job_id(), "e", b"1"))
        await store.close()
        db = sqlite3.connect(tmp_path / "zeroidle.db")
        # The way back to what the first version made.
        db.executescript(
            "DROP INDEX job_batch; ALTER TABLE job DROP COLUMN batch; DROP TABLE batch; DROP TABLE last_batch; "
            "PRAGMA user_version = 1"
        )
        db.close()
        await store.open()
        kept = await store.get("e", job.id)
        assert kept is not None and (kept.status, kept.input) == (Status.IN_QUEUE, b"1")
        batch_id = await make(store, some(2))
        assert (await store.finalize_batch("e", batch_id)).total == 2
        assert len(await store.claim("e", "w", 9, 30.0, 0.0)) == 3
        await store.close()
        db = sqlite3.connect(tmp_path / "zeroidle.db")
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        db.close()

    asyncio.run(asyncio.wait_for(main(), 60))
