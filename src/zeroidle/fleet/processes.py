"""Finding and killing processes by session, or by a mark in their environment, through /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator

#: Variables that mark the processes of a plane (value: its data folder) and of one worker (value: its id).
PLANE = "ZEROIDLE_PLANE"
WORKER = "ZEROIDLE_WORKER"

KILL_DEADLINE_S = 10.0


def mark(name: str, value: str) -> bytes:
    """The bytes to look for in an environment."""
    return f"\0{name}={value}\0".encode()


def end_session(leader: int, marks: Collection[bytes]) -> list[int]:
    """Kills every process of the session `leader` and every one with all `marks`; answers those that would not die.

    The leader itself may be a zombie, and should be: then its number cannot belong to a stranger.
    """
    born = _start_ticks(leader)

    def members() -> set[int]:
        return {pid for pid, session, ticks in _live() if session == leader or (ticks >= born and _has(pid, marks))}

    return _kill_until_gone(members)[1]


def kill_marked(marker: bytes) -> int:
    """Kills every process with `marker` and the sessions that these lead; answers how many.

    This process and its ancestors are spared.
    """
    spared = _ancestors()
    sessions: set[int] = set()

    def members() -> set[int]:
        live = [(pid, session) for pid, session, _ in _live() if pid not in spared]
        found = {pid for pid, _ in live if _has(pid, (marker,))}
        sessions.update(session for pid, session in live if pid in found and session == pid)
        return found | {pid for pid, session in live if session in sessions}

    return _kill_until_gone(members)[0]


def _kill_until_gone(members: Callable[[], set[int]]) -> tuple[int, list[int]]:
    """How many were killed, and which of them would not die."""
    deadline = time.monotonic() + KILL_DEADLINE_S
    seen: set[int] = set()
    pause = 0.001
    while found := members():
        # Stopped first, so that a process that forks all the time cannot outrun the killing.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        seen |= found
        if time.monotonic() > deadline:
            return len(seen), sorted(found)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return len(seen), []


def _live() -> Iterator[tuple[int, int, int]]:
    """Process id, session and start time (ticks since boot) of every process that has not ended."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        fields = _stat(int(entry))
        if fields and fields[0] not in (b"Z", b"X"):
            yield int(entry), int(fields[3]), int(fields[19])


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the third (state) on; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the name in brackets, and may hold brackets and blanks itself.
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return []


def _start_ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _has(pid: int, marks: Collection[bytes]) -> bool:
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return False
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = b"\0" + file.read()
            return all(mark in variables for mark in marks)
    except OSError:
        return False


def _ancestors() -> set[int]:
    chain = {os.getpid()}
    pid = os.getppid()
    while pid > 1 and pid not in chain:
        chain.add(pid)
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0
    return chain
