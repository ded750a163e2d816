"""What every store promises about submitting, handing out and ending jobs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

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
)
from zeroidle.endpoint import Endpoint
from zeroidle.errors import Conflict, NotFound
from zeroidle.job import Policy, Status
from zeroidle.store.protocol import Outcome, Store

# -- submitting


@story
async def test_a_job_is_kept_as_it_came(ground: Ground, store: Store) -> None:
    given = a_job(
        input=b'{"text":"\xc3\xa9"}',
        policy=Policy(60_000, 120_000, True),
        webhook="https://example.org/hook?a=1",
        envelope=b'{"s3Config":{}}',
        sync=True,
        created_at=time.time(),
    )
    await store.put(given)
    for one in (await found(store, given), await found(await ground.reopen(), given)):
        assert one.input == b'{"text":"\xc3\xa9"}'
        assert one.policy == Policy(60_000, 120_000, True)
        assert (one.webhook, one.envelope, one.sync) == ("https://example.org/hook?a=1", b'{"s3Config":{}}', True)
        assert one.status is Status.IN_QUEUE and one.attempt == 0 and not one.final
        assert one.expires_at == pytest.approx(one.created_at + 120)
        assert [phase.name for phase in one.phases] == ["queued"]


@story
async def test_an_unknown_job_is_none(ground: Ground, store: Store) -> None:
    job = await put(store)
    assert await store.get("e", "no-such-job") is None
    assert await store.get("other", job.id) is None
    assert await store.wait("e", "no-such-job", 5.0) is None
    assert await store.cancel("e", "no-such-job") is None
    assert await store.read_stream("e", "no-such-job") is None


@story
async def test_an_id_is_used_once(ground: Ground, store: Store) -> None:
    job = await put(store)
    with pytest.raises(Conflict):
        await put(store, id=job.id)
    await store.cancel("e", job.id)
    with pytest.raises(Conflict):
        await put(store, id=job.id)
    assert (await found(store, job)).status is Status.CANCELLED
    assert (await put(store)).status is Status.IN_QUEUE, "the store goes on"


@story
async def test_an_idempotency_key_names_one_job(ground: Ground, store: Store) -> None:
    together = await asyncio.gather(*(put(store, idempotency_key="k") for _ in range(5)))
    assert len(set(ids(together))) == 1 and store.counts("e").queued == 1
    elsewhere = await put(store, endpoint="other", idempotency_key="k")
    assert elsewhere.id != together[0].id
    await take(store)
    assert (await put(store, idempotency_key="k")).id == together[0].id
    await store.finish(lease(together[0]), DONE)
    after = await put(store, idempotency_key="k")
    assert after.id == together[0].id and after.output == DONE.output
    store = await ground.reopen()
    assert (await put(store, idempotency_key="k")).id == together[0].id
    assert (await put(store, endpoint="other", idempotency_key="k")).id == elsewhere.id


@story
async def test_an_idempotency_key_is_free_after_retention(ground: Ground, store: Store) -> None:
    ground.endpoints["e"] = Endpoint("e", Path(), Path(), "", retention_s=0.0)
    first = await taken(store, idempotency_key="k")
    await store.finish(lease(first), DONE)
    assert await store.get("e", first.id) is None
    second = await put(store, idempotency_key="k")
    assert second.id != first.id
    assert (await found(store, second)).status is Status.IN_QUEUE


@story
async def test_a_retried_job_keeps_its_idempotency_key(ground: Ground, store: Store) -> None:
    first = await taken(store, idempotency_key="k")
    await store.finish(lease(first), Outcome(Status.FAILED, error="x"))
    await store.retry("e", first.id)
    assert (await put(store, idempotency_key="k")).id == first.id
    assert store.counts("e").queued == 1


# -- handing out


@story
async def test_first_in_first_out_and_low_priority_last(ground: Ground, store: Store) -> None:
    low = await put(store, policy=Policy(low_priority=True))
    jobs = [await put(store) for _ in range(4)]
    counts = store.counts("e")
    assert (counts.queued, counts.queued_low) == (4, 1)
    assert counts.oldest_queued_at == jobs[0].queued_at
    assert ids(await take(store, limit=3)) == ids(jobs[:3])
    assert ids(await take(store, limit=9)) == [jobs[3].id, low.id]
    assert await take(store) == []
    counts = store.counts("e")
    assert (counts.queued, counts.queued_low, counts.in_progress, counts.oldest_queued_at) == (0, 0, 5, None)


@story
async def test_a_hand_out_names_worker_attempt_and_lease(ground: Ground, store: Store) -> None:
    before = time.time()
    job = await taken(store, "w1")
    assert (job.status, job.worker_id, job.attempt) == (Status.IN_PROGRESS, "w1", 1)
    assert before + 30 <= job.lease_until <= time.time() + 30
    assert job.started_at is not None and job.delay_ms is not None


@story
async def test_a_claim_waits_for_a_job(ground: Ground, store: Store) -> None:
    claim = asyncio.ensure_future(store.claim("e", "w", 2, 30.0, 30.0))
    await settle()
    job = await put(store)
    assert ids(await claim) == [job.id]


@story
async def test_a_claim_that_waited_in_vain_answers_nothing(ground: Ground, store: Store) -> None:
    assert await store.claim("e", "w", 1, 30.0, 0.01) == []
    job = await put(store)
    assert ids(await take(store)) == [job.id]


@story
async def test_the_latest_waiter_is_served_first(ground: Ground, store: Store) -> None:
    claims = []
    for worker in ("w1", "w2", "w3"):
        claims.append(asyncio.ensure_future(store.claim("e", worker, 1, 30.0, 30.0)))
        await settle()
    served = []
    for _ in range(3):
        job = await put(store)
        await settle()
        served.append(job.worker_id)
    assert served == ["w3", "w2", "w1"]
    await asyncio.gather(*claims)


@story
async def test_a_cancelled_waiter_swallows_no_job(ground: Ground, store: Store) -> None:
    gone = asyncio.ensure_future(store.claim("e", "gone", 1, 30.0, 30.0))
    await settle()
    gone.cancel()  # not yet told: it still stands in the line
    job = await put(store)
    assert ids(await take(store)) == [job.id]
    assert job.worker_id == "w"
    with pytest.raises(asyncio.CancelledError):
        await gone


@story
async def test_a_waiter_cancelled_after_it_was_served_gives_the_job_back(ground: Ground, store: Store) -> None:
    gone = asyncio.ensure_future(store.claim("e", "gone", 5, 30.0, 30.0))
    await settle()
    putting = asyncio.ensure_future(put(store))
    for _ in range(2):  # put has run up to its wait for the disk, and the hand-out is made
        await asyncio.sleep(0)
    assert store.counts("e").in_progress == 1
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    job = await putting
    assert (job.status, job.attempt, job.worker_id) == (Status.IN_QUEUE, 0, None)
    assert [phase.name for phase in job.phases] == ["queued"] and job.phases[0].end is None
    other = asyncio.ensure_future(store.claim("e", "w", 1, 30.0, 30.0))
    assert ids(await other) == [job.id] and job.attempt == 1


@story
async def test_what_a_cancelled_waiter_gives_back_goes_to_the_next(ground: Ground, store: Store) -> None:
    next_one = asyncio.ensure_future(store.claim("e", "next", 1, 30.0, 30.0))
    await settle()
    gone = asyncio.ensure_future(store.claim("e", "gone", 1, 30.0, 30.0))
    await settle()
    putting = asyncio.ensure_future(put(store))
    await asyncio.sleep(0)
    gone.cancel()
    job = await putting
    assert ids(await next_one) == [job.id] and job.worker_id == "next"
    assert gone.cancelled()


@story
async def test_many_claimers_share_without_overlap(ground: Ground, store: Store) -> None:
    claims = [asyncio.ensure_future(store.claim("e", f"w{n}", 3, 30.0, 0.5)) for n in range(20)]
    jobs = await asyncio.gather(*(put(store) for _ in range(50)))
    handed = [job.id for jobs in await asyncio.gather(*claims) for job in jobs]
    handed += ids(await take(store, limit=100))
    assert sorted(handed) == sorted(ids(jobs))


# -- results


@story
async def test_exactly_one_result_is_recorded(ground: Ground, store: Store) -> None:
    job = await taken(store)
    outcomes = [Outcome(Status.COMPLETED, b"%d" % n) for n in range(10)]
    counted = await asyncio.gather(*(store.finish(lease(job), outcome) for outcome in outcomes))
    assert counted.count(True) == 1
    now = await found(store, job)
    assert now.output == b"%d" % counted.index(True) and now.status is Status.COMPLETED
    assert not await store.finish(lease(job), DONE)
    assert (await found(await ground.reopen(), job)).output == now.output
    assert ground.store.counts("e").completed == 1


@story
async def test_several_results_at_once_count_each_for_itself(ground: Ground, store: Store) -> None:
    jobs = [await put(store) for _ in range(4)]
    await take(store, limit=3)
    results = [(lease(job), Outcome(Status.COMPLETED, b"%d" % n)) for n, job in enumerate(jobs)]
    assert await store.finish_many([*results, results[0]]) == [True, True, True, False, False]
    assert await store.finish_many([]) == [] and await store.finish_many(results) == [False] * 4
    store = await ground.reopen()
    assert [(await found(store, job)).output for job in jobs] == [b"0", b"1", b"2", None]


@story
async def test_a_late_worker_cannot_overwrite(ground: Ground, store: Store) -> None:
    job = await taken(store, "old")
    await store.release([lease(job, "old", 1)], lost=True, reason="gone")
    assert not await store.finish(lease(job, "old", 1), DONE), "not in progress"
    await take(store, "new")
    assert not await store.finish(lease(job, "old"), DONE), "another worker holds it"
    assert not await store.finish(lease(job, "new", 1), DONE), "an older attempt"
    assert not await store.progress(lease(job, "old"), b"1") and not await store.chunk(lease(job, "new", 1), b"1")
    assert await store.finish(lease(job, "new", 2), Outcome(Status.COMPLETED, b'"new"'))
    assert (await found(store, job)).output == b'"new"'


@story
async def test_the_attempt_may_be_left_out(ground: Ground, store: Store) -> None:
    job = await taken(store)
    assert await store.finish(lease(job, attempt=None), DONE)


@story
async def test_a_failure_keeps_error_output_and_what_the_worker_measured(ground: Ground, store: Store) -> None:
    job = await taken(store)
    outcome = Outcome(Status.FAILED, b'{"part":1}', "it broke \udcff", run_s=0.0, log_range=(10, 20))
    assert await store.finish(lease(job), outcome)
    for one in (await found(store, job), await found(await ground.reopen(), job)):
        assert one.status is Status.FAILED and one.output == b'{"part":1}' and one.log_range == (10, 20)
        assert one.error == "it broke ?", "what no UTF-8 can hold is replaced"
        assert one.execution_ms is not None and one.finished_at is not None
        assert [phase.name for phase in one.phases] == ["queued", "run"]
        assert all(phase.end is not None for phase in one.phases)
    assert ground.store.counts("e").failed == 1


@story
async def test_a_result_may_be_nothing(ground: Ground, store: Store) -> None:
    job = await taken(store)
    await store.finish(lease(job), Outcome(Status.COMPLETED))
    one = await found(store, job)
    assert one.status is Status.COMPLETED and one.output is None and one.error is None


@story
async def test_wait_answers_at_the_end(ground: Ground, store: Store) -> None:
    job = await taken(store)
    waits = [asyncio.ensure_future(store.wait("e", job.id, 30.0)) for _ in range(3)]
    await settle()
    await store.finish(lease(job), DONE)
    for one in await asyncio.gather(*waits):
        assert one is not None and one.status is Status.COMPLETED and one.output == DONE.output
    again = await store.wait("e", job.id, 30.0)
    assert again is not None and again.final


@story
async def test_wait_answers_the_job_as_it_is_when_the_time_is_over(ground: Ground, store: Store) -> None:
    job = await put(store)
    now = await store.wait("e", job.id, 0.01)
    assert now is not None and now.status is Status.IN_QUEUE
    cancelled = asyncio.ensure_future(store.wait("e", job.id, 30.0))
    await settle()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert (await found(store, job)).status is Status.IN_QUEUE


@story
async def test_progress_is_seen_until_the_end(ground: Ground, store: Store) -> None:
    job = await taken(store)
    assert await store.progress(lease(job), b'"half"')
    assert (await found(store, job)).progress == b'"half"'
    assert (await found(await ground.reopen(), job)).progress == b'"half"'
    store = ground.store
    await store.finish(lease(job), DONE)
    assert not await store.progress(lease(job), b'"late"')
    now = await found(store, job)
    assert now.status is Status.COMPLETED and now.progress is None and now.output == DONE.output


# -- cancel, purge, retry


@story
async def test_cancel_ends_a_queued_and_a_running_job(ground: Ground, store: Store) -> None:
    events: list[tuple[str, str, str | None]] = []
    running = await taken(store)
    queued = await put(store)
    store.listen(lambda event: events.extend((event.kind, job.id, event.worker_id) for job in event.jobs))
    for job in (running, queued):
        answer = await store.cancel("e", job.id)
        assert answer is not None and answer.status is Status.CANCELLED
    assert events == [("ended", running.id, "w"), ("ended", queued.id, None)], "the worker must be interrupted"
    assert not await store.finish(lease(running), DONE)
    assert await take(store) == []
    counts = store.counts("e")
    assert (counts.queued, counts.in_progress, counts.completed, counts.failed) == (0, 0, 0, 0)


@story
async def test_cancel_leaves_an_ended_job_alone(ground: Ground, store: Store) -> None:
    job = await taken(store)
    await store.finish(lease(job), DONE)
    answer = await store.cancel("e", job.id)
    assert answer is not None and answer.status is Status.COMPLETED and answer.output == DONE.output


@story
async def test_cancel_and_finish_at_once_end_the_job_once(ground: Ground, store: Store) -> None:
    for first in ("cancel", "finish"):
        job = await taken(store)
        cancel, finish = store.cancel("e", job.id), store.finish(lease(job), DONE)
        calls = [cancel, finish] if first == "cancel" else [finish, cancel]
        answers = dict(zip([first, "other"], await asyncio.gather(*calls), strict=True))
        now = await found(store, job)
        if first == "cancel":
            assert now.status is Status.CANCELLED and answers["other"] is False and now.output is None
        else:
            assert now.status is Status.COMPLETED and answers["finish"] is True and now.output == DONE.output


@story
async def test_purge_removes_what_waits(ground: Ground, store: Store) -> None:
    running = await taken(store)
    waiting = [await put(store), await put(store, policy=Policy(low_priority=True))]
    elsewhere = await put(store, endpoint="other")
    assert await store.purge("e") == 2
    assert await store.purge("e") == 0
    assert [(await found(store, job)).status for job in waiting] == [Status.CANCELLED] * 2
    assert (await found(store, running)).status is Status.IN_PROGRESS
    assert (await found(store, elsewhere)).status is Status.IN_QUEUE


@story
async def test_retry_puts_a_failed_job_back(ground: Ground, store: Store) -> None:
    job = await taken(store)
    await store.chunk(lease(job), b"1")
    await store.finish(lease(job), Outcome(Status.FAILED, b"1" * 10_000, "broken", log_range=(1, 2)))
    newer = await put(store)
    again = await store.retry("e", job.id)
    assert again.status is Status.IN_QUEUE and again.id == job.id
    for one in (await found(store, job), await found(await ground.reopen(), job)):
        assert (one.output, one.error, one.finished_at, one.log_range, one.chunks) == (None, None, None, None, 0)
    store = ground.store
    assert store.counts("e").retried == 1
    jobs = await take(store, limit=5)
    assert ids(jobs) == [newer.id, job.id], "at the end of the queue"
    assert jobs[1].attempt == 2
    assert await store.finish(lease(job, attempt=2), DONE)
    assert (await found(store, job)).output == DONE.output
    assert await store.read_stream("e", job.id, start=0) == (await found(store, job), [])


@story
async def test_a_retry_and_the_end_that_follows_at_once_are_both_kept(ground: Ground, store: Store) -> None:
    job = await taken(store)
    await store.finish(lease(job), Outcome(Status.FAILED, error="x"))
    retrying = asyncio.ensure_future(store.retry("e", job.id))
    await asyncio.sleep(0)
    (again,) = await take(store)
    await asyncio.gather(retrying, store.finish(lease(again, attempt=2), DONE))
    now = await found(await ground.reopen(), job)
    assert (now.status, now.output, now.error, now.attempt) == (Status.COMPLETED, DONE.output, None, 2)
    assert now.queued_at == again.queued_at > now.created_at and now.expires_at == again.expires_at


@story
async def test_retry_is_for_failed_jobs_only(ground: Ground, store: Store) -> None:
    with pytest.raises(NotFound):
        await store.retry("e", "no-such-job")
    job = await put(store)
    with pytest.raises(Conflict):
        await store.retry("e", job.id)
    await take(store)
    with pytest.raises(Conflict):
        await store.retry("e", job.id)
    await store.finish(lease(job), DONE)
    with pytest.raises(Conflict):
        await store.retry("e", job.id)
    cancelled = await put(store)
    await store.cancel("e", cancelled.id)
    with pytest.raises(Conflict):
        await store.retry("e", cancelled.id)


@story
async def test_two_retries_at_once_queue_the_job_once(ground: Ground, store: Store) -> None:
    job = await taken(store)
    await store.finish(lease(job), Outcome(Status.FAILED, error="x"))
    answers = await asyncio.gather(*(store.retry("e", job.id) for _ in range(3)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "Conflict", "Job"]
    assert len(await take(store, limit=9)) == 1
