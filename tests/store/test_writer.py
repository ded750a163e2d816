"""The process that writes: what happens when it is killed, and that it ends with the plane."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace

from tests.store.test_failing_disk import until
from zeroidle.job import Job, Phase, Status, new_job_id
from zeroidle.store.batch import Batch, BatchWriter
from zeroidle.store.database import connect, prepare, read_queries
from zeroidle.store.protocol import Lease, Outcome
from zeroidle.store.rows import job_row, new_ended_row, phases_text, waiting_row
from zeroidle.store.sqlite import SqliteStore

DONE = Outcome(Status.COMPLETED, b'{"ok":true}')


def on(folder: Path, scenario: Callable[[SqliteStore], Awaitable[None]]) -> None:
    async def main() -> None:
        store = SqliteStore(folder, {})
        await store.open()
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(asyncio.wait_for(main(), 60))


def a_job() -> Job:
    return Job(new_job_id(), "e", b"1")


def in_file(folder: Path) -> list[tuple[str, str]]:
    db = sqlite3.connect(folder / "zeroidle.db")
    found = db.execute("SELECT id, status FROM job ORDER BY seq").fetchall()
    db.close()
    return found


def test_another_process_writes_when_the_first_is_killed(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        first = await store.put(a_job())
        before = store._journal.pid
        os.kill(before, signal.SIGKILL)
        second = await store.put(a_job())
        assert store._journal.pid != before
        assert in_file(tmp_path) == [(first.id, "IN_QUEUE"), (second.id, "IN_QUEUE")]

    on(tmp_path, scenario)


def test_what_it_was_killed_with_is_written_by_the_next(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        jobs = [await store.put(a_job()) for _ in range(2)]
        await store.claim("e", "w", 1, 30.0, 0.0)
        os.kill(store._journal.pid, signal.SIGSTOP)
        calls = [
            asyncio.ensure_future(store.finish(Lease("e", jobs[0].id, "w"), DONE)),
            *(asyncio.ensure_future(store.put(a_job())) for _ in range(20)),
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # they are in its socket now
        os.kill(store._journal.pid, signal.SIGKILL)
        await asyncio.gather(*calls)
        assert [status for _, status in in_file(tmp_path)] == ["COMPLETED", *["IN_QUEUE"] * 21]
        assert store.counts("e").completed == 1

    on(tmp_path, scenario)


def test_it_may_be_killed_again_and_again(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        stop = asyncio.Event()

        async def kill() -> None:
            while not stop.is_set():
                os.kill(store._journal.pid, signal.SIGKILL)
                await store.put(a_job())  # a writer is there again

        async def work(n: int) -> int:
            for _ in range(n):
                await store.put(a_job())
            return n

        killing = asyncio.ensure_future(kill())
        await asyncio.gather(*(work(25) for _ in range(8)))
        stop.set()
        await killing
        ids = [id_ for id_, _ in in_file(tmp_path)]
        assert len(ids) == len(set(ids)) >= 200
        assert {job.id for job in await store.claim("e", "w", 1000, 30.0, 0.0)} == set(ids)

    on(tmp_path, scenario)


def test_a_batch_that_was_committed_already_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "zeroidle.db"
    prepare(path)
    db = connect(path, writer=True)
    writer = BatchWriter(db, read_queries())
    waiting = Job("a", "e", b"1", seq=1, created_at=1.0, queued_at=1.0, phases=[Phase("queued", 1.0)])
    ended = Job(
        "b", "e", b"2", Status.COMPLETED, sync=True, seq=2, created_at=1.0, queued_at=1.0, started_at=2.0,
        finished_at=3.0, expires_at=9.0, output=b"3",
    )  # fmt: skip
    old = Batch()
    old.jobs = [job_row(replace(ended, id="c", seq=0), 60.0, [], new=True)]
    writer.commit(old)
    batch = Batch(chunks=[(2, 0, b"x")], counters=[("e", 1, 0, 0)])
    row, other = waiting_row(waiting, batch.bodies), new_ended_row(ended, 60.0, batch.bodies)
    assert row is not None and other is not None
    batch.waiting, batch.new_ended = [row], [other]
    batch.notes = [(phases_text([Phase("webhook", 4.0)])[1:-1], 0)]
    writer.commit(batch)

    def everything() -> list[str]:
        return list(db.iterdump())

    before = everything()
    batch.again = True
    writer.commit(batch)
    assert everything() == before
    db.close()


def test_a_large_batch_does_not_fit_the_socket_at_once(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        await asyncio.gather(*(store.put(Job(new_job_id(), "e", b"1" * 200_000)) for _ in range(40)))
        await store.put(a_job())
        jobs = await store.claim("e", "w", 100, 30.0, 0.0)
        assert [len(job.input) for job in jobs if isinstance(job.input, bytes)] == [200_000] * 40 + [1]

    on(tmp_path, scenario)
    assert len(in_file(tmp_path)) == 41


PLANE = """
import asyncio, sys
from pathlib import Path
from zeroidle.store.sqlite import SqliteStore
async def main():
    store = SqliteStore(Path(sys.argv[1]), {})
    await store.open()
    print(store._journal.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_it_ends_with_the_plane_and_not_by_ctrl_c(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PLANE, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as plane:
        assert plane.stdout is not None
        writer = int(plane.stdout.readline())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(writer, number)
        assert alive(writer)
        os.kill(plane.pid, signal.SIGKILL)
        plane.wait()
    asyncio.run(until(lambda: not alive(writer)))
    on(tmp_path, free)


async def free(store: SqliteStore) -> None:
    assert store.counts("e").queued == 0


def test_the_folder_is_not_free_before_the_last_commit(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PLANE, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as plane:
        assert plane.stdout is not None
        writer = int(plane.stdout.readline())
        os.kill(writer, signal.SIGSTOP)  # as if its disk took long
        os.kill(plane.pid, signal.SIGKILL)
        plane.wait()

    async def main() -> None:
        store = SqliteStore(tmp_path, {})
        opening = asyncio.ensure_future(store.open())
        done, _ = await asyncio.wait({opening}, timeout=0.2)
        assert not done and alive(writer)
        os.kill(writer, signal.SIGCONT)
        await opening
        await store.close()

    asyncio.run(main())


def alive(pid: int) -> bool:
    """Whether a process is there and not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
