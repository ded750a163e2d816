"""Verdicts: from facts, the most important thing to know."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from zeroidle.endpoint import Endpoint
from zeroidle.insight.facts import EndpointFacts, JobFacts, ScalingFacts
from zeroidle.insight.why import endpoint_verdict
from zeroidle.insight.why_job import job_verdict
from zeroidle.job import Job, Phase, Policy, Status
from zeroidle.store.protocol import Counts, Delivery, WorkerRecord
from zeroidle.worker import Held, Worker, WorkerState

NOW = 1000.0
ENDPOINT = Endpoint("hello", Path("/app/handler.py"), Path("/app"), "/venv/bin/python", max_workers=2)
EMPTY = Counts(0, 0, 0, None, 0, 0, 0)


def counts(queued: int = 0, **more: Any) -> Counts:
    return dataclasses.replace(EMPTY, queued=queued, oldest_queued_at=NOW - 3 if queued else None, **more)


def worker(state: WorkerState = WorkerState.READY, *jobs: str, **more: Any) -> Worker:
    held = {job: Held(job, 1, NOW - 2) for job in jobs}
    return Worker(f"w{len(jobs)}{state}", "hello", NOW - 20, state=state, jobs=held, **more)


def facts(queued: int = 0, **more: Any) -> EndpointFacts:
    return EndpointFacts(**({"now": NOW, "endpoint": ENDPOINT, "counts": counts(queued)} | more))


def job(status: Status = Status.IN_QUEUE, **more: Any) -> Job:
    return Job("j-u1", "hello", b"{}", status, created_at=NOW - 5, queued_at=NOW - 5, **more)


FAILED_START = WorkerRecord(
    "wdead", "hello", "gone", 7, NOW - 9, ended_at=NOW - 8, exit="exit 1", error="ValueError: bad weights"
)


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (facts(), "healthy", "at zero workers, because nobody calls"),
        (facts(live=[worker()]), "healthy", "1 worker ready and idle"),
        (facts(1, live=[worker(WorkerState.READY, "a"), worker()]), "healthy", "1 worker of 2 busy"),
        (facts(2, endpoint=dataclasses.replace(ENDPOINT, max_workers=0)), "max-workers-0", "2 jobs wait"),
        (facts(1, scaling=ScalingFacts(failures=3, backoff_until=NOW + 8), past=[FAILED_START]), "crash-loop",
         "3 starts in a row failed (exit 1). The next try is in 8.00 s. 1 job waits and is kept."),
        (facts(1, scaling=ScalingFacts(crashes=4, last_exit="signal 9"), live=[worker()]), "crash-loop",
         "4 workers in a row crashed (signal 9)"),
        (facts(1, scaling=ScalingFacts(failures=1, last_error_kind="no-start")), "no-start",
         "without calling runpod.serverless.start()"),
        (facts(1, live=[worker(WorkerState.STARTING)]), "worker-starting", "has been starting for 20.0 s"),
        (facts(1, live=[worker(WorkerState.STARTING, phases=[Phase("boot", NOW - 20, NOW - 19)])]), "worker-starting",
         "(in import for 19.0 s)"),
        (facts(3, live=[worker(WorkerState.READY, "a", mean_run_s=2.0), worker(WorkerState.READY, "b")]), "saturated",
         "At 2.00 s a job that is 3.00 s of work"),
        (facts(1), "waiting-for-capacity", "1 job waits at hello for a worker"),
        (facts(counts=counts(queued_low=2)), "low-priority", "starts no worker"),
        (facts(recent=[job(Status.FAILED, error="no")] * 3), "jobs-fail", "3 of the last 3 jobs"),
    ],
)  # fmt: skip
def test_an_endpoint(given: EndpointFacts, code: str, words: str) -> None:
    verdict = endpoint_verdict(given)
    assert (verdict.code, words in verdict.sentence) == (code, True), verdict.sentence


GONE = dataclasses.replace(FAILED_START, exit="signal 11", error=None)
LOST = {"worker_id": "wdead", "started_at": NOW - 4, "attempt": 1}
RUN = {"worker_id": "w1ready", "started_at": NOW - 4, "attempt": 1}
ENDED = RUN | {"finished_at": NOW - 1}
BUSY = worker(WorkerState.READY, "j-u1")
HOOK = Delivery("msg_1", "hello", "j-u1", "http://x", b"", NOW, attempts=4, last_status=500)


@pytest.mark.parametrize(
    ("given", "around", "code", "words"),
    [
        (JobFacts(job()), facts(1, live=[worker()]), "queued", "It is next; 1 worker ready"),
        (JobFacts(job(), ahead=2), facts(3, live=[worker(WorkerState.READY, "a", mean_run_s=1.0)]), "behind",
         "behind 2 jobs; 1 worker busy. At 1.00 s a job its turn comes in about 3.00 s"),
        (JobFacts(job(), ahead=0), facts(1, live=[worker(WorkerState.STARTING)]), "worker-starting", "waited 5.00 s"),
        (JobFacts(job()), facts(1, scaling=ScalingFacts(wanted=1)), "waiting-for-capacity", "1 wanted"),
        (JobFacts(job(policy=Policy(low_priority=True))), facts(), "low-priority", "starts no worker"),
        (JobFacts(job(losses=1), worker=GONE), facts(1), "requeued", "lost 1 time (signal 11)"),
        (JobFacts(job()), facts(1, endpoint=dataclasses.replace(ENDPOINT, max_workers=0)), "max-workers-0", "waited"),
        (JobFacts(job(Status.IN_PROGRESS, **RUN)), facts(live=[BUSY]), "running", "run for 4.00 s on worker w1ready"),
        (JobFacts(job(Status.IN_PROGRESS, **RUN)), facts(live=[dataclasses.replace(BUSY, mean_run_s=1.0)]), "slow",
         "1.00 s on average"),
        (JobFacts(job(Status.IN_PROGRESS, **LOST, lease_until=NOW + 9), worker=GONE), facts(), "worker-lost",
         "goes back to the queue"),
        (JobFacts(job(Status.FAILED, **ENDED, error="ValueError: bad input")), facts(), "handler-error", "bad input"),
        (JobFacts(job(Status.FAILED, **ENDED, error="Object of type set is not JSON serializable")), facts(),
         "not-serialisable", "cannot be written as JSON"),
        (JobFacts(job(Status.FAILED, losses=3, **LOST, error="lost"), worker=GONE), facts(), "poison",
         "Each of its 3 workers was lost while it ran this job (signal 11)"),
        (JobFacts(job(Status.TIMED_OUT, started_at=NOW - 601, finished_at=NOW)), facts(), "too-slow",
         "longer than the 10 min"),
        (JobFacts(job(Status.TIMED_OUT, started_at=NOW - 4, finished_at=NOW)), facts(), "expired-while-running", "ran"),
        (JobFacts(job(Status.TIMED_OUT, finished_at=NOW)), facts(), "expired-in-queue", "no worker took it"),
        (JobFacts(job(Status.CANCELLED, finished_at=NOW)), facts(), "cancelled", "waited 5.00 s in the queue"),
        (JobFacts(job(Status.COMPLETED, **ENDED)), facts(), "healthy", "waited 1.00 s and ran 3.00 s"),
        (JobFacts(job(Status.COMPLETED, **ENDED), delivery=HOOK), facts(), "webhook-pending", "4 tried; HTTP 500"),
        (JobFacts(job(Status.COMPLETED, **ENDED), delivery=dataclasses.replace(HOOK, state="dead")), facts(),
         "webhook-dead", "not delivered in 4 tries"),
    ],
)  # fmt: skip
def test_a_job(given: JobFacts, around: EndpointFacts, code: str, words: str) -> None:
    verdict = job_verdict(given, around)
    assert (verdict.code, words in verdict.sentence) == (code, True), verdict.sentence


def test_a_crash_without_a_word_says_how_to_see_more() -> None:
    verdict = endpoint_verdict(facts(1, scaling=ScalingFacts(failures=2, last_exit="exit 7")))
    assert verdict.code == "crash-loop" and not verdict.evidence
    assert verdict.advice == "They wrote nothing; run the file alone to see more: /venv/bin/python /app/handler.py"


def test_the_same_words_are_not_said_twice() -> None:
    trace = ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: bad weights"]
    given = facts(1, scaling=ScalingFacts(failures=2), past=[dataclasses.replace(FAILED_START)], failed_log=trace)
    assert endpoint_verdict(given).evidence == tuple(trace)


def test_why_workers_are_not_forked_is_said() -> None:
    note = "the imports started 1 threads (busy), which a fork would lose"
    verdict = endpoint_verdict(facts(live=[worker(start_note=note)]))
    assert verdict.code == "healthy"
    assert verdict.sentence.endswith(f"Its workers are spawned, not forked: {note}.")
    assert "spawned" not in endpoint_verdict(facts(live=[worker()])).sentence
