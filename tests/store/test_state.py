"""Corners of the queue's rules that need a clock of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zeroidle.endpoint import Endpoint
from zeroidle.job import Job, Status
from zeroidle.store.protocol import Lease
from zeroidle.store.state import State
from zeroidle.store.transitions import Before, Told

ENDPOINT = Endpoint("e", Path(), Path(), "", retries=1, ttl_s=1000.0, timeout_s=500.0)


class Ends:
    """Remembers which jobs ended."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def added(self, job: Job) -> None:
        pass

    def touched(self, job: Job) -> None:
        pass

    def ended(self, job: Job, before: Before) -> None:
        self.jobs.append(job)

    def revived(self, job: Job, was: Status) -> None:
        pass

    def told(self, kind: Told, jobs: Sequence[Job], worker_id: str | None) -> None:
        pass


def a_state() -> tuple[State, Ends]:
    ends = Ends()
    return State({"e": ENDPOINT}, ends), ends


def test_a_lease_that_ran_out_counts_once_however_often_the_job_was_handed_out() -> None:
    state, ends = a_state()
    job = Job("j", "e", b"1")
    state.put(job, 100.0)
    for n in range(3):  # each hand-out leaves an entry on the heap
        assert state.claim("e", "w", 1, 50.0, 100.0) == [job]
        if n < 2:
            state.release([Lease("e", "j", "w")], False, "back", 100.0)
    state.expire(151.0)
    assert (job.status, job.losses, ends.jobs) == (Status.IN_QUEUE, 1, [])


def test_a_clock_that_is_set_back_stands_still() -> None:
    state, ends = a_state()
    first, second = Job("a", "e", b"1"), Job("b", "e", b"2")
    state.put(first, 1000.0)
    state.put(second, 10.0)
    assert second.queued_at == 1000.0
    (taken,) = state.claim("e", "w", 1, 50.0, 500.0)
    assert taken is first and taken.started_at == 1000.0 and taken.delay_ms == 0
    assert state.expire(20.0) == 1050.0 and ends.jobs == []


def test_stale_entries_do_not_pile_up() -> None:
    state, _ = a_state()
    for n in range(5000):
        job = Job(f"j{n}", "e", b"1")
        state.put(job, 100.0)
        state.cancel(job, 100.0)
        state.settle(job.endpoint, [job])
    assert len(state._deadlines) < 1100
    keeper = Job("last", "e", b"1")
    state.put(keeper, 100.0)
    assert state.next_due() == 1100.0
