"""How a duration is said to a person."""

from __future__ import annotations


def span(seconds: float) -> str:
    """ "3 ms", "0.42 s", "12.3 s", "2 min 5 s", "3 h 20 min", "2 d 4 h"."""
    seconds = max(0.0, seconds)
    if seconds < 0.1:
        return f"{seconds * 1000:.2g} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, unit, below, below_size in (
        (86_400, "d", "h", 3600),
        (3600, "h", "min", 60),
        (60, "min", "s", 1),
    ):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {unit}" + (f" {rest // below_size} {below}" if rest // below_size else "")
    raise AssertionError(seconds)


def plural(n: int, one: str, many: str | None = None) -> str:
    """ "1 job", "2 jobs", "2 tries"."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def jobs_wait(n: int) -> str:
    """ "1 job waits", "2 jobs wait"."""
    return "1 job waits" if n == 1 else f"{n} jobs wait"
