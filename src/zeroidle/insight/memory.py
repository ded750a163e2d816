"""How much memory a worker holds alone and how much it shares, as the kernel counts it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process and all below it. `private`: pages that only one process maps; `shared`: pages that others
    map as well (libraries, what a fork inherited); `pss`: the private ones and its part of the shared ones, so that
    the sum over all workers is what is used."""

    private_bytes: int
    shared_bytes: int
    pss_bytes: int


def read(pid: int) -> Memory | None:
    """The memory of a process and its children; None when it is gone or may not be asked. Takes milliseconds."""
    kib = {"Private": 0, "Shared": 0, "Pss": 0}
    found = False
    waiting, seen = [pid], set()
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            found |= _add(current, kib)
            waiting += _children(current)
    return Memory(kib["Private"] * 1024, kib["Shared"] * 1024, kib["Pss"] * 1024) if found else None


def _add(pid: int, kib: dict[str, int]) -> bool:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return False
    for line in lines:
        name, _, rest = line.partition(":")
        group = name.partition("_")[0]
        if name == "Pss" or (group in ("Private", "Shared") and not name.endswith("Hugetlb")):
            kib[group] += int(rest.split()[0])
    return True


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except (OSError, ValueError):
        pass  # it has ended in between
    return found
