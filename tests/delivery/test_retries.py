"""When a webhook is sent again."""

from __future__ import annotations

from email.utils import formatdate

from zeroidle.delivery.retries import Schedule, retry_after_s

next_try_s, given_up, GIVE_UP_S = Schedule().next_try_s, Schedule().given_up, Schedule().give_up_s


def test_waits_grow_from_seconds_to_an_hour_and_go_on_for_a_day() -> None:
    waits = []
    while not given_up(0.0, sum(waits) + next_try_s(len(waits) + 1, 0.5)):
        waits.append(next_try_s(len(waits) + 1, 0.5))
    assert waits[:4] == [5.0, 12.5, 31.25, 78.125]
    assert waits == sorted(waits) and waits[-1] == 3600.0
    assert GIVE_UP_S - 3600 < sum(waits) <= GIVE_UP_S
    assert len(waits) > 24


def test_waits_are_spread_to_both_sides() -> None:
    assert (next_try_s(1, 0.0), next_try_s(1, 1.0)) == (4.0, 6.0)


def test_a_receiver_may_ask_for_more_time_but_not_for_ever() -> None:
    assert next_try_s(1, 0.5, 60.0) == 60.0
    assert next_try_s(1, 0.5, 1.0) == 5.0
    assert next_try_s(1, 0.5, 1e9) == 3600.0


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert retry_after_s("120", 0.0) == 120.0
    assert retry_after_s(formatdate(1_000_090, usegmt=True), 1_000_000.0) == 90.0
    assert retry_after_s(formatdate(1_000_000, usegmt=True), 1_000_090.0) == 0.0
    assert [retry_after_s(text, 0.0) for text in (None, "", "soon", "-3")] == [None] * 4
