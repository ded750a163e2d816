"""How much memory a process and its children take, shared pages counted once (PSS)."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")


def pss_bytes(pid: int) -> int | None:
    """The proportional set size of a process and all below it; None when it is gone or may not be asked."""
    total, found = 0, False
    waiting, seen = [pid], set()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        own = _one(current)
        if own is not None:
            total, found = total + own, True
        waiting += _children(current)
    return total if found else None


def _one(pid: int) -> int | None:
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except (OSError, ValueError):
        pass
    return found
