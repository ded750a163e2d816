"""What every store promises about leases, the clock, streams and listeners."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.conformance.store_ground import (
    DONE,
    Ground,
    a_job,
    found,
    ids,
    lease,
    put,
    settle,
    story,
    take,
    taken,
    unread,
)
from zeroidle.errors import NotFound
from zeroidle.job import Phase, Policy, Status
from zeroidle.store.protocol import JobEvent, Lease, Store

# -- giving back, leases


@story
async def test_a_job_given_back_waits_at_the_front_and_costs_no_retry(ground: Ground, store: Store) -> None:
    jobs = [await put(store) for _ in range(5)]
    held = await take(store, limit=3)
    back = await store.release([lease(job) for job in held], lost=False, reason="not begun")
    assert sorted(ids(back)) == sorted(ids(jobs[:3]))
    again = await take(store, limit=9)
    assert ids(again) == ids(jobs), "in their old order"
    assert [job.losses for job in again] == [0] * 5 and again[0].attempt == 2


@story
async def test_a_lost_job_is_tried_again_and_then_set_aside(ground: Ground, store: Store) -> None:
    job = await put(store)
    for attempt in (1, 2, 3):  # two retries
        assert ids(await take(store, f"w{attempt}")) == [job.id]
        await store.release([lease(job, f"w{attempt}", attempt)], lost=True, reason="The worker died.")
    for one in (await found(store, job), await found(await ground.reopen(), job)):
        assert one.status is Status.FAILED and one.error is not None
        assert one.error.startswith("The worker died.")
    assert ground.store.counts("e").failed == 1 and ground.store.counts("e").retried == 2


@story
async def test_a_foreign_lease_gives_nothing_back(ground: Ground, store: Store) -> None:
    job = await taken(store)
    for wrong in (lease(job, "other"), lease(job, "w", 7), Lease("e", "no-such-job", "w")):
        assert await store.release([wrong], lost=True, reason="x") == []
    assert (await found(store, job)).status is Status.IN_PROGRESS


@story
async def test_a_lease_that_ran_out_gives_the_job_back(ground: Ground, store: Store) -> None:
    job = await taken(store)
    until = job.lease_until
    due = await store.expire(until - 1)
    assert due is not None and due <= until and job.status is Status.IN_PROGRESS
    await store.expire(until + 0.1)
    assert job.status is Status.IN_QUEUE and job.losses == 1
    assert not await store.finish(lease(job, attempt=1), DONE)
    assert ids(await take(store, "w2")) == [job.id] and job.attempt == 2


@story
async def test_renewing_extends_the_lease_of_what_is_held(ground: Ground, store: Store) -> None:
    job = await taken(store)
    other = await taken(store, "w2")
    assert await store.renew("e", "w", [job.id, other.id, "no-such-job"], 300.0) == [other.id, "no-such-job"]
    assert job.lease_until >= time.time() + 299
    await store.expire(time.time() + 100)
    assert job.status is Status.IN_PROGRESS and other.status is Status.IN_QUEUE
    due = await store.expire(job.lease_until - 1)
    assert due is not None and due <= job.lease_until and job.status is Status.IN_PROGRESS
    await store.expire(job.lease_until + 1)
    assert job.status is Status.IN_QUEUE


# -- the clock


@story
async def test_ttl_ends_a_job_wherever_it_is(ground: Ground, store: Store) -> None:
    events: list[JobEvent] = []
    running = await taken(store, policy=Policy(ttl_ms=20_000))
    waiting = await put(store, policy=Policy(ttl_ms=20_000))
    store.listen(events.append)
    at = running.created_at + 20
    due = await store.expire(at - 1)
    assert due is not None and due <= at and events == []
    await store.expire(at + 1)
    for job in (running, waiting):
        now = await found(store, job)
        assert now.status is Status.TIMED_OUT and now.error is not None and "20 s" in now.error
    assert {(event.kind, job.id, event.worker_id) for event in events for job in event.jobs} == {
        ("ended", running.id, "w"), ("ended", waiting.id, None),
    }  # fmt: skip
    assert not await store.finish(lease(running), DONE)


@story
async def test_an_expired_job_is_not_handed_out(ground: Ground, store: Store) -> None:
    old = await put(store, created_at=time.time() - 100, policy=Policy(ttl_ms=20_000))
    good = await put(store)
    assert ids(await take(store, limit=2)) == [good.id]
    assert (await found(store, old)).status is Status.TIMED_OUT


@story
async def test_the_execution_timeout_ends_a_running_job(ground: Ground, store: Store) -> None:
    job = await taken(store, policy=Policy(execution_timeout_ms=10_000))
    usual = await taken(store, "w2")
    for one, worker in ((job, "w"), (usual, "w2")):
        await store.renew("e", worker, [one.id], 3600.0)
    assert job.started_at is not None
    assert await store.expire(job.started_at + 9) == pytest.approx(job.started_at + 10)
    await store.expire(job.started_at + 11)
    now = await found(store, job)
    assert now.status is Status.TIMED_OUT and now.error is not None and "10 s" in now.error
    assert (await found(store, usual)).status is Status.IN_PROGRESS
    await store.expire(job.started_at + 601)
    assert (await found(store, usual)).status is Status.TIMED_OUT, "the endpoint's 600 s"


@story
async def test_results_are_forgotten_after_their_retention(ground: Ground, store: Store) -> None:
    sync = await taken(store, sync=True)
    await store.finish(lease(sync), DONE)
    plain = await taken(store)
    await store.chunk(lease(plain), b"1")
    await store.finish(lease(plain), DONE)
    waiting = await put(store)
    now = time.time()
    due = await store.expire(now)
    assert due is not None and now < due <= now + 60
    await store.expire(now + 61)
    assert await store.get("e", sync.id) is None and (await found(store, plain)).final
    await store.expire(now + 1801)
    assert await store.get("e", plain.id) is None and await store.read_stream("e", plain.id) is None
    assert ids(await store.list_jobs("e")) == [waiting.id]
    assert store.counts("e").completed == 2, "the counters stay"
    with pytest.raises(NotFound):
        await store.retry("e", plain.id)


@story
async def test_without_jobs_the_clock_need_not_ring(ground: Ground, store: Store) -> None:
    assert await store.expire(time.time()) is None


# -- streams


@story
async def test_chunks_are_read_once_in_order_and_again_by_number(ground: Ground, store: Store) -> None:
    job = await taken(store)
    assert await unread(store, job) == []
    for n in range(3):
        assert await store.chunk(lease(job), b"%d" % n)
    assert await unread(store, job) == [b"0", b"1", b"2"]
    assert await unread(store, job) == []
    await store.chunk(lease(job), b"3")
    assert await unread(store, job) == [b"3"]
    assert await unread(store, job, start=1) == [b"1", b"2", b"3"]
    await store.chunk(lease(job), b"4")
    await store.finish(lease(job), DONE)
    assert not await store.chunk(lease(job), b"5")
    store = await ground.reopen()
    assert await unread(store, job) == [b"4"]
    assert await unread(store, job) == []
    assert await unread(store, job, start=0) == [b"0", b"1", b"2", b"3", b"4"]
    assert await unread(await ground.reopen(), job) == []


@story
async def test_a_reader_waits_for_a_chunk_or_the_end(ground: Ground, store: Store) -> None:
    job = await taken(store)
    reading = asyncio.ensure_future(unread(store, job, wait_s=30.0))
    await settle()
    await store.chunk(lease(job), b'"one"')
    assert await reading == [b'"one"']
    reading = asyncio.ensure_future(unread(store, job, wait_s=30.0))
    await settle()
    await store.finish(lease(job), DONE)
    assert await reading == []
    assert await unread(store, job, wait_s=0.01) == []


@story
async def test_two_readers_at_once_share_the_unread_chunks(ground: Ground, store: Store) -> None:
    for ended in (False, True):
        job = await taken(store)
        for n in range(4):
            await store.chunk(lease(job), b"%d" % n)
        if ended:
            await store.finish(lease(job), DONE)
        both = await asyncio.gather(unread(store, job), unread(store, job))
        assert sorted(both[0] + both[1]) == [b"0", b"1", b"2", b"3"]
        if not ended:
            await store.cancel("e", job.id)
    job = await taken(store)
    for n in range(4):
        await store.chunk(lease(job), b"%d" % n)
    await store.finish(lease(job), DONE)
    store = await ground.reopen()
    both = await asyncio.gather(unread(store, job), unread(store, job))
    assert sorted(both[0] + both[1]) == [b"0", b"1", b"2", b"3"]


@story
async def test_chunks_of_another_attempt_are_not_shown_twice(ground: Ground, store: Store) -> None:
    job = await taken(store, "w1")
    for text in (b'"a"', b'"b"', b'"c"'):
        await store.chunk(lease(job, "w1"), text)
    assert await unread(store, job) == [b'"a"', b'"b"', b'"c"']
    await store.release([lease(job, "w1")], lost=True, reason="gone")
    await take(store, "w2")
    for text in (b'"a"', b'"b"'):
        await store.chunk(lease(job, "w2"), text)
    assert await unread(store, job) == []
    for text in (b'"c"', b'"d"'):
        await store.chunk(lease(job, "w2"), text)
    await store.finish(lease(job, "w2"), DONE)
    assert await unread(store, job) == [b'"d"']
    assert await unread(store, job, start=0) == [b'"a"', b'"b"', b'"c"', b'"d"']


@story
async def test_a_long_stream_comes_in_pieces_and_whole(ground: Ground, store: Store) -> None:
    job = await taken(store)
    chunk = b'"' + b"x" * 1_000_000 + b'"'
    for _ in range(10):
        await store.chunk(lease(job), chunk)
    await store.finish(lease(job), DONE)
    pieces = []
    while piece := await unread(store, job):
        pieces.append(len(piece))
    assert sum(pieces) == 10 and len(pieces) > 1


# -- telling


@story
async def test_listeners_hear_of_everything(ground: Ground, store: Store) -> None:
    events: list[tuple[str, str | None]] = []

    def broken(event: JobEvent) -> None:
        raise RuntimeError("a listener's own fault")

    store.listen(broken)
    store.listen(lambda event: events.append((event.kind, event.worker_id)))
    job = await taken(store)
    await store.release([lease(job)], lost=False, reason="back")
    await take(store, "w2")
    await store.finish(lease(job, "w2"), DONE)
    assert events == [("queued", None), ("taken", "w"), ("requeued", "w"), ("taken", "w2"), ("ended", "w2")]


@story
async def test_the_end_is_told_when_it_is_durable(ground: Ground, store: Store) -> None:
    seen: list[bool] = []
    job = await taken(store)

    def look(event: JobEvent) -> None:
        if event.kind == "ended":
            seen.append(finishing.done())

    store.listen(look)
    finishing = asyncio.ensure_future(store.finish(lease(job), DONE))
    await asyncio.sleep(0)
    assert seen == [], "the result is in memory, not on the disk"
    now = await found(store, job)
    assert now.final and len(seen) == 1, "whoever asks is answered when it is durable"
    assert await finishing


@story
async def test_phases_are_added_during_and_after_the_job(ground: Ground, store: Store) -> None:
    job = await taken(store)
    await store.note(job, [Phase("import", 1.0, 2.5, 1, "numpy")])
    finishing = asyncio.ensure_future(store.finish(lease(job), DONE))
    await asyncio.sleep(0)
    await store.note(job, [Phase("upload", 3.0, 4.0)])
    await finishing
    ended = await found(store, job)
    await store.note(ended, [Phase("webhook", 5.0, 6.0, note='"quoted" \udc80'), Phase("broken", float("nan"))])
    for one in (await found(await ground.reopen(), job),):
        assert [phase.name for phase in one.phases] == ["queued", "run", "import", "upload", "webhook"]
        assert one.phases[2] == Phase("import", 1.0, 2.5, 1, "numpy")
        assert one.phases[4].note == '"quoted" ?'


@story
async def test_new_jobs_are_told_together_before_anything_else(ground: Ground, store: Store) -> None:
    heard: list[tuple[str, list[str]]] = []
    store.listen(lambda event: heard.append((event.kind, [job.id for job in event.jobs])))
    jobs = [a_job() for _ in range(3)]
    for job in jobs:
        store.put_soon(job, lambda error: None)
    other = a_job(endpoint="other")
    store.put_soon(other, lambda error: None)
    assert [job.id for job in await take(store, limit=2)] == [job.id for job in jobs[:2]]
    ids = [job.id for job in jobs]
    assert heard == [("queued", ids), ("queued", [other.id]), ("taken", ids[:2])]
    heard.clear()
    last = a_job()
    store.put_soon(last, lambda error: None)
    assert store.counts("e").queued == 2
    assert heard == [("queued", [last.id])], "who counts has heard of what it counts"
    late: list[str] = []
    store.put_soon(a_job(), lambda error: None)
    store.listen(lambda event: late.append(event.kind))
    assert store.counts("e").queued == 3 and late == [], "what was before is not for a new listener"
