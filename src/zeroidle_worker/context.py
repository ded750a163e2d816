"""What a handler may know of the job that it runs: its id, attempt, deadline, whether it was cancelled, progress.

Importing this module tells the plane that the handler looks at `cancelled()`; so the plane waits a moment before it
ends the process of a cancelled job.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Iterator, Optional

from zeroidle_worker import current


def job_id() -> Optional[str]:
    """The id of the job, None outside of one."""
    running = current.running()
    return running.id if running else None


def attempt() -> int:
    """How often this job was handed out, from 1; 0 outside of a job."""
    running = current.running()
    return running.attempt if running else 0


def deadline() -> Optional[float]:
    """When the job times out, in Unix seconds; None when unknown."""
    running = current.running()
    return running.deadline if running else None


def remaining_s() -> Optional[float]:
    """Seconds until the job times out, never below 0; None when unknown."""
    at = deadline()
    return None if at is None else max(0.0, at - time.time())


def cancelled() -> bool:
    """Whether the caller's job was cancelled or timed out. Cheap enough for an inner loop (a few microseconds)."""
    running = current.running()
    if running is None:
        return False
    if not running.cancelled:
        current.worker.poll()
    return running.cancelled


def progress(value: Any) -> None:
    """Reports progress: `value`, anything that is JSON, is what clients see as `output` until the job ends."""
    running = current.running()
    if running is not None:
        current.worker.progress(running, value)


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Times a stretch of the start for the job's timeline: `with phase("weights"): load()`."""
    start = time.time()
    try:
        yield
    finally:
        current.worker.phase(name, start, time.time())
