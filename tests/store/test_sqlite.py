"""What is particular to the SQLite store: its files, its lock, and what it says when they are not right."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from zeroidle.endpoint import Endpoint
from zeroidle.errors import StoreError
from zeroidle.gateway.answers import job_body
from zeroidle.job import Job, Policy, Status, new_job_id
from zeroidle.store.database import SCHEMA_VERSION, connect
from zeroidle.store.notice import body_parts
from zeroidle.store.protocol import Delivery, Lease, Outcome, WorkerRecord
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


def opening(folder: Path) -> str:
    """What the store says when it cannot be opened."""
    with pytest.raises(StoreError) as caught:
        on(folder, idle)
    return caught.value.message


async def idle(store: SqliteStore) -> None:
    pass


def a_job() -> Job:
    return Job(new_job_id(), "e", b"1")


# -- files


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async def look(store: SqliteStore) -> None:
        await store.put(Job(new_job_id(), "e", b'"' + b"x" * 300_000 + b'"'))
        folder = tmp_path / "data"
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
        assert len(modes) >= 5
        assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
        assert {mode for path, mode in modes.items() if not path.is_dir()} == {0o600}

    on(tmp_path / "data", look)


def test_usage_counts_the_files(tmp_path: Path) -> None:
    async def look(store: SqliteStore) -> None:
        await store.put(Job(new_job_id(), "e", b'"' + b"x" * 300_000 + b'"'))
        usage = await store.usage()
        assert usage["spool"] == 300_002 and usage["db"] > 0 and usage["wal"] > 0

    on(tmp_path, look)


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    on(tmp_path, idle)
    db = sqlite3.connect(tmp_path / "zeroidle.db")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    before = (tmp_path / "zeroidle.db").read_bytes()
    message = opening(tmp_path)
    assert "made by a later ZeroIdle" in message and "upgrade" in message
    assert (tmp_path / "zeroidle.db").read_bytes() == before


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "zeroidle.db")
    db.execute("CREATE TABLE photos (name TEXT)")
    db.close()
    before = (tmp_path / "zeroidle.db").read_bytes()
    assert "is not a job store of ZeroIdle" in opening(tmp_path)
    assert (tmp_path / "zeroidle.db").read_bytes() == before


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "zeroidle.db").write_bytes(b"this is a text file " * 500)
    message = opening(tmp_path)
    assert str(tmp_path / "zeroidle.db") in message and "is damaged" in message


def test_a_damaged_page_is_an_error_in_words(tmp_path: Path) -> None:
    async def fill(store: SqliteStore) -> None:
        await asyncio.gather(*(store.put(a_job()) for _ in range(2000)))

    on(tmp_path, fill)
    path = tmp_path / "zeroidle.db"
    data = bytearray(path.read_bytes())
    for at in range(3 * 4096, len(data), 4096):
        data[at : at + 64] = b"\xff" * 64
    path.write_bytes(data)
    message = opening(tmp_path)
    assert "is damaged" in message and "good copy" in message


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    assert str(tmp_path / "data") in opening(tmp_path / "data")


def test_nothing_stays_of_what_is_forgotten(tmp_path: Path) -> None:
    async def forget(store: SqliteStore) -> None:
        db = sqlite3.connect(tmp_path / "zeroidle.db")

        def rows() -> list[int]:
            return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("job", "body", "chunk")]  # noqa: S608

        job = await store.put(Job(new_job_id(), "e", b'"' + b"i" * 10_000 + b'"'))
        for n in range(2):
            await store.claim("e", "w", 1, 30.0, 0.0)
            await store.chunk(Lease("e", job.id, "w"), b"1")
            await store.finish(Lease("e", job.id, "w"), Outcome(Status.FAILED, b'"' + b"o" * 10_000 + b'"', "x"))
            assert rows() == [1, 2, 1]
            if n == 0:
                await store.retry("e", job.id)
                assert rows() == [1, 1, 0], "the input stays"
        await store.expire(time.time() + 3600)
        assert rows() == [0, 0, 0]
        db.close()

    on(tmp_path, forget)


# -- the lock


def test_a_second_store_on_the_folder_is_refused_and_told_why(tmp_path: Path) -> None:
    async def second(store: SqliteStore) -> None:
        other = SqliteStore(tmp_path, {})
        with pytest.raises(StoreError, match=rf"Another ZeroIdle \(process {os.getpid()}\) uses the data folder"):
            await other.open()
        job = await store.put(a_job())
        assert await store.get("e", job.id) is job, "the first one is not disturbed"

    on(tmp_path, second)
    on(tmp_path, idle)


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    hold = (
        "import asyncio, sys, pathlib\n"
        "from zeroidle.store.sqlite import SqliteStore\n"
        "async def main():\n"
        "    await SqliteStore(pathlib.Path(sys.argv[1]), {}).open()\n"
        "    print('open', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"open\n"
        assert f"(process {process.pid})" in opening(tmp_path)
    finally:
        process.kill()
        process.communicate()
    on(tmp_path, idle)


# -- the thread


def test_calls_that_wait_share_commits(tmp_path: Path) -> None:
    async def count(store: SqliteStore) -> None:
        db = sqlite3.connect(tmp_path / "zeroidle.db")
        seen = set()
        n = 500

        async def one() -> None:
            await store.put(a_job())
            seen.add(db.execute("SELECT count(*) FROM job").fetchone()[0])

        await asyncio.gather(*(one() for _ in range(n)))
        assert max(seen) == n and len(seen) < n / 10, "far fewer states of the file than calls"
        db.close()

    on(tmp_path, count)


def test_what_is_acknowledged_is_in_the_file(tmp_path: Path) -> None:
    async def look(store: SqliteStore) -> None:
        db = sqlite3.connect(tmp_path / "zeroidle.db")
        job = await store.put(a_job())
        row = db.execute("SELECT status FROM job WHERE id = ?", (job.id,)).fetchone()
        assert row == ("IN_QUEUE",)
        await store.claim("e", "w", 1, 30.0, 0.0)
        await store.finish(Lease("e", job.id, "w"), DONE)
        row = db.execute("SELECT status, output FROM job WHERE id = ?", (job.id,)).fetchone()
        assert row == ("COMPLETED", DONE.output)
        db.close()

    on(tmp_path, look)


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    on(tmp_path, idle)
    db = connect(tmp_path / "zeroidle.db", writer=True)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL: the log is synced at every commit"
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_an_idle_store_does_nothing(tmp_path: Path) -> None:
    async def rest(store: SqliteStore) -> None:
        job = await store.put(a_job())
        await store.claim("e", "w", 1, 30.0, 0.0)
        claims = [asyncio.ensure_future(store.claim("e", f"w{n}", 1, 30.0, 60.0)) for n in range(20)]
        waits = [asyncio.ensure_future(store.wait("e", job.id, 60.0)) for _ in range(20)]
        await asyncio.sleep(0.2)  # hand-outs are written 50 ms later
        switches, cpu_s = voluntary_switches(), time.process_time()
        await asyncio.sleep(1.0)
        assert voluntary_switches() - switches <= 4, "something polls"
        assert time.process_time() - cpu_s < 0.05
        for task in (*claims, *waits):
            task.cancel()
        await asyncio.gather(*claims, *waits, return_exceptions=True)

    on(tmp_path, rest)


def voluntary_switches() -> int:
    """How often the threads of this process have gone to sleep."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


# -- webhooks


@pytest.mark.parametrize(
    "outcome",
    [
        DONE,
        Outcome(Status.COMPLETED),
        Outcome(Status.FAILED, error='it "broke"'),
        Outcome(Status.FAILED, b"[1]", "with output", run_s=0.001),
    ],
)
def test_a_webhook_says_what_status_says(tmp_path: Path, outcome: Outcome) -> None:
    async def compare(store: SqliteStore) -> None:
        job = Job(new_job_id(), "e", b"1", webhook="http://h/")
        await store.put(job)
        await store.claim("e", "w", 1, 30.0, 0.0)
        await store.finish(Lease("e", job.id, "w"), outcome)
        (delivery,) = await store.list_deliveries()
        ended = await store.get("e", job.id)
        assert ended is not None
        assert delivery.body == job_body(ended, store.spool) == b"".join(map(bytes_of, body_parts(ended)))

    on(tmp_path, compare)


def bytes_of(part: object) -> bytes:
    assert isinstance(part, bytes)
    return part


def test_deliveries_and_workers_that_are_over_are_tidied_away(tmp_path: Path) -> None:
    async def tidy(store: SqliteStore) -> None:
        now = time.time()
        for id_, state, age_s in (
            ("new", "delivered", 60), ("old", "delivered", 90_000), ("dead", "dead", 90_000),
            ("long dead", "dead", 8 * 86_400), ("due", "pending", 8 * 86_400),
        ):  # fmt: skip
            at = now - age_s
            await store.save_delivery(Delivery(id_, "e", "j", "http://h/", b"1", at, state, 1, at))  # type: ignore[arg-type]
        for n in range(1100):
            await store.save_worker(WorkerRecord(f"w{n}", "e", "gone" if n else "ready", n, float(n)))
        await store.expire(now)
        assert {d.id for d in await store.list_deliveries()} == {"new", "dead", "due"}
        workers = await store.list_workers(limit=5000)
        assert len(workers) == 1001 and workers[-1].id == "w0", "one that lives is never forgotten"

    on(tmp_path, tidy)


# -- settings that change


def test_the_endpoint_is_looked_up_when_it_is_needed(tmp_path: Path) -> None:
    endpoints = {"e": Endpoint("e", Path(), Path(), "", ttl_s=100.0, timeout_s=50.0, retries=0)}

    async def main() -> None:
        store = SqliteStore(tmp_path, endpoints)
        await store.open()
        old = await store.put(a_job())
        await store.claim("e", "w", 1, 1000.0, 0.0)
        assert old.expires_at == pytest.approx(old.created_at + 100)
        endpoints["e"] = Endpoint("e", Path(), Path(), "", ttl_s=5000.0, timeout_s=20.0, retries=0)
        new = await store.put(Job(new_job_id(), "e", b"1", policy=Policy()))
        assert new.expires_at == pytest.approx(new.created_at + 5000)
        await store.renew("e", "w", [old.id], 1000.0)  # what it has on the heap is looked at again
        await store.expire(time.time() + 30)
        await store.expire(time.time() + 60)
        assert (await store.get("e", old.id) or new).status is Status.TIMED_OUT
        await store.close()

    asyncio.run(main())
