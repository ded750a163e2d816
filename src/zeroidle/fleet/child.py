"""A worker's process, spawned by the plane or forked by a fork server, seen in one way."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import Protocol

from zeroidle.errors import WorkerError
from zeroidle.fleet.zygote import Zygote


class Process(Protocol):
    """One process and how its end is learnt. `pidfd` becomes readable when it has ended; until `reap`, the number
    `pid` belongs to nobody else."""

    pid: int
    pidfd: int

    async def code(self) -> int | None:
        """After its end: the exit status, minus the signal number, or None when nobody knows."""

    def reap(self) -> None:
        """Gives the number back and closes the pidfd."""


class Spawned:
    """A child of this process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        try:
            self.pidfd = open_pidfd(self.pid)
        except WorkerError:
            process.kill()
            process.wait()
            raise

    async def code(self) -> int | None:
        """The status, with the zombie left in place."""
        found = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT | os.WNOHANG)  # noqa: ASYNC222 (never waits)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def reap(self) -> None:
        """The process has ended, so this does not block."""
        self._process.wait()
        os.close(self.pidfd)


class Forked:
    """A child of a fork server, which says how it ended and keeps its zombie."""

    #: The fork server is told of an end by a signal at the moment at which the pidfd becomes readable here.
    CODE_TIMEOUT_S = 5.0

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote = zygote
        self.pid = pid
        self.pidfd = open_pidfd(pid)

    async def code(self) -> int | None:
        """What the fork server reports; None when it is gone."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._zygote.exit_code(self.pid)), self.CODE_TIMEOUT_S)
        except TimeoutError:
            return None

    def reap(self) -> None:
        """Lets the fork server reap it."""
        os.close(self.pidfd)
        self._zygote.reap(self.pid)


def open_pidfd(pid: int) -> int:
    """A descriptor of the process. Raises WorkerError where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError) as exc:
        raise WorkerError("Local workers need Linux 5.3 or newer (pidfd_open).") from exc
