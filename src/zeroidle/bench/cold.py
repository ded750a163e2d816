"""Cold starts, one after the other: a job to an endpoint at zero workers, and where its time went."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from zeroidle.errors import Error

#: How long an endpoint may take to come back to zero workers.
ZERO_TIMEOUT_S = 60.0


class Plane(Protocol):
    """What is asked of a plane. Raises Error when a request is refused."""

    def submit(self, endpoint: str, body: Any) -> dict[str, Any]:
        """Sends a job and waits for its end: POST /v2/{endpoint}/runsync."""

    def ask(self, *path: str) -> Any:
        """GET of the admin API."""


@dataclass(slots=True)
class Cold:
    """What was measured: seconds from sending to answer, seconds in each phase, how the workers came to be."""

    total_s: list[float] = field(default_factory=list)
    phases_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    forked: int = 0
    notes: set[str] = field(default_factory=set)


def measure(plane: Plane, endpoint: str, example: Any, n: int, tell: Callable[[str], None]) -> Cold:
    """`n` cold starts, each from zero workers. Raises Error when a job does not complete."""
    found = Cold()
    for i in range(n):
        wait_for_zero(plane, endpoint)
        began = time.perf_counter()
        job = plane.submit(endpoint, {"input": example})
        took_s = time.perf_counter() - began
        if job.get("status") != "COMPLETED":
            raise Error(f"The job {job.get('id')} ended as {job.get('status')}: {str(job.get('error'))[:500]}")
        found.total_s.append(took_s)
        _note_phases(plane, endpoint, job, found)
        tell(f"{i + 1}/{n}")
    return found


def _note_phases(plane: Plane, endpoint: str, job: dict[str, Any], found: Cold) -> None:
    seconds: dict[str, float] = defaultdict(float)
    for phase in plane.ask("jobs", job["id"])["timeline"]["phases"]:
        seconds[phase["name"]] += phase["seconds"]
    for name, value in seconds.items():
        found.phases_s[name].append(value)
    for worker in plane.ask("endpoints", endpoint)["workers"]:
        if worker["id"] == job.get("workerId"):
            found.forked += bool(worker.get("forked"))
            if worker.get("note"):
                found.notes.add(worker["note"])


def wait_for_zero(plane: Plane, endpoint: str) -> None:
    """Returns when no process of the endpoint is left."""
    deadline = time.monotonic() + ZERO_TIMEOUT_S
    while plane.ask("endpoints", endpoint)["workers"]:
        if time.monotonic() > deadline:
            raise Error(f"{endpoint} did not come back to zero workers within {ZERO_TIMEOUT_S:.0f} s.")
        time.sleep(0.02)
