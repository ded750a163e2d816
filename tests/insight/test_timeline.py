"""A job's phases as rows and bars, and durations in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroidle.insight.spans import jobs_wait, plural, span
from zeroidle.insight.timeline import render, timeline
from zeroidle.job import Job, Phase, Status


def job(*phases: Phase, **fields: float) -> Job:
    return Job(
        "j-u1", "hello", b"{}", Status.COMPLETED, created_at=100.0, queued_at=100.0, phases=list(phases), **fields
    )  # type: ignore[arg-type]


def test_what_nobody_recorded_follows_from_the_jobs_own_times() -> None:
    found = timeline(job(started_at=102.0, finished_at=103.5), now=200.0)
    assert [(r.name, r.start_s, r.seconds) for r in found.rows] == [("queued", 0.0, 2.0), ("run", 2.0, 1.5)]
    assert found.total_s == 3.5 and not found.cold


def test_the_wait_stands_before_what_it_consisted_of() -> None:
    phases = (Phase("boot", 100.0, 100.5), Phase("import", 100.5, 101.0))
    found = timeline(job(*phases, started_at=101.0, finished_at=102.0), now=200.0)
    assert [r.name for r in found.rows] == ["queued", "boot", "import", "run"] and found.cold


def test_a_running_phase_grows() -> None:
    found = timeline(job(started_at=101.0), now=104.0)
    assert found.rows[-1].running and found.rows[-1].seconds == 3.0
    assert "…" in render(found)[-1]


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=8), st.integers(1, 80))
def test_bars_keep_to_their_width_and_are_never_invisible(stretches: list[tuple[float, float]], width: int) -> None:
    phases = [Phase(f"p{n}", 100 + begin, 100 + begin + length) for n, (begin, length) in enumerate(stretches)]
    for line, row in zip(render(timeline(job(*phases), 1e7), width), timeline(job(*phases), 1e7).rows, strict=True):
        bar = line[11 : 11 + width]
        assert line.startswith(row.name) and bar.strip(), line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 ms"), (0.0042, "4.2 ms"), (0.05, "50 ms"), (0.5, "0.50 s"), (12.34, "12.3 s"), (65, "1 min 5 s"),
     (7200, "2 h"), (90_000, "1 d 1 h"), (-1, "0 ms")],
)  # fmt: skip
def test_durations_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


@given(st.floats(0, 1e9))
def test_any_duration_has_words(seconds: float) -> None:
    assert span(seconds)


def test_counts_in_words() -> None:
    assert [plural(1, "job"), plural(2, "job"), plural(0, "try", "tries")] == ["1 job", "2 jobs", "0 tries"]
    assert [jobs_wait(1), jobs_wait(2)] == ["1 job waits", "2 jobs wait"]
