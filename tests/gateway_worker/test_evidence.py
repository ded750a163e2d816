"""What pings and takes prove about a worker's jobs."""

from __future__ import annotations

import pytest

from zeroidle.gateway.worker_evidence import CUT_OFF, LIST_MAX, UNREPORTED, UNSEEN, Evidence, Lost, version_of
from zeroidle.worker import Held


def evidence(version: tuple[int, ...] | None = (1, 12, 0)) -> Evidence:
    return Evidence(2.0, version)


@pytest.mark.parametrize(
    ("agent", "version"),
    [
        ("RunPod-Python-SDK/1.12.0 (Linux 6.1; x86_64) Language/Python 3.11", (1, 12, 0)),
        ("1.7.9", (1, 7, 9)), ("curl/8.0", None), ("", None), (None, None), ("1.x", None), ("RunPod-Python-SDK/", None),
    ],
)  # fmt: skip
def test_the_version_is_read_where_it_is_said(agent: str | None, version: tuple[int, ...] | None) -> None:
    assert version_of(agent) == version


def test_two_pings_without_a_job_that_was_named_prove_a_result_that_is_no_json() -> None:
    seen, held = evidence(), [Held("j", 1, 100.0)]
    assert seen.pinged({"j"}, held, 102) == []
    assert seen.pinged(set(), held, 104) == []
    assert seen.pinged(set(), held, 106) == [Lost("j", 1, UNREPORTED, final=True)]


def test_a_ping_that_names_it_again_starts_the_count_anew() -> None:
    seen, held = evidence(), [Held("j", 1, 100.0)]
    for at, named in ((102, {"j"}), (104, set()), (106, {"j"}), (108, set())):
        assert seen.pinged(named, held, at) == []


def test_a_ping_written_just_before_the_job_arrived_proves_nothing() -> None:
    seen, held = evidence(), [Held("j", 1, 100.0)]
    assert seen.pinged(set(), held, 100.1) == [] and held[0].missed_pings == 0


def test_a_job_that_was_never_named_is_run_again() -> None:
    seen, held = evidence(), [Held("j", 1, 100.0)]
    assert seen.pinged(set(), held, 102) == []
    assert seen.pinged(set(), held, 104) == [Lost("j", 1, UNSEEN, final=False)]


def test_after_an_outage_or_a_refused_report_the_job_is_run_again() -> None:
    seen, held = evidence(), [Held("j", 1, 100.0)]
    seen.pinged({"j"}, held, 102)
    seen.pinged({"j"}, held, 120)  # no ping for 18 s
    seen.pinged(set(), held, 122)
    assert seen.pinged(set(), held, 124) == [Lost("j", 1, CUT_OFF, final=False)]
    refused, held = evidence(), [Held("k", 1, 100.0)]
    refused.pinged({"k"}, held, 102)
    refused.failed_reports.add("k")
    assert refused.took("0", held) == [Lost("k", 1, CUT_OFF, final=False)]


def test_an_old_sdk_may_have_given_up_unseen_so_its_job_is_run_again() -> None:
    seen, held = evidence((1, 5, 3)), [Held("j", 1, 100.0)]
    seen.pinged({"j"}, held, 102)
    seen.pinged(set(), held, 104)
    assert seen.pinged(set(), held, 106) == [Lost("j", 1, UNREPORTED, final=False)]
    assert seen.took("0", held) == []  # the order of its steps is not known


def test_jobs_of_a_list_wait_for_their_turn() -> None:
    seen = evidence()
    held = [Held("a", 1, 100.0), Held("b", 1, 100.0)]
    for at in (102, 104, 106, 108):
        assert seen.pinged({"a"}, held, at) == []
        assert seen.keeps(held[1], {"a"})  # and their lease is kept
    seen.ended(held[0], 109)
    left = held[1:]
    assert seen.pinged(set(), left, 110) == []
    assert seen.pinged(set(), left, 112) == [Lost("b", 1, UNSEEN, final=False)]


def test_a_take_that_says_that_nothing_is_in_progress_ends_the_wait() -> None:
    held = [Held("j", 1, 100.0, last_ping_at=101.0)]
    assert evidence().took("0", held) == [Lost("j", 1, UNREPORTED, final=True)]
    assert evidence().took("1", held) == [] == evidence().took(None, held) == evidence(None).took("0", held)


def test_a_list_lasts_about_a_second_and_is_no_more_than_the_workers_part() -> None:
    seen = evidence()
    assert seen.list_size(1, 0.1, 100) == 10
    assert seen.list_size(1, 0.1, 4) == 4
    assert seen.list_size(1, 0.0, 10_000) == LIST_MAX
    assert seen.list_size(1, 2.0, 100) == 1 == seen.list_size(1, None, 100)
    assert seen.list_size(4, 0.1, 2) == 4  # what was asked for is never cut
    assert evidence((1, 5, 3)).list_size(1, 0.1, 100) == 1  # it drops a list


def test_the_time_of_a_job_in_a_list_counts_from_the_one_before() -> None:
    seen, held = evidence(), [Held("a", 1, 100.0), Held("b", 1, 100.0)]
    assert seen.run_s(held[0], 100.4) == pytest.approx(0.4)
    seen.ended(held[0], 100.4)
    assert seen.run_s(held[1], 100.5) == pytest.approx(0.1)
