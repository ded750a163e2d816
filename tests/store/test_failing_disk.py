"""Commits that fail while calls are under way: the system refuses to let the log grow, and all is taken back."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from zeroidle.errors import StoreError
from zeroidle.job import Job, Phase, Status, new_job_id
from zeroidle.store.group import Done, Group
from zeroidle.store.protocol import JobEvent, Lease, Outcome
from zeroidle.store.sqlite import SqliteStore

DONE = Outcome(Status.COMPLETED, b'{"ok":true}')
LARGE = b'"' + b"x" * 300_000 + b'"'


def on(folder: Path, scenario: Callable[[SqliteStore, Disk], Awaitable[None]]) -> None:
    """Runs a scenario on a store whose log is larger than a large payload already."""

    async def main() -> None:
        store = SqliteStore(folder, {})
        await store.open()
        await asyncio.gather(*(store.put(Job(new_job_id(), "filler", b"f" * 2000)) for _ in range(300)))
        try:
            await scenario(store, Disk(folder, store._journal.pid))
        finally:
            await store.close()

    asyncio.run(asyncio.wait_for(main(), 60))


class Disk:
    """Makes the log's file impossible to extend, for the writing process only."""

    def __init__(self, folder: Path, writer: int) -> None:
        self._log = folder / "zeroidle.db-wal"
        self._writer = writer

    @contextmanager
    def failing(self) -> Iterator[None]:
        size_bytes = self._log.stat().st_size
        assert size_bytes > 400_000
        soft, hard = resource.prlimit(self._writer, resource.RLIMIT_FSIZE)
        resource.prlimit(self._writer, resource.RLIMIT_FSIZE, (size_bytes, hard))
        try:
            yield
        finally:
            resource.prlimit(self._writer, resource.RLIMIT_FSIZE, (soft, hard))


async def put(store: SqliteStore, job: Job | None = None) -> Job:
    return await store.put(job or Job(new_job_id(), "e", b"1"))


async def taken(store: SqliteStore, worker: str = "w", job: Job | None = None) -> Job:
    kept = await put(store, job)
    assert [one.id for one in await store.claim("e", worker, 1, 30.0, 0.0)] == [kept.id]
    return kept


async def under_way() -> None:
    """Lets a group go to the process that writes, whose answer waits until the loop goes on."""
    for _ in range(2):
        await asyncio.sleep(0)


async def refused(*calls: Awaitable[object]) -> None:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreError] * len(calls), answers


async def same_after_reopening(store: SqliteStore, folder: Path, jobs: dict[str, Status]) -> None:
    await store.close()
    again = SqliteStore(folder, {})
    await again.open()
    listed = {job.id: job.status for job in await again.list_jobs("e")}
    assert listed == jobs
    await again.close()


def test_what_was_built_on_a_failed_commit_is_taken_back_too(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        events: list[tuple[str, str, str | None]] = []
        first = await taken(store, "w1")
        second = Job(new_job_id(), "e", b"2")
        store.listen(lambda event: events.extend((event.kind, job.id, event.worker_id) for job in event.jobs))
        with disk.failing():
            putting = asyncio.ensure_future(store.put(second))
            await under_way()
            assert len(await store.claim("e", "w2", 1, 30.0, 0.0)) == 1
            waiting = asyncio.ensure_future(store.wait("e", second.id, 30.0))
            finishing = [
                asyncio.ensure_future(store.finish(Lease("e", second.id, "w2"), DONE)),
                asyncio.ensure_future(store.finish(Lease("e", first.id, "w1"), DONE)),
            ]
            await refused(putting, *finishing)
            assert await waiting is None
        assert await store.get("e", second.id) is None
        assert events == [("queued", second.id, None), ("taken", second.id, "w2"), ("ended", second.id, "w2")]
        assert first.status is Status.IN_PROGRESS and (first.worker_id, first.attempt) == ("w1", 1)
        assert first.phases[-1].end is None and first.output is None
        counts = store.counts("e")
        assert (counts.queued, counts.in_progress, counts.completed) == (0, 1, 0)
        assert not await store.finish(Lease("e", second.id, "w2"), DONE)
        assert await store.finish(Lease("e", first.id, "w1", 1), DONE)
        await same_after_reopening(store, tmp_path, {first.id: Status.COMPLETED})

    on(tmp_path, scenario)


def test_a_job_that_was_put_taken_and_ended_in_one_group_is_gone(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        job = Job(new_job_id(), "e", b"1", idempotency_key="k", webhook="http://h/")
        with disk.failing():
            putting = asyncio.ensure_future(store.put(job))
            await asyncio.sleep(0)
            await store.claim("e", "w", 1, 30.0, 0.0)
            await refused(putting, store.finish(Lease("e", job.id, "w"), DONE))
        assert await store.get("e", job.id) is None and await store.list_deliveries() == []
        again = await put(store, Job(new_job_id(), "e", b"1", idempotency_key="k"))
        assert again.status is Status.IN_QUEUE, "the key is free"
        await same_after_reopening(store, tmp_path, {again.id: Status.IN_QUEUE})

    on(tmp_path, scenario)


def test_a_retry_that_failed_leaves_the_job_as_it_was(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        job = await taken(store)
        await store.finish(Lease("e", job.id, "w"), Outcome(Status.FAILED, LARGE, "broken"))
        with disk.failing():
            retrying = asyncio.ensure_future(store.retry("e", job.id))
            await under_way()
            assert len(await store.claim("e", "w2", 1, 30.0, 0.0)) == 1
            await refused(retrying)
        now = await store.get("e", job.id)
        assert now is not None and (now.status, now.error) == (Status.FAILED, "broken")
        assert store.counts("e").retried == 0 and store.counts("e").in_progress == 0
        assert len(list(store.spool.iterdir())) == 1, "its output is still there"
        assert (await store.retry("e", job.id)).attempt == 1
        assert store.counts("e").retried == 1
        await same_after_reopening(store, tmp_path, {job.id: Status.IN_QUEUE})

    on(tmp_path, scenario)


def test_a_job_whose_cancel_failed_is_handed_to_who_waits(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        job = await put(store)
        with disk.failing():
            cancelling = asyncio.ensure_future(store.cancel("e", job.id))
            await under_way()
            claim = asyncio.ensure_future(store.claim("e", "w", 1, 30.0, 30.0))
            await asyncio.sleep(0)
            await refused(cancelling)
            assert [one.id for one in await claim] == [job.id]
        assert (job.status, job.attempt) == (Status.IN_PROGRESS, 1)
        await same_after_reopening(store, tmp_path, {job.id: Status.IN_PROGRESS})

    on(tmp_path, scenario)


def test_a_large_result_that_could_not_be_recorded_leaves_no_file(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        job = await taken(store, job=Job(new_job_id(), "e", b"1", webhook="http://h/"))
        with disk.failing():
            await refused(store.finish(Lease("e", job.id, "w"), Outcome(Status.COMPLETED, LARGE)))
            await refused(store.put(Job(new_job_id(), "e", LARGE)))
        await until(lambda: list(store.spool.iterdir()) == [])
        assert await store.finish(Lease("e", job.id, "w"), Outcome(Status.COMPLETED, LARGE))
        assert len(await store.list_deliveries()) == 1 and len(list(store.spool.iterdir())) == 2

    on(tmp_path, scenario)


def test_what_nobody_waits_for_is_written_later(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        job = await taken(store)
        ended = await taken(store, "w2")
        await store.finish(Lease("e", ended.id, "w2"), DONE)
        with disk.failing():
            await store.chunk(Lease("e", job.id, "w"), b'"c"')
            await store.progress(Lease("e", job.id, "w"), b'"p"')
            await store.note(job, [Phase("import", 1.0, 2.0)])
            await store.note(ended, [Phase("upload", 3.0, 4.0)])
            await refused(store.save_key("k", "0"))
            read = await store.get("e", job.id)
            assert read is not None and read.progress == b'"p"', "reading goes on"
        await store.close()
        again = SqliteStore(tmp_path, {})
        await again.open()
        found, other = await again.get("e", job.id), await again.get("e", ended.id)
        assert found is not None and other is not None
        assert (found.status, found.progress, found.attempt) == (Status.IN_PROGRESS, b'"p"', 1)
        assert [phase.name for phase in found.phases] == ["queued", "run", "import"]
        assert [phase.name for phase in other.phases] == ["queued", "run", "upload"]
        assert (await again.read_stream("e", job.id) or (None, []))[1] == [b'"c"']
        assert await again.list_keys() == {}
        await again.close()

    on(tmp_path, scenario)


def test_ends_by_the_clock_are_tried_again(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        events: list[JobEvent] = []
        job = await taken(store)
        store.listen(events.append)
        at = time.time() + 601
        with disk.failing(), pytest.raises(StoreError):
            await store.expire(at)
        assert job.status is Status.IN_PROGRESS and events == []
        assert [one.id for one in await store.list_jobs("e", Status.IN_PROGRESS)] == [job.id]
        await store.expire(at)
        now = await store.get("e", job.id)
        assert now is not None and now.status is Status.TIMED_OUT
        assert [(event.kind, event.worker_id) for event in events] == [("ended", "w")]

    on(tmp_path, scenario)


async def until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)


def test_what_was_under_way_when_the_disk_came_back_is_written_by_the_close(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, disk: Disk) -> None:
        job, take_back = await put(store), store._changes._take_back
        with ExitStack() as failing:
            failing.enter_context(disk.failing())
            os.kill(store._journal.pid, signal.SIGSTOP)
            await store.claim("e", "w", 1, 30.0, 0.0)
            await until(lambda: store._changes._flying is not None)  # the hand-out, which nobody waits for

            def recovered(failed: Group) -> list[Done]:
                failing.close()
                return take_back(failed)

            store._changes._take_back = recovered  # type: ignore[method-assign]
            closing = asyncio.ensure_future(same_after_reopening(store, tmp_path, {job.id: Status.IN_PROGRESS}))
            await asyncio.sleep(0)
            os.kill(store._journal.pid, signal.SIGCONT)
            await closing

    on(tmp_path, scenario)
