"""What the machine and its processes use: processor time, memory, the disk's pace, and the load of others."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOP = 1_000_000


@dataclass
class Used:
    """Filled when the `with` block ends: seconds of wall clock, of the processes, of this one, and of all others."""

    wall_s: float = 0.0
    tree_s: float = 0.0
    own_s: float = 0.0
    others_s: float = 0.0

    @property
    def others_cores(self) -> float:
        """Cores that neither the server nor its client used: the load of whoever else is on the machine."""
        return self.others_s / self.wall_s


def tree(pid: int) -> list[psutil.Process]:
    """A process and everything below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _processor_s(processes: list[psutil.Process]) -> float:
    total_s = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total_s += times.user + times.system
    return total_s


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


@contextlib.contextmanager
def used_by(pid: int) -> Iterator[Used]:
    """Measures what the tree of `pid`, this process with its ended children, and all others use meanwhile."""
    used, processes = Used(), tree(pid)
    wall, before, busy = time.perf_counter(), _processor_s(processes), _busy_s()
    own = sum(os.times()[:4])
    yield used
    used.wall_s = time.perf_counter() - wall
    used.tree_s = _processor_s(processes) - before
    used.own_s = sum(os.times()[:4]) - own
    used.others_s = max(0.0, _busy_s() - busy - used.tree_s - used.own_s)


def pss_mib(pid: int) -> float:
    """Proportional set size of a tree in MiB: memory that is shared is counted once, in parts."""
    total_kib = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total_kib += int(line.split()[1])
    return total_kib / 1024


def sync_ms(folder: Path, times: int = 40) -> float:
    """The median of a 4 KiB append with fdatasync in `folder`, in milliseconds."""
    path = folder / "sync-probe"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    took: list[float] = []
    try:
        for _ in range(times):
            began = time.perf_counter()
            os.write(fd, b"x" * 4096)
            os.fdatasync(fd)
            took.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(fd)
        path.unlink()
    return statistics.median(took)


def loop_ms() -> float:
    """Processor time of a fixed loop in Python, in milliseconds: it grows when neighbours share the core's parts, and
    everything that is measured beside it grows with it."""
    began, total = time.process_time(), 0
    for i in range(_LOOP):
        total += i
    return (time.process_time() - began) * 1000
