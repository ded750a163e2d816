"""A job's phases as rows, as bars of text, and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from zeroidle.insight.spans import span
from zeroidle.job import Job, Phase

#: Phases that only a cold start has.
COLD = frozenset({"capacity", "boot", "import", "weights", "warm-up"})

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NAME_WIDTH = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One phase: its begin in seconds after the job's submission, and its length in seconds."""

    name: str
    start_s: float
    seconds: float
    attempt: int
    note: str | None
    running: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """A job's phases in order. `cold` says whether the job waited for a start."""

    rows: tuple[Row, ...]
    total_s: float
    cold: bool

    def to_json(self) -> dict[str, object]:
        """The same as an object."""
        return {"total_s": self.total_s, "cold": self.cold, "phases": [asdict(row) for row in self.rows]}


def timeline(job: Job, now: float) -> Timeline:
    """The phases of a job, with those that follow from its own times when nobody recorded them."""
    # What began first comes first, and of two that began together the longer one, which holds the other.
    phases = sorted([*job.phases, *_implied(job)], key=lambda p: (p.start, -p.seconds(now)))
    zero = job.created_at or (phases[0].start if phases else now)
    rows = tuple(
        Row(p.name, max(0.0, p.start - zero), p.seconds(now), p.attempt, p.note, p.end is None) for p in phases
    )
    end = max([row.start_s + row.seconds for row in rows], default=0.0)
    return Timeline(rows, end, any(row.name in COLD for row in rows))


def _implied(job: Job) -> list[Phase]:
    names = {(phase.name, phase.attempt) for phase in job.phases}
    implied: list[Phase] = []
    attempt = max(1, job.attempt)
    if "queued" not in {name for name, _ in names} and job.created_at:
        end = job.started_at if job.started_at is not None else job.finished_at
        implied.append(Phase("queued", job.queued_at or job.created_at, end, attempt))
    if ("run", attempt) not in names and job.started_at is not None:
        implied.append(Phase("run", job.started_at, job.finished_at, attempt))
    return implied


def render(timeline: Timeline, width: int = 48) -> list[str]:
    """Lines of text: name, bar on a common scale, length, note."""
    total = timeline.total_s or 1e-9
    several = max((row.attempt for row in timeline.rows), default=1) > 1
    lines = []
    for row in timeline.rows:
        name = f"{row.name} #{row.attempt}" if several else row.name
        note = f"  {row.note}" if row.note else ""
        more = " …" if row.running else ""
        bar = _bar(row.start_s / total, (row.start_s + row.seconds) / total, width)
        lines.append(f"{name:<{_NAME_WIDTH + 3 * several}} {bar} {span(row.seconds):>9}{more}{note}".rstrip())
    return lines


def _bar(start: float, end: float, width: int) -> str:
    """A bar from `start` to `end` (0 to 1) in `width` columns; never invisible."""
    first = min(width - 1, int(start * width))
    eighths = max(1, round((end - start) * width * 8))
    full, rest = divmod(eighths, 8)
    text = "█" * full + (_EIGHTHS[rest] if rest else "")
    return (" " * first + text)[:width].ljust(width)
