"""What is particular to the SQLite store: its files, its lock, what it does when they are not as they should be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zeroidle.errors import StoreError
from zeroidle.job import Job, Status, new_job_id
from zeroidle.store.protocol import Lease, Outcome
from zeroidle.store.sqlite import SqliteStore


def test_a_job_survives_a_reopening(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path, {})
        await store.open()
        done = await store.put(Job(new_job_id(), "e", b"1"))
        (taken,) = await store.claim("e", "w", 1, 30.0, 0.0)
        assert taken.id == done.id
        assert await store.finish(Lease("e", done.id, "w", 1), Outcome(Status.COMPLETED, b'"one"'))
        waiting = await store.put(Job(new_job_id(), "e", b"2"))
        await store.close()

        again = SqliteStore(tmp_path, {})
        await again.open()
        found = await again.get("e", done.id)
        assert found is not None and found.output == b'"one"' and found.status is Status.COMPLETED
        assert [job.id for job in await again.claim("e", "w", 9, 30.0, 0.0)] == [waiting.id]
        await again.close()

    asyncio.run(main())


def test_a_second_store_on_the_folder_is_refused_and_told_why(tmp_path: Path) -> None:
    async def main() -> None:
        store, second = SqliteStore(tmp_path, {}), SqliteStore(tmp_path, {})
        await store.open()
        with pytest.raises(StoreError, match=r"Another ZeroIdle \(process \d+\) uses the data folder"):
            await second.open()
        await store.close()
        await second.open()
        await second.close()

    asyncio.run(main())
