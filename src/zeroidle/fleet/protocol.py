"""A fleet: a place where we start and stop worker processes ourselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from zeroidle.endpoint import Endpoint


class Exit(Struct, frozen=True):
    """How a worker process ended. `code` is the exit status, or minus the signal number; None when its parent, the
    fork server, ended before it and so nobody could ask."""

    worker_id: str
    code: int | None
    out_of_memory: bool = False

    def __str__(self) -> str:
        if self.out_of_memory:
            return "out of memory"
        if self.code is None:
            return "an unknown end"
        return f"exit {self.code}" if self.code >= 0 else f"signal {-self.code}"


class Running(Struct, frozen=True):
    """A worker that the fleet has started. `log_path` holds its standard output and error. `forked`: it came from a
    fork server with its imports done; if not, `note` says why not, once there is a reason."""

    worker_id: str
    endpoint: str
    pid: int
    log_path: Path
    forked: bool = False
    note: str = ""


class Fleet(Protocol):
    """Start, stop, list. Nothing here knows of jobs."""

    async def start(self, endpoint: Endpoint, worker_id: str, env: dict[str, str]) -> Running:
        """Starts one worker in its own process group and working directory. Raises WorkerError with one sentence
        when the interpreter or the handler file is not there."""

    async def stop(self, worker_id: str, grace_s: float) -> None:
        """Asks it to end (SIGTERM), after `grace_s` kills its whole process group; returns when all are gone."""

    def list(self) -> Sequence[Running]:
        """Workers that live now."""

    def on_exit(self, listener: Callable[[Exit], None]) -> None:
        """Calls `listener` on the loop whenever a worker has ended, for whatever reason."""

    async def close(self) -> None:
        """Kills everything that is left."""
