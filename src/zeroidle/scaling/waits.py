"""Which part of a job's life was the start of its worker, which the run, and the last words of a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from zeroidle.job import Job, Phase
from zeroidle.worker import Worker


def start_phases(job: Job, worker: Worker) -> list[Phase]:
    """The phases of the worker's start that the job waited for, cut to the time since it was queued.

    "capacity" is the time before the worker was begun. Empty when the worker was ready before the job came.
    """
    if worker.ready_at is None or job.queued_at >= worker.ready_at:
        return []
    phases = []
    if worker.started_at > job.queued_at:
        phases.append(Phase("capacity", job.queued_at, worker.started_at, job.attempt))
    for phase in boot_phases(worker):
        end = worker.ready_at if phase.end is None else phase.end
        if end > job.queued_at:
            phases.append(Phase(phase.name, max(phase.start, job.queued_at), end, job.attempt, phase.note))
    return phases


def ran_s(job: Job) -> float:
    """How long the handler of an ended job ran, in seconds, without the time that the job waited inside its worker."""
    for phase in reversed(job.phases):
        if phase.name == "run" and phase.end is not None:
            return max(0.0, phase.end - phase.start)
    return max(0.0, (job.finished_at or 0.0) - (job.started_at or 0.0))


def boot_phases(worker: Worker) -> Sequence[Phase]:
    """What the worker reported, with the boot of the process before it where it did not report one. The boot says
    whether the worker was forked, or why not."""
    note = "forked" if worker.forked else f"not forked: {worker.start_note}" if worker.start_note else None
    if any(phase.name == "boot" for phase in worker.phases):
        return [replace(phase, note=note) if phase.name == "boot" else phase for phase in worker.phases]
    end = worker.phases[0].start if worker.phases else worker.ready_at
    return [Phase("boot", worker.started_at, end, note=note), *worker.phases]


def last_lines(path: str | Path | None, lines: int = 20, max_bytes: int = 32 * 1024) -> str | None:
    """The last lines of a log file; None when there are none."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - max_bytes))
            data = file.read()
    except OSError:
        return None
    # The beginning of a long log may have been given back to the file system: it reads as zero bytes.
    text = data.replace(b"\0", b"").decode("utf-8", "replace").rstrip()
    return "\n".join(text.splitlines()[-lines:]) or None
