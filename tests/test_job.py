"""Job states, policy limits and the derived times."""

from __future__ import annotations

import pytest

from zeroidle.errors import RequestError
from zeroidle.job import FINAL, TRANSITIONS, Job, Policy, Spooled, Status, new_job_id, read_payload


def test_every_state_has_transitions_and_no_final_state_runs_again_by_itself() -> None:
    assert set(TRANSITIONS) == set(Status)
    for status in FINAL:
        assert Status.IN_PROGRESS not in TRANSITIONS[status]


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"execution_timeout_ms": 4999}, "executionTimeout"),
        ({"ttl_ms": 9_999}, "ttl"),
        ({"ttl_ms": 604_800_001}, "ttl"),
    ],
)
def test_policy_outside_runpods_range_is_refused_with_key_and_value(kwargs: dict[str, int], word: str) -> None:
    with pytest.raises(RequestError, match=word) as caught:
        Policy(**kwargs)
    assert str(next(iter(kwargs.values()))) in caught.value.message


def test_times_are_in_milliseconds_from_the_last_queueing() -> None:
    job = Job("a", "e", b"1", queued_at=10.0, started_at=10.25, finished_at=11.0)
    assert (job.delay_ms, job.execution_ms) == (250, 750)


def test_ids_have_runpods_form_and_differ() -> None:
    assert new_job_id().endswith("-u1") and new_job_id(sync=True).startswith("sync-")
    assert len({new_job_id() for _ in range(1000)}) == 1000


def test_payload_is_read_from_memory_or_from_the_spool(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "x").write_bytes(b'"big"')
    assert read_payload(b"1", tmp_path) == b"1"
    assert read_payload(Spooled("x", 5), tmp_path) == b'"big"'


def test_a_copy_does_not_change_with_the_job() -> None:
    job = Job("a", "e", b"1")
    copy = job.copy()
    job.status = Status.FAILED
    assert copy.status is Status.IN_QUEUE
