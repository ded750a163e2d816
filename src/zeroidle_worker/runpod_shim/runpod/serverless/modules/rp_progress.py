"""Progress of a running job."""

from __future__ import annotations

from typing import Any, Dict

from zeroidle_worker import current


def progress_update(job: Dict[str, Any], progress: Any) -> None:
    """Shows `progress` as the job's output until it ends. Does nothing once the job has ended."""
    running = current.worker.jobs.get(job["id"])
    if running is not None:
        current.worker.progress(running, progress)
