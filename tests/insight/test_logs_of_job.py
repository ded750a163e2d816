"""A job's lines among those of jobs that ran beside it."""

from __future__ import annotations

from zeroidle.insight.logs import only_job

MINE = "0b7f8a4e-95a3-4d0e-8f52-1d6d3c1f9a01-u1"
OTHER = "sync-5c0b3f53-2a0c-4d7f-b5a5-2b8f0e7a4c02-u1"


def test_only_the_jobs_own_lines_and_untagged_ones_are_left() -> None:
    text = f"loading\n[{MINE}] one\n[{OTHER}] two\n[not a job] three\n[{MINE}] four"
    assert only_job(text, MINE) == "loading\none\n[not a job] three\nfour"
    assert only_job(text, OTHER) == "loading\ntwo\n[not a job] three\n"
    assert only_job("", MINE) == ""
