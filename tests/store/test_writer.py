"""The process that writes: what happens when it is killed, and that it ends with the plane."""

from __future__ import annotations

import asyncio
import marshal
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.store.test_failing_disk import until
from tests.store.test_sqlite import on
from zeroidle.errors import StoreError
from zeroidle.job import Job, Status, new_job_id
from zeroidle.store.batch import Batch, BatchWriter
from zeroidle.store.database import connect, read_queries
from zeroidle.store.protocol import Lease, Outcome
from zeroidle.store.sqlite import SqliteStore

DONE = Outcome(Status.COMPLETED, b'{"ok":true}')


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


@pytest.mark.parametrize("committed", [True, False])
def test_a_batch_counts_once_whether_or_not_it_was_committed_when_the_writer_died(
    tmp_path: Path, committed: bool
) -> None:
    async def scenario(store: SqliteStore) -> None:
        done = await store.put(a_job())
        await store.claim("e", "w", 1, 30.0, 0.0)
        os.kill(store._journal.pid, signal.SIGSTOP)
        calls = [
            asyncio.ensure_future(store.finish(Lease("e", done.id, "w"), DONE)),
            asyncio.ensure_future(store.put(Job(new_job_id(), "e", b"2", idempotency_key="k"))),
        ]
        await until(lambda: store._journal._flying is not None)
        flying = store._journal._flying
        assert flying is not None and flying.sent
        if committed:  # as if the writer had been killed between its commit and its answer
            db = connect(tmp_path / "zeroidle.db", writer=True)
            BatchWriter(db, read_queries()).commit(flying.number, Batch(*marshal.loads(flying.data[16:])))
            db.close()
        os.kill(store._journal.pid, signal.SIGKILL)
        await asyncio.gather(*calls)
        assert [status for _, status in in_file(tmp_path)] == ["COMPLETED", "IN_QUEUE"]
        again = await store.put(Job(new_job_id(), "e", b"2", idempotency_key="k"))
        assert again.id == calls[1].result().id
        assert [job.id for job in await store.claim("e", "w", 9, 30.0, 0.0)] == [again.id]

    on(tmp_path, scenario)


def test_other_threads_in_sqlite_do_not_stop_it(tmp_path: Path) -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sqlite3.connect(":memory:").execute("CREATE TABLE t (a)")

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for n in range(5):
            on(tmp_path / str(n), free)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_process_that_the_program_forks_does_not_keep_it_open(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    child = context.Process(target=signal.pause)

    async def scenario(store: SqliteStore) -> None:
        await store.put(a_job())
        child.start()

    try:
        on(tmp_path, scenario)
        on(tmp_path, free)
    finally:
        child.kill()
        child.join()


def test_nobody_needs_to_wait_for_children(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    async def scenario(store: SqliteStore) -> None:
        os.kill(store._journal.pid, signal.SIGKILL)
        await store.put(a_job())

    try:
        on(tmp_path, scenario)
        on(tmp_path, free)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_it_writes_the_same_file_wherever_the_program_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "random.py").write_text("raise RuntimeError('not mine')")
    monkeypatch.chdir(tmp_path)

    async def scenario(store: SqliteStore) -> None:
        monkeypatch.chdir(tmp_path / "other")
        os.kill(store._journal.pid, signal.SIGKILL)
        await store.put(a_job())

    on(Path("data"), scenario)
    assert len(in_file(tmp_path / "data")) == 1


def test_a_time_limit_for_all_sockets_is_none_for_it(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        writer = store._journal.pid
        await asyncio.sleep(0.3)
        await store.put(a_job())
        assert store._journal.pid == writer

    socket.setdefaulttimeout(0.1)
    try:
        on(tmp_path, scenario)
    finally:
        socket.setdefaulttimeout(None)


def test_a_file_that_is_gone_is_an_error_for_callers_and_no_hang(tmp_path: Path) -> None:
    file = tmp_path / "zeroidle.db"

    async def scenario(store: SqliteStore) -> None:
        os.unlink(file)
        os.kill(store._journal.pid, signal.SIGKILL)
        await until(lambda: not store._journal._ready)
        with pytest.raises(StoreError):
            await store.put(a_job())

    on(tmp_path, scenario)
    assert not file.exists(), "a new file would hide that the jobs are gone"


def test_a_folder_whose_name_is_no_text_can_be_spoken_of(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    on(folder, free)
    (folder / "zeroidle.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="is damaged"):
        on(folder, free)


def test_what_no_column_takes_fails_alone(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore) -> None:
        bad = a_job()
        bad.idempotency_key = object()  # type: ignore[assignment]
        with pytest.raises(StoreError):
            await store.put(bad)
        await store.put(a_job())

    on(tmp_path, scenario)


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
    """Nothing: that it opens is what is looked at."""


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
