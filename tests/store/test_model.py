"""Random histories on the real store, checked step by step against a simple model of the rules."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zeroidle.endpoint import Endpoint
from zeroidle.errors import Conflict
from zeroidle.job import Job, Policy, Status, new_job_id
from zeroidle.store.protocol import JobEvent, Lease, Outcome
from zeroidle.store.sqlite import SqliteStore

T = TypeVar("T")

RETRIES = 1
TTL_S, TIMEOUT_S, LEASE_S = 1000.0, 300.0, 50.0
ENDPOINT = Endpoint("e", Path(), Path(), "", retries=RETRIES, ttl_s=TTL_S, timeout_s=TIMEOUT_S, retention_s=1e9)
WORKERS = st.sampled_from(["w1", "w2", "w3"])


@dataclass
class Model:
    """What a job must be. Times are those that the store named; the rules are applied here again."""

    id: str
    low: bool
    key: str | None
    status: Status = Status.IN_QUEUE
    order: tuple[float, int] = (0.0, 0)
    attempt: int = 0
    losses: int = 0
    worker: str | None = None
    expires_at: float = 0.0
    lease_until: float = 0.0
    timeout_at: float = 0.0
    output: bytes | None = None
    chunks: list[bytes] = field(default_factory=list)
    read: int = 0

    @property
    def final(self) -> bool:
        return self.status not in (Status.IN_QUEUE, Status.IN_PROGRESS)

    def end(self, status: Status, output: bytes | None = None) -> None:
        self.attempt += self.status is Status.IN_QUEUE and self.attempt > 0
        self.status, self.output = status, output

    def back(self) -> None:
        self.status, self.worker, self.chunks = Status.IN_QUEUE, None, []

    def lose(self) -> None:
        if self.losses >= RETRIES:
            self.losses += 1
            self.end(Status.FAILED)
        else:
            self.losses += 1
            self.back()


class StoreMachine(RuleBasedStateMachine):
    """One endpoint, three workers, every call that changes a job, time that passes, and reopenings."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="zeroidle-model-"))
        self.jobs: dict[str, Model] = {}
        self.leases: list[tuple[str, str, int]] = []
        self.ended: list[str] = []
        self.now = time.time()
        self.store = SqliteStore(self.folder, {"e": ENDPOINT})

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(call, 30))

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    @initialize()
    def open(self) -> None:
        self.store.listen(self.heard)
        self.run(self.store.open())

    def heard(self, event: JobEvent) -> None:
        if event.kind == "ended":
            self.ended.extend(job.id for job in event.jobs)

    def waiting(self) -> list[Model]:
        queued = [job for job in self.jobs.values() if job.status is Status.IN_QUEUE]
        return sorted(queued, key=lambda job: (job.low, job.order))

    # -- what may happen

    @rule(low=st.booleans(), key=st.sampled_from([None, None, "k1", "k2"]))
    def put(self, low: bool, key: str | None) -> None:
        known = next((job.id for job in self.jobs.values() if key is not None and job.key == key), None)
        job = Job(new_job_id(), "e", b"1", policy=Policy(low_priority=low), idempotency_key=key)
        answer = self.run(self.store.put(job))
        if known is not None:
            assert answer.id == known
            return
        assert answer.id == job.id and answer.expires_at is not None
        model = Model(job.id, low, key, order=(answer.queued_at, answer.seq), expires_at=answer.expires_at)
        self.jobs[job.id] = model

    @rule(worker=WORKERS, limit=st.integers(1, 4))
    def claim(self, worker: str, limit: int) -> None:
        expected = self.waiting()[:limit]
        jobs = self.run(self.store.claim("e", worker, limit, LEASE_S, 0.0))
        assert [job.id for job in jobs] == [job.id for job in expected]
        for job, model in zip(jobs, expected, strict=True):
            model.status, model.worker = Status.IN_PROGRESS, worker
            model.attempt += 1
            assert job.attempt == model.attempt and job.started_at is not None
            model.lease_until, model.timeout_at = job.lease_until, job.started_at + TIMEOUT_S
            self.leases.append((job.id, worker, job.attempt))

    def current(self, job_id: str, worker: str, attempt: int) -> bool:
        model = self.jobs[job_id]
        return model.status is Status.IN_PROGRESS and (model.worker, model.attempt) == (worker, attempt)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), fail=st.booleans(), size=st.sampled_from([1, 3000]))
    def finish(self, data: st.DataObject, fail: bool, size: int) -> None:
        job_id, worker, attempt = data.draw(st.sampled_from(self.leases))
        output = b'"' + b"o" * size + b"%d" % attempt + b'"'
        status: Any = Status.FAILED if fail else Status.COMPLETED
        counts = self.current(job_id, worker, attempt)
        outcome = Outcome(status, output, "broken" if fail else None)
        assert self.run(self.store.finish(Lease("e", job_id, worker, attempt), outcome)) is counts
        if counts:
            self.jobs[job_id].end(status, output)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), lost=st.booleans())
    def release(self, data: st.DataObject, lost: bool) -> None:
        some = data.draw(st.lists(st.sampled_from(self.leases), min_size=1, max_size=3, unique=True))
        changed = [lease for lease in some if self.current(*lease)]
        answer = self.run(self.store.release([Lease("e", *lease) for lease in some], lost, "gone"))
        assert {job.id for job in answer} == {job_id for job_id, _, _ in changed}
        for job_id, _, _ in changed:
            self.jobs[job_id].lose() if lost else self.jobs[job_id].back()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        job_id, worker, _ = data.draw(st.sampled_from(self.leases))
        model = self.jobs[job_id]
        held = model.status is Status.IN_PROGRESS and model.worker == worker
        assert self.run(self.store.renew("e", worker, [job_id], LEASE_S)) == ([] if held else [job_id])
        if held:
            job = self.run(self.store.get("e", job_id))
            assert job is not None and job.lease_until >= model.lease_until
            model.lease_until = job.lease_until

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), text=st.binary(min_size=1, max_size=5))
    def chunk(self, data: st.DataObject, text: bytes) -> None:
        job_id, worker, attempt = data.draw(st.sampled_from(self.leases))
        counts = self.current(job_id, worker, attempt)
        assert self.run(self.store.chunk(Lease("e", job_id, worker, attempt), text)) is counts
        if counts:
            self.jobs[job_id].chunks.append(text)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), start=st.sampled_from([None, 0, 2]))
    def read_stream(self, data: st.DataObject, start: int | None) -> None:
        model = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        answer = self.run(self.store.read_stream("e", model.id, start))
        assert answer is not None
        expected = model.chunks[model.read if start is None else start :]
        assert answer[1] == expected
        if start is None:
            model.read += len(expected)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        model = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        if not model.final:
            model.end(Status.CANCELLED)
        answer = self.run(self.store.cancel("e", model.id))
        assert answer is not None and answer.status is model.status

    @rule()
    def purge(self) -> None:
        waiting = self.waiting()
        assert self.run(self.store.purge("e")) == len(waiting)
        for model in waiting:
            model.end(Status.CANCELLED)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        model = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        try:
            job = self.run(self.store.retry("e", model.id))
        except Conflict:
            assert model.status not in (Status.FAILED, Status.TIMED_OUT)
            return
        assert model.status in (Status.FAILED, Status.TIMED_OUT) and job.expires_at is not None
        model.back()
        model.losses, model.read, model.output, model.attempt = 0, 0, None, max(1, model.attempt)
        model.order, model.expires_at = (job.queued_at, job.seq), job.expires_at

    @rule(seconds=st.sampled_from([0.0, 10.0, 60.0, 400.0]))
    def pass_time(self, seconds: float) -> None:
        self.now = max(self.now, time.time()) + seconds
        for model in self.jobs.values():
            running = model.status is Status.IN_PROGRESS
            if not model.final and (model.expires_at <= self.now or (running and model.timeout_at <= self.now)):
                model.end(Status.TIMED_OUT)
            elif running and model.lease_until <= self.now:
                model.lose()
        at = self.run(self.store.expire(self.now))
        live = [model for model in self.jobs.values() if not model.final]
        assert at is not None or not self.jobs
        if live:
            assert at is not None and at <= min(self.due(model) for model in live)

    @staticmethod
    def due(model: Model) -> float:
        if model.status is Status.IN_QUEUE:
            return model.expires_at
        return min(model.expires_at, model.timeout_at, model.lease_until)

    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        self.store = SqliteStore(self.folder, {"e": ENDPOINT})
        self.store.listen(self.heard)
        self.run(self.store.open())
        # A clock that went ahead in `pass_time` goes on from there, as a real one does.
        self.run(self.store.expire(self.now))

    # -- what must always hold

    @invariant()
    def counts_are_exact(self) -> None:
        counts = self.store.counts("e")
        waiting = self.waiting()
        assert counts.queued == sum(not job.low for job in waiting)
        assert counts.queued_low == sum(job.low for job in waiting)
        assert counts.in_progress == sum(job.status is Status.IN_PROGRESS for job in self.jobs.values())
        first = next((job.order[0] for job in waiting if not job.low), None)
        assert counts.oldest_queued_at == first

    @invariant()
    def jobs_are_as_the_model_says(self) -> None:
        for model in self.jobs.values():
            job = self.run(self.store.get("e", model.id))
            assert job is not None
            assert (job.status, job.attempt, job.losses) == (model.status, model.attempt, model.losses)
            assert job.chunks == len(model.chunks)
            if model.final:
                assert job.output == model.output
            if model.status is Status.IN_PROGRESS:
                assert job.worker_id == model.worker

    @invariant()
    def every_end_was_told(self) -> None:
        finals = {model.id for model in self.jobs.values() if model.final}
        assert finals <= set(self.ended) <= set(self.jobs)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
