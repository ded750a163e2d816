"""What every store promises about lists, ledgers, reopening and large payloads."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.conformance.store_ground import (
    DONE,
    LARGE,
    Ground,
    found,
    ids,
    lease,
    put,
    settle,
    story,
    take,
    taken,
    until,
)
from zeroidle.errors import StoreError
from zeroidle.job import Phase, Policy, Spooled, Status, read_payload
from zeroidle.store.protocol import Delivery, Outcome, Store, WorkerRecord

# -- listing


@story
async def test_jobs_are_listed_newest_first_without_their_input(ground: Ground, store: Store) -> None:
    jobs = [await put(store) for _ in range(6)]
    await put(store, endpoint="other")
    await take(store)
    await store.finish(lease(jobs[0]), DONE)
    await take(store)
    listed = await store.list_jobs("e")
    assert ids(listed) == ids(jobs)[::-1]
    assert {job.input for job in listed} == {b"null"} and (await found(store, jobs[5])).input == b'{"n":1}'
    page = await store.list_jobs("e", limit=2)
    assert ids(page) == [jobs[5].id, jobs[4].id]
    assert ids(await store.list_jobs("e", limit=2, before_seq=page[-1].seq)) == [jobs[3].id, jobs[2].id]
    for status, wanted in (
        (Status.COMPLETED, [jobs[0]]),
        (Status.IN_PROGRESS, [jobs[1]]),
        (Status.IN_QUEUE, jobs[:1:-1]),
        (Status.FAILED, []),
    ):
        assert ids(await store.list_jobs("e", status)) == ids(wanted)
    assert (await store.list_jobs("e", Status.COMPLETED))[0].output == DONE.output


# -- beside the jobs


@story
async def test_the_end_of_a_job_with_a_webhook_makes_a_delivery(ground: Ground, store: Store) -> None:
    due: list[str] = []
    job = await taken(store, webhook="http://127.0.0.1:1/hook")
    silent = await taken(store, "w2")
    store.listen(lambda event: due.append(event.kind))
    await store.finish(lease(job), Outcome(Status.COMPLETED, b'{"text":"\xc3\xa9"}'))
    await store.finish(lease(silent, "w2"), DONE)
    (delivery,) = await store.list_deliveries("pending", time.time() + 1)
    assert (delivery.id, delivery.job_id, delivery.endpoint) == (f"msg_{job.id}_1", job.id, "e")
    assert (delivery.url, delivery.state, delivery.attempts) == ("http://127.0.0.1:1/hook", "pending", 0)
    body = read_payload(delivery.body, ground.spool)
    assert b'"output":{"text":"\xc3\xa9"}' in body and b'"status":"COMPLETED"' in body and job.id.encode() in body


@story
async def test_each_end_of_a_job_has_its_own_delivery(ground: Ground, store: Store) -> None:
    job = await put(store, webhook="http://h/", policy=Policy(ttl_ms=20_000))
    await store.expire(time.time() + 21)
    await store.retry("e", job.id)
    await store.expire(time.time() + 60)
    await store.retry("e", job.id)
    await store.cancel("e", job.id)
    deliveries = await store.list_deliveries()
    assert len({delivery.id for delivery in deliveries}) == 3
    bodies = [read_payload(delivery.body, ground.spool) for delivery in deliveries]
    assert sum(b'"status":"TIMED_OUT"' in body for body in bodies) == 2
    assert sum(b'"status":"CANCELLED"' in body for body in bodies) == 1


@story
async def test_deliveries_are_kept_and_listed_by_urgency(ground: Ground, store: Store) -> None:
    for n, at in ((1, 30.0), (2, 10.0), (3, 20.0)):
        await store.save_delivery(Delivery(f"d{n}", "e", f"j{n}", "http://h/", b"{}", 5.0, next_at=at))
    assert [d.id for d in await store.list_deliveries()] == ["d2", "d3", "d1"]
    assert [d.id for d in await store.list_deliveries("pending", due_before=20.0)] == ["d2", "d3"]
    assert [d.id for d in await store.list_deliveries(limit=1)] == ["d2"]
    second = (await store.list_deliveries())[0]
    second.state, second.attempts, second.last_status, second.last_error = "dead", 9, 500, "no \udcff"
    await store.save_delivery(second)
    store = await ground.reopen()
    (dead,) = await store.list_deliveries("dead")
    assert (dead.id, dead.attempts, dead.last_status, dead.last_error) == ("d2", 9, 500, "no ?")
    assert [d.id for d in await store.list_deliveries("pending")] == ["d3", "d1"]


@story
async def test_workers_are_remembered(ground: Ground, store: Store) -> None:
    record = WorkerRecord("w1", "e", "starting", 17, 100.0, phases=[Phase("boot", 100.0, 100.5)])
    await store.save_worker(record)
    record.state, record.ready_at, record.ended_at, record.exit = "gone", 101.0, 102.0, "signal 9"
    record.error, record.jobs_done, record.log_path = "Traceback \udcff", 3, "/x/log"
    await store.save_worker(record)
    await store.save_worker(WorkerRecord("w2", "e", "ready", 18, 200.0))
    await store.save_worker(WorkerRecord("w3", "other", "ready", 19, 150.0))
    assert [w.id for w in await store.list_workers()] == ["w2", "w3", "w1"]
    assert [w.id for w in await store.list_workers("e")] == ["w2", "w1"]
    assert [w.id for w in await store.list_workers(limit=1)] == ["w2"]
    store = await ground.reopen()
    record.error = "Traceback ?"
    assert (await store.list_workers("e"))[1] == record


@story
async def test_keys_are_kept_by_name(ground: Ground, store: Store) -> None:
    await store.save_key("a", "1" * 64)
    await store.save_key("b", "2" * 64)
    await store.save_key("a", "3" * 64)
    await store.save_key("b", None)
    await store.save_key("c", None)
    assert await store.list_keys() == {"a": "3" * 64}
    assert await (await ground.reopen()).list_keys() == {"a": "3" * 64}


# -- opening again


@story
async def test_the_queue_is_as_it_was_after_a_reopening(ground: Ground, store: Store) -> None:
    low = await put(store, policy=Policy(low_priority=True))
    jobs = [await put(store) for _ in range(4)]
    held = await take(store, limit=2)
    await store.release([lease(held[1])], lost=True, reason="gone")
    store = await ground.reopen()
    counts = store.counts("e")
    assert (counts.queued, counts.queued_low, counts.in_progress, counts.retried) == (3, 1, 1, 1)
    assert counts.oldest_queued_at == jobs[1].queued_at
    assert await store.finish(lease(jobs[0], attempt=1), DONE), "a worker that lives on keeps its lease"
    later = await put(store)
    assert ids(await take(store, limit=9)) == [*ids(jobs[1:]), later.id, low.id]
    assert (await found(store, jobs[1])).losses == 1 and (await found(store, jobs[1])).attempt == 2
    assert later.seq > max(job.seq for job in jobs)


@story
async def test_a_lease_that_ran_out_while_closed_gives_the_job_back(ground: Ground, store: Store) -> None:
    job = await taken(store)
    store = await ground.reopen()
    await store.expire(time.time() + 31)
    assert ids(await take(store, "w2")) == [job.id]


@story
async def test_a_closed_store_says_so(ground: Ground, store: Store) -> None:
    job = await put(store)
    waiting = [
        asyncio.ensure_future(store.claim("other", "w", 1, 30.0, 30.0)),
        asyncio.ensure_future(store.wait("e", job.id, 30.0)),
    ]
    await settle()
    await store.close()
    await asyncio.wait_for(asyncio.wait(waiting), 10)
    for call in (put(store), take(store), store.cancel("e", job.id), store.save_key("a", "b")):
        with pytest.raises(StoreError):
            await call
    await store.close()


# -- large payloads


@story
async def test_large_payloads_are_files_as_long_as_they_are_needed(ground: Ground, store: Store) -> None:
    job = await taken(store, input=LARGE)
    assert isinstance(job.input, Spooled) and ground.files() == {job.input.path}
    assert read_payload(job.input, ground.spool) == LARGE
    output = LARGE.replace(b"x", b"y")
    await store.finish(lease(job), Outcome(Status.FAILED, output, "no"))
    for one in (await found(store, job), await found(await ground.reopen(), job)):
        assert isinstance(one.input, Spooled) and isinstance(one.output, Spooled)
        assert read_payload(one.input, ground.spool) == LARGE and read_payload(one.output, ground.spool) == output
        assert ground.files() == {one.input.path, one.output.path}
    store = ground.store
    await store.retry("e", job.id)
    await until(lambda: ground.files() == {one.input.path})
    await take(store)
    await store.finish(lease(job), DONE)
    await store.expire(time.time() + 3600)
    await until(lambda: not ground.files())


@story
async def test_a_file_that_somebody_wrote_is_taken_over(ground: Ground, store: Store) -> None:
    (ground.spool / "in").write_bytes(LARGE)
    job = await taken(store, input=Spooled("in", len(LARGE)))
    (ground.spool / "out").write_bytes(LARGE)
    assert await store.finish(lease(job), Outcome(Status.COMPLETED, Spooled("out", len(LARGE))))
    now = await found(await ground.reopen(), job)
    assert (now.input, now.output) == (Spooled("in", len(LARGE)), Spooled("out", len(LARGE)))
    assert ground.files() == {"in", "out"}
    with pytest.raises(StoreError, match="is not in the spool"):
        await put(ground.store, input=Spooled("missing", 300_000))
    (ground.spool / "short").write_bytes(b"x")
    with pytest.raises(StoreError, match="1 bytes instead of"):
        await put(ground.store, input=Spooled("short", 300_000))


@story
async def test_medium_payloads_survive(ground: Ground, store: Store) -> None:
    for size in (2047, 2048, 2049, 5000, 200_000, 262_143):
        body = b'"' + b"z" * (size - 2) + b'"'
        job = await taken(store, input=body)
        await store.finish(lease(job), Outcome(Status.COMPLETED, body))
        now = await found(store, job)
        assert now.input == body and now.output == body
    assert ground.files() == set()


@story
async def test_a_webhook_of_a_large_result_has_a_file_of_its_own(ground: Ground, store: Store) -> None:
    job = await taken(store, webhook="http://h/")
    await store.finish(lease(job), Outcome(Status.COMPLETED, LARGE, run_s=0.5))
    (delivery,) = await store.list_deliveries()
    now = await found(store, job)
    body = read_payload(delivery.body, ground.spool)
    assert b'"output":' + LARGE in body and b'"executionTime":%d,' % (now.execution_ms or 0) in body
    await store.expire(time.time() + 3600)
    assert isinstance(delivery.body, Spooled)
    await until(lambda: ground.files() == {delivery.body.path})
    assert read_payload(delivery.body, ground.spool) == body, "it outlives its job"


@story
async def test_a_large_result_of_a_job_that_was_cancelled_meanwhile_leaves_no_file(
    ground: Ground, store: Store
) -> None:
    job = await taken(store, webhook="http://h/")
    finishing = asyncio.ensure_future(store.finish(lease(job), Outcome(Status.COMPLETED, LARGE)))
    await asyncio.sleep(0)
    await store.cancel("e", job.id)
    counted = await finishing
    assert counted is ((await found(store, job)).status is Status.COMPLETED)
    if not counted:
        assert ground.files() == set()


@story
async def test_what_a_crash_left_in_the_spool_is_removed_at_the_next_start(ground: Ground, store: Store) -> None:
    job = await put(store, input=LARGE)
    assert isinstance(job.input, Spooled)
    (ground.spool / "body-of-a-request-that-broke-off").write_bytes(b"x" * 10)
    await ground.reopen()
    assert ground.files() == {job.input.path}
