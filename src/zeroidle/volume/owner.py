"""Who a process is, so that others can tell whether it still lives."""

from __future__ import annotations

import functools
import os
import secrets
import uuid
from pathlib import Path

import msgspec


class Owner(msgspec.Struct, frozen=True):
    """One process. `host` is the same for all processes that can see each other's process ids in one boot; `start`
    is when the process began, in the system's own unit, so that a reused id is not taken for it."""

    id: str
    host: str
    pid: int
    start: str

    def alive(self) -> bool | None:
        """True or False for a process of this host, None when that cannot be seen from here."""
        if self.host != this_host():
            return None
        return started(self.pid) == self.start


@functools.cache
def this_boot() -> str:
    """An id of this boot of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil  # only outside Linux

        return f"{uuid.getnode():x}-{int(psutil.boot_time())}"


def this_host() -> str:
    """An id of the processes that this one can see: the boot and, in containers, the process namespace."""
    return f"{this_boot()}/{_namespace(os.getpid())}"


@functools.cache
def _namespace(pid: int) -> str:
    # The id of this process is the key of the cache because a fork may have entered another namespace.
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "-"


def started(pid: int) -> str | None:
    """When a process of this host began; None when there is none or it has ended and waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _started_elsewhere(pid)
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def _started_elsewhere(pid: int) -> str | None:
    import psutil  # only outside Linux

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def owner_of(pid: int | None = None) -> Owner:
    """The identity of a process of this host, by default of this one."""
    number = os.getpid() if pid is None else pid
    return Owner(secrets.token_hex(8), this_host(), number, started(number) or "ended")
