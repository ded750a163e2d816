"""What every store promises, run over each implementation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from zeroidle.endpoint import Endpoint
from zeroidle.errors import Conflict, NotFound, StoreError
from zeroidle.job import Job, Phase, Policy, Spooled, Status, new_job_id, read_payload
from zeroidle.store.protocol import Delivery, JobEvent, Lease, Outcome, Store, WorkerRecord
from zeroidle.store.sqlite import SqliteStore

IMPLEMENTATIONS: dict[str, Callable[[Path, dict[str, Endpoint]], Store]] = {"sqlite": SqliteStore}

DONE = Outcome(Status.COMPLETED, b'{"ok":true}')


@dataclass
class Ground:
    """A folder with its store, which can be opened again."""

    folder: Path
    build: Callable[[Path, dict[str, Endpoint]], Store]
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    store: Any = None

    async def open(self) -> Store:
        self.store = self.build(self.folder, self.endpoints)
        await self.store.open()
        return self.store  # type: ignore[no-any-return]

    async def reopen(self) -> Store:
        await self.store.close()
        return await self.open()

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def files(self) -> set[str]:
        return {path.name for path in self.spool.iterdir()}


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    endpoint = Endpoint("e", Path("h.py"), Path(), "python3", retries=2, timeout_s=600.0, ttl_s=86_400.0)
    return Ground(tmp_path / "data", IMPLEMENTATIONS[request.param], {"e": endpoint})


def story(scenario: Callable[[Ground, Store], Awaitable[None]]) -> Callable[[Ground], None]:
    """A test on an open store."""

    def test(ground: Ground) -> None:
        async def main() -> None:
            await ground.open()
            try:
                await scenario(ground, ground.store)
            finally:
                await ground.store.close()

        asyncio.run(asyncio.wait_for(main(), 60))

    test.__name__ = scenario.__name__
    return test


def a_job(**fields: Any) -> Job:
    fields = {"id": new_job_id(), "endpoint": "e", "input": b'{"n":1}'} | fields
    return Job(**fields)


async def put(store: Store, **fields: Any) -> Job:
    return await store.put(a_job(**fields))


async def take(store: Store, worker: str = "w", limit: int = 1) -> list[Job]:
    return await store.claim("e", worker, limit, 30.0, 0.0)


async def taken(store: Store, worker: str = "w", **fields: Any) -> Job:
    """A new job that `worker` holds."""
    job = await put(store, **fields)
    assert [j.id for j in await take(store, worker)] == [job.id]
    return job


def lease(job: Job, worker: str = "w", attempt: int | None = None) -> Lease:
    return Lease(job.endpoint, job.id, worker, attempt)


async def found(store: Store, job: Job) -> Job:
    now = await store.get(job.endpoint, job.id)
    assert now is not None
    return now


async def settle() -> None:
    """Lets everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


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
    await asyncio.sleep(0)  # put has run up to its wait for the disk: the hand-out is made
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
    store.listen(lambda event: events.append((event.kind, event.job.id, event.worker_id)))
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
    assert {(event.kind, event.job.id, event.worker_id) for event in events} == {
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


async def unread(store: Store, job: Job, start: int | None = None, wait_s: float = 0.0) -> list[bytes]:
    answer = await store.read_stream(job.endpoint, job.id, start, wait_s)
    assert answer is not None
    return answer[1]


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


LARGE = b'"' + b"x" * 300_000 + b'"'


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


async def until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Waits for something that another thread does."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)
