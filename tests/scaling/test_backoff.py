"""How long starts are held back."""

from __future__ import annotations

from zeroidle.scaling.backoff import FREE_CRASHES, PERMANENT_S, Backoff


def waits(act: str, count: int, **kw: bool) -> list[float]:
    backoff, found = Backoff(), []
    for _ in range(count):
        getattr(backoff, act)(100.0, **kw)
        found.append(max(0.0, backoff.until - 100.0))
    return found


def test_failed_starts_wait_twice_as_long_each_time_up_to_a_minute() -> None:
    assert waits("start_failed", 8, permanent=False) == [1, 2, 4, 8, 16, 32, 60, 60]
    assert waits("start_failed", 6, permanent=True) == [5, 10, 20, 40, 60, 60]
    assert PERMANENT_S[1] == 60.0


def test_the_first_crashes_cost_nothing_so_that_a_poison_job_holds_up_nobody() -> None:
    assert waits("crashed", FREE_CRASHES + 3) == [0.0] * FREE_CRASHES + [0.5, 1.0, 2.0]


def test_what_goes_well_is_forgiven() -> None:
    backoff = Backoff()
    backoff.start_failed(0.0, permanent=True)
    assert backoff.probing and backoff.until == 5.0
    backoff.ready()
    assert not backoff.probing and backoff.until == 0.0
    for _ in range(4):
        backoff.crashed(0.0)
    backoff.ready()
    assert backoff.probing  # it starts well and crashes at its jobs
    backoff.worked()
    assert not backoff.probing
