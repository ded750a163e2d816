"""The jobs that this process is running at this moment."""

from __future__ import annotations

import contextvars
import json
from typing import Any, Callable, Dict, Optional


class Running:
    """One job that has begun. `deadline` is in Unix seconds, when the plane named one."""

    __slots__ = ("attempt", "cancelled", "deadline", "id", "job")

    def __init__(self, id: str, attempt: int, deadline: Optional[float] = None, job: Any = None) -> None:
        self.id = id
        self.attempt = attempt
        self.deadline = deadline
        self.job = job
        self.cancelled = False

    @property
    def id_json(self) -> bytes:
        """The id as JSON text; most need nothing but their quotation marks."""
        plain = self.id.isascii() and self.id.replace("-", "").isalnum()
        return b'"%b"' % self.id.encode() if plain else json.dumps(self.id).encode()


class Worker:
    """What the rest of the process may ask of the loop: set by the loop when it starts.

    `poll` looks for news from the plane at once; `progress` reports on a job; `phase` reports a stretch of the
    start (name, start and end in Unix seconds).
    """

    def __init__(self) -> None:
        self.jobs: Dict[str, Running] = {}
        self.poll: Callable[[], None] = lambda: None
        self.progress: Callable[[Running, Any], None] = lambda running, value: None
        self.phase: Callable[[str, float, float], None] = lambda name, start, end: None


#: The worker of this process.
worker = Worker()

_current: contextvars.ContextVar[Optional[Running]] = contextvars.ContextVar("zeroidle_job", default=None)

#: Marks the job that the calling task or thread runs.
enter = _current.set
leave = _current.reset


def running() -> Optional[Running]:
    """The job that the caller works for. A thread that the handler started has no mark of its own: with one job in
    the process it is that one."""
    found = _current.get()
    if found is None and len(worker.jobs) == 1:
        found = next(iter(worker.jobs.values()), None)
    return found
