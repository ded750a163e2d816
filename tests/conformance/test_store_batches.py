"""What every store promises about batches of jobs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.conformance.store_ground import DONE, LARGE, Ground, a_job, found, ids, lease, put, settle, story, take
from zeroidle.endpoint import RETENTION_BATCH_S
from zeroidle.errors import Conflict, NotFound
from zeroidle.job import Job, Policy, Spooled, Status, read_payload
from zeroidle.job_batch import BatchStatus, JobBatch, new_batch_id
from zeroidle.store.protocol import Outcome, Store, Waiter

FAILED = Outcome(Status.FAILED, error="no")


async def make(store: Store, jobs: list[Job], **fields: Any) -> JobBatch:
    """A new draft with these requests."""
    return await store.create_batch(JobBatch(new_batch_id(), "e", created_at=1.0, **fields), jobs)


async def now(store: Store, batch: JobBatch) -> JobBatch:
    known = await store.get_batch("e", batch.id)
    assert known is not None
    return known[0]


async def listed(store: Store, batch: JobBatch, **wanted: Any) -> list[Job]:
    status, limit, at = wanted.get("status"), wanted.get("limit", 100), wanted.get("at", 0)
    answer = await store.list_of_batch("e", batch.id, status, limit, at)
    assert answer is not None
    return answer[0]


@story
async def test_a_draft_waits_in_no_queue_and_survives_a_restart(ground: Ground, store: Store) -> None:
    jobs = [a_job(input=b'{"n":%d}' % n) for n in range(3)]
    batch = await make(store, jobs[:2], name="night")
    assert (batch.status, batch.total, batch.name) == (BatchStatus.DRAFT, 2, "night")
    store = await ground.reopen()
    assert (await store.add_to_batch("e", batch.id, jobs[2:])).total == 3
    assert await take(store, limit=9) == [] and store.counts("e").queued == 0
    assert await store.get("e", jobs[0].id) is None and await store.list_jobs("e") == []
    assert ids(await listed(store, batch)) == ids(jobs)
    one = await store.one_of_batch("e", batch.id, jobs[2].id)
    assert one is not None and one.input == b'{"n":2}'
    assert await store.get_batch("other", batch.id) is None and await store.one_of_batch("e", "b", jobs[2].id) is None


@story
async def test_a_finalized_batch_runs_in_its_order_behind_other_jobs(ground: Ground, store: Store) -> None:
    jobs = [a_job(input=b"%d" % n) for n in range(3)]
    heard: list[str] = []
    store.listen(lambda event: heard.extend(job.id for job in event.jobs), ["queued"])
    batch = await make(store, jobs)
    low = await put(store, policy=Policy(low_priority=True))
    done = await store.finalize_batch("e", batch.id)
    later = await put(store)
    assert done.status is BatchStatus.FINALIZED and done.finalized_at is not None
    assert heard == [low.id, *ids(jobs), later.id]
    counts = store.counts("e")
    assert (counts.queued, counts.queued_low) == (4, 1) and counts.oldest_queued_at == done.finalized_at
    assert ids(await take(store, limit=9)) == [later.id, *ids(jobs), low.id]
    assert (await store.get_batch("e", batch.id)) == (done, 3)
    with pytest.raises(Conflict, match="only a DRAFT"):
        await store.add_to_batch("e", batch.id, [a_job()])
    assert (await store.finalize_batch("e", batch.id)).finalized_at == done.finalized_at


@story
async def test_a_restart_finds_a_finalized_batch_in_the_queue(ground: Ground, store: Store) -> None:
    jobs = [a_job() for _ in range(3)]
    batch = await make(store, jobs)
    await store.finalize_batch("e", batch.id)
    (first,) = await take(store)
    await store.finish(lease(first), DONE)
    store = await ground.reopen()
    assert ids(await take(store, limit=9)) == ids(jobs[1:])
    known = await store.get_batch("e", batch.id)
    assert known is not None and (known[0].completed, known[1]) == (1, 2)
    assert (await found(store, jobs[1])).batch == batch.id


@story
async def test_the_counts_say_how_jobs_ended_also_after_a_retry(ground: Ground, store: Store) -> None:
    jobs = [a_job() for _ in range(3)]
    batch = await make(store, jobs)
    await store.finalize_batch("e", batch.id)
    await take(store, limit=9)
    await store.finish(lease(jobs[0]), DONE)
    await store.finish(lease(jobs[1]), FAILED)
    await store.cancel("e", jobs[2].id)
    over = await now(store, batch)
    assert (over.total, over.completed, over.failed, over.cancelled) == (3, 1, 1, 1) and over.ended_at is not None
    assert [job.status for job in await listed(store, batch)] == [Status.COMPLETED, Status.FAILED, Status.CANCELLED]
    assert ids(await listed(store, batch, status=Status.FAILED)) == [jobs[1].id]
    await store.retry("e", jobs[1].id)
    again = await now(store, batch)
    assert (again.failed, again.ended_at) == (0, None)
    (job,) = await take(store)
    await store.finish(lease(job), DONE)
    store = await ground.reopen()
    last = await now(store, batch)
    assert (last.completed, last.failed, last.cancelled) == (2, 0, 1) and last.ended_at is not None


@story
async def test_a_cancelled_batch_lets_what_runs_end_and_starts_nothing_more(ground: Ground, store: Store) -> None:
    jobs = [a_job() for _ in range(4)]
    batch = await make(store, jobs)
    await store.finalize_batch("e", batch.id)
    await take(store, limit=2)
    assert (await store.cancel_batch("e", batch.id)).status is BatchStatus.CANCELLED
    assert await take(store, limit=9) == []
    assert await store.finish(lease(jobs[0]), DONE)
    await store.release([lease(jobs[1])], lost=True, reason="its worker is gone")
    over = await now(store, batch)
    assert (over.completed, over.cancelled, over.failed) == (1, 3, 0) and over.ended_at is not None
    assert store.counts("e").retried == 0
    assert (await found(store, jobs[1])).status is Status.CANCELLED
    other = await make(store, [a_job(), a_job()])
    cancelled = await store.cancel_batch("e", other.id)
    assert (cancelled.status, cancelled.cancelled) == (BatchStatus.CANCELLED, 2) and cancelled.ended_at is not None
    store = await ground.reopen()
    assert {job.status for job in await listed(store, other)} == {Status.CANCELLED}
    with pytest.raises(Conflict, match="CANCELLED"):
        await store.finalize_batch("e", other.id)


@story
async def test_a_job_that_a_dead_plane_left_does_not_run_after_a_cancel(ground: Ground, store: Store) -> None:
    (job,) = jobs = [a_job()]
    batch = await make(store, jobs)
    await store.finalize_batch("e", batch.id)
    await take(store)
    await store.cancel_batch("e", batch.id)
    store = await ground.reopen()
    await store.release([lease(job)], lost=False, reason="the plane was started again")
    assert (await found(store, job)).status is Status.CANCELLED and (await now(store, batch)).cancelled == 1


@story
async def test_requests_of_a_draft_can_be_replaced_and_removed(ground: Ground, store: Store) -> None:
    jobs = [a_job(input=LARGE if n == 1 else b"%d" % n) for n in range(3)]
    batch = await make(store, jobs)
    assert len(ground.files()) == 1
    await store.replace_in_batch("e", batch.id, a_job(id=jobs[1].id, input=b'"new"', policy=Policy(ttl_ms=60_000)))
    await store.replace_in_batch("e", batch.id, a_job(id=jobs[2].id, input=LARGE))
    assert (await store.remove_from_batch("e", batch.id, jobs[0].id)).total == 2
    for work in (
        store.remove_from_batch("e", batch.id, jobs[0].id),
        store.replace_in_batch("e", batch.id, a_job(input=LARGE)),
        store.remove_from_batch("e", "b", jobs[1].id),
        store.rename_batch("e", "b", "x"),
    ):
        with pytest.raises(NotFound):
            await work
    assert (await store.rename_batch("e", batch.id, "day")).name == "day"
    await store.finalize_batch("e", batch.id)
    taken = await take(store, limit=9)
    assert [read_payload(job.input, ground.spool) for job in taken] == [b'"new"', LARGE]
    assert taken[0].expires_at == pytest.approx(taken[0].queued_at + 60)
    assert isinstance(taken[1].input, Spooled) and ground.files() == {taken[1].input.path}
    with pytest.raises(Conflict):
        await store.remove_from_batch("e", batch.id, jobs[1].id)


@story
async def test_an_empty_batch_is_not_finalized_and_pages_have_an_end(ground: Ground, store: Store) -> None:
    batch = await make(store, [])
    with pytest.raises(Conflict, match="no requests"):
        await store.finalize_batch("e", batch.id)
    jobs = [a_job() for _ in range(5)]
    await store.add_to_batch("e", batch.id, jobs)
    for at, following in ((0, 2), (2, 4), (3, None), (5, None)):
        answer = await store.list_of_batch("e", batch.id, None, 2, at)
        assert answer is not None and (ids(answer[0]), answer[1]) == (ids(jobs[at : at + 2]), following)
    other = await make(store, [])
    assert [one.id for one, _ in await store.list_batches("e", 9, 0)] == [other.id, batch.id]
    assert [one.id for one, _ in await store.list_batches("e", 9, 1)] == [batch.id]
    assert (
        await store.list_batches("other", 9, 0) == []
        and await store.list_of_batch("other", batch.id, None, 9, 0) is None
    )


@story
async def test_a_page_ends_after_enough_bytes_of_results(ground: Ground, store: Store) -> None:
    jobs = [a_job() for _ in range(50)]
    batch = await make(store, jobs)
    await store.finalize_batch("e", batch.id)
    await take(store, limit=50)
    text = b'"' + b"x" * 250_000 + b'"'
    await store.finish_many([(lease(job), Outcome(Status.COMPLETED, text)) for job in jobs])
    at: int | None = 0
    sizes = []
    while at is not None:
        answer = await store.list_of_batch("e", batch.id, None, 1000, at)
        assert answer is not None
        page, at = answer
        assert {job.output for job in page} == {text}
        sizes.append(len(page))
    assert sum(sizes) == 50 and sizes[0] == (8 << 20) // len(text)


@story
async def test_the_end_of_a_batch_makes_one_delivery(ground: Ground, store: Store) -> None:
    jobs = [a_job() for _ in range(2)]
    batch = await make(store, jobs, webhook="http://127.0.0.1:1/hook")
    await store.finalize_batch("e", batch.id)
    await take(store, limit=2)
    await store.finish(lease(jobs[0]), DONE)
    assert await store.list_deliveries() == []
    await store.finish(lease(jobs[1]), DONE)
    (delivery,) = await store.list_deliveries()
    assert (delivery.job_id, delivery.url) == (batch.id, "http://127.0.0.1:1/hook")
    assert isinstance(delivery.body, bytes) and b'"requestCompleted":2' in delivery.body


@story
async def test_results_of_a_batch_are_kept_for_their_own_time(ground: Ground, store: Store) -> None:
    (job,) = jobs = [a_job()]
    batch = await make(store, jobs)
    await store.finalize_batch("e", batch.id)
    await take(store)
    await store.finish(lease(job), DONE)
    assert job.finished_at is None  # what was given is not what the store keeps
    ended_at = (await now(store, batch)).ended_at
    assert ended_at is not None
    await store.expire(ended_at + RETENTION_BATCH_S - 60)
    assert ids(await listed(store, batch)) == [job.id]
    await store.expire(ended_at + RETENTION_BATCH_S + 3601)
    assert await store.get_batch("e", batch.id) is None
    store = await ground.reopen()
    assert await store.get_batch("e", batch.id) is None and await store.list_jobs("e") == []


@story
async def test_a_job_is_found_and_cancelled_while_its_batch_comes_to_the_queue(ground: Ground, store: Store) -> None:
    jobs = [a_job() for _ in range(1200)]
    batch = await make(store, jobs)
    work = asyncio.ensure_future(store.finalize_batch("e", batch.id))
    while (last := await store.get("e", jobs[-1].id)) is None:
        await settle()
    assert last.status is Status.IN_QUEUE
    cancelled = await store.cancel("e", jobs[-1].id)
    assert cancelled is not None and cancelled.status is Status.CANCELLED
    await work
    assert store.counts("e").queued == 1199 and (await now(store, batch)).cancelled == 1
    assert (await store.cancel_batch("e", batch.id)).over


@story
async def test_a_purge_waits_for_a_batch_that_comes_to_the_queue(ground: Ground, store: Store) -> None:
    batch = await make(store, [a_job() for _ in range(1200)])
    work = asyncio.ensure_future(store.finalize_batch("e", batch.id))
    while not store.counts("e").queued:
        await settle()
    assert await store.purge("e") == 1200
    await work
    assert (await now(store, batch)).over


@story
async def test_one_request_is_removed_once(ground: Ground, store: Store) -> None:
    jobs = [a_job() for _ in range(3)]
    batch = await make(store, jobs)
    answers = await asyncio.gather(
        *(store.remove_from_batch("e", batch.id, jobs[0].id) for _ in range(3)),
        store.replace_in_batch("e", batch.id, a_job(id=jobs[0].id)),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["JobBatch", *["NotFound"] * 3]
    assert (await now(store, batch)).total == 2 == len(await listed(store, batch))


@story
async def test_a_batch_is_finalized_with_all_its_requests_or_refuses_them(ground: Ground, store: Store) -> None:
    jobs = [a_job() for _ in range(20)]
    batch = await make(store, [a_job()])
    works = [store.add_to_batch("e", batch.id, [job]) for job in jobs]
    works[10:10] = [store.finalize_batch("e", batch.id)]
    answers = await asyncio.gather(*works, return_exceptions=True)
    taken = 1 + sum(isinstance(answer, JobBatch) for n, answer in enumerate(answers) if n != 10)
    known = await now(store, batch)
    assert known.status is BatchStatus.FINALIZED and known.total == taken == len(await take(store, limit=99))


@story
async def test_low_priority_jobs_of_a_batch_are_cancelled_with_it_and_none_comes_back(
    ground: Ground, store: Store
) -> None:
    jobs = [a_job(policy=Policy(low_priority=n > 0)) for n in range(3)]
    batch = await make(store, jobs)
    await store.finalize_batch("e", batch.id)
    assert ids(await take(store)) == [jobs[0].id]
    await store.finish(lease(jobs[0]), FAILED)
    cancelled = await store.cancel_batch("e", batch.id)
    assert (cancelled.cancelled, cancelled.failed, store.counts("e").queued_low) == (2, 1, 0)
    with pytest.raises(Conflict, match="CANCELLED"):
        await store.retry("e", jobs[0].id)


@story
async def test_what_nobody_could_take_of_a_cancelled_batch_is_not_kept(ground: Ground, store: Store) -> None:
    (job,) = jobs = [a_job()]
    batch = await make(store, jobs)
    cancelling: list[asyncio.Future[JobBatch]] = []

    def busy(given: list[Job]) -> bool:
        cancelling.append(asyncio.ensure_future(store.cancel_batch("e", batch.id)))
        return False

    store.offer("e", Waiter("w", 1, 30.0, busy))
    await store.finalize_batch("e", batch.id)
    while not cancelling:
        await settle()
    over = await cancelling[0]
    assert over.cancelled == 1 and over.ended_at is not None and (await found(store, job)).status is Status.CANCELLED
