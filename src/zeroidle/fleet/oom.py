"""Whether the kernel's out-of-memory killer has struck: a counter that the kernel keeps."""

from __future__ import annotations

import re
from pathlib import Path

_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


class OomCounter:
    """Reads the counter of this process's memory cgroup (v2, then v1), else that of the whole machine.

    It says that a process here was killed for memory, not which one. Together with a worker that ended by a
    SIGKILL that the plane did not send it is taken as the cause; without a readable counter nothing is claimed.
    """

    def __init__(self) -> None:
        self._file = next((path for path in _candidates() if _read(path) is not None), None)

    def read(self) -> int | None:
        """How often so far, or None when the kernel does not tell."""
        return None if self._file is None else _read(self._file)

    def grew(self, before: int | None) -> bool:
        """Whether it has struck since `before` was read."""
        now = self.read()
        return now is not None and before is not None and now > before


def _candidates() -> list[Path]:
    """The most telling first."""
    found = []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        # In a container the path may be that of the host; then the root of the mount is our own group.
        for inner in (path.lstrip("/"), ""):
            if number == "0":
                found.append(Path("/sys/fs/cgroup", inner, "memory.events"))
            elif "memory" in controllers.split(","):
                found.append(Path("/sys/fs/cgroup/memory", inner, "memory.oom_control"))
    return [*found, Path("/proc/vmstat")]


def _read(path: Path) -> int | None:
    try:
        match = _COUNT.search(path.read_bytes())
    except OSError:
        return None
    return int(match[1]) if match else None
