"""The scaling rules against cases worked out by hand."""

from __future__ import annotations

from zeroidle.scaling.policy import Default, QueueDelay, RequestCount, Starting, View


def view(**kw: object) -> View:
    base: dict[str, object] = {"now": 0.0, "queued": 0, "oldest_at": None, "in_flight": 0, "ready": 0}
    return View(**(base | kw))  # type: ignore[arg-type]


def test_default_starts_the_first_worker_at_once_and_stays_at_zero_without_work() -> None:
    policy = Default()
    assert policy.desired(view()).n == 0
    assert policy.desired(view(queued=1, oldest_at=0.0)).n == 1
    assert policy.desired(view(queued=1, queued_low=5, oldest_at=0.0)).n == 1
    assert policy.desired(view(queued_low=5)).n == 0


def test_default_counts_slots_and_respects_the_limits() -> None:
    policy = Default()
    assert policy.desired(view(queued=5, in_flight=3, ready=2, concurrency=4)).n == 2
    assert policy.desired(view(queued=50, in_flight=3, ready=2)).n == 3
    assert policy.desired(view(min_workers=2)).n == 2
    assert policy.desired(view(queued=9, max_workers=0)).n == 0


def test_default_keeps_an_idle_worker_until_its_time_and_names_that_time() -> None:
    policy = Default(idle_timeout_s=5)
    held = policy.desired(view(now=7.0, ready=1, idle_since=[3.0]))
    assert (held.n, held.wake_at) == (1, 8.0)
    assert policy.desired(view(now=8.0, ready=1, idle_since=[3.0])).n == 0


def test_queue_delay_first_request_starts_one_worker_the_second_waits_four_seconds() -> None:
    policy = QueueDelay(delay_s=4, idle_timeout_s=5)
    policy.arrived(0.0)
    assert policy.desired(view(queued=1, oldest_at=0.0)).n == 1
    starting = [Starting(0.0, 30.0)]
    policy.arrived(1.0)
    early = policy.desired(view(now=1.0, queued=2, oldest_at=0.0, starting=starting))
    assert (early.n, early.wake_at) == (1, 5.0)
    assert policy.desired(view(now=5.0, queued=2, oldest_at=0.0, starting=starting)).n == 2
    # Asked again, the same request does not add a third worker.
    assert policy.desired(view(now=9.0, queued=2, oldest_at=0.0, starting=[*starting, Starting(5.0, 35.0)])).n == 2


def test_queue_delay_stops_idle_workers_after_the_time_out() -> None:
    policy = QueueDelay(delay_s=4, idle_timeout_s=5)
    held = policy.desired(view(now=10.0, ready=2, idle_since=[6.0, 8.0]))
    assert (held.n, held.wake_at) == (2, 11.0)
    assert policy.desired(view(now=11.0, ready=2, idle_since=[6.0, 8.0])).n == 1
    assert policy.desired(view(now=13.0, ready=1, idle_since=[8.0])).n == 0


def test_request_count_is_the_documented_formula() -> None:
    policy = RequestCount(4)
    assert [policy.desired(view(queued=q, in_flight=f)).n for q, f in [(0, 0), (1, 0), (4, 0), (4, 1), (40, 0)]] == [
        0,
        1,
        1,
        2,
        3,
    ]


def test_default_leaves_short_jobs_to_the_worker_that_is_there() -> None:
    policy = Default()
    policy.left(0.0, waited_s=0.0, ran_s=0.01)
    burst = {"queued": 5, "in_flight": 1, "ready": 1, "boot_s": 1.0}
    patient = policy.desired(view(now=10.0, oldest_at=10.0, **burst))
    assert (patient.n, patient.wake_at) == (1, 11.0)
    # One of them runs long after all: nobody waits longer than a start would take.
    assert policy.desired(view(now=11.0, oldest_at=10.0, **burst)).n == 3


def test_default_starts_more_when_the_queue_takes_longer_than_a_start() -> None:
    policy = Default()
    policy.left(0.0, waited_s=0.0, ran_s=0.5)
    assert policy.desired(view(queued=5, in_flight=1, ready=1, boot_s=1.0, oldest_at=0.0)).n == 3
    # From zero there is nobody to leave it to.
    assert policy.desired(view(queued=1, ready=0, boot_s=60.0, oldest_at=0.0)).n == 1
