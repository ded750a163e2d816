"""Progress of a transfer, as a line that renews itself on a terminal and as rare lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zeroidle.insight.spans import span
from zeroidle.volume.progress import Progress, Snapshot
from zeroidle.volume.space import show_bytes

_RENEW_S = 0.2
_SAY_S = 10.0
_WIDTH = 24

_STAGES = {
    "resolve": "looking up", "wait": "waiting", "check": "checking", "fetch": "fetching", "link": "linking",
    "flush": "flushing to disk",
}  # fmt: skip


def line(now: Snapshot) -> str:
    """One line: what is done, how far, how fast, how long."""
    parts = [_STAGES.get(now.stage, now.stage)]
    if now.stage == "wait":
        parts[0] = f"waiting for {now.waits_for}, which fetches it"
    if now.total_bytes:
        share = min(1.0, now.done_bytes / now.total_bytes)
        bar = ("#" * int(share * _WIDTH)).ljust(_WIDTH, ".")
        parts.append(f"[{bar}] {share:4.0%} {show_bytes(now.done_bytes)} of {show_bytes(now.total_bytes)}")
    if now.files:
        parts.append(f"{now.files_done}/{now.files} files")
    if now.rate and now.stage in ("fetch", "check"):
        parts.append(f"{show_bytes(now.rate)}/s")
        if now.left_s is not None:
            parts.append(f"{span(now.left_s)} left")
    if now.retries:
        parts.append(f"{now.retries} retries")
    return "  ".join(parts)


@contextmanager
def shown(progress: Progress, show: bool = True, say: Callable[[Snapshot], None] | None = None) -> Iterator[None]:
    """Shows a progress on standard error while the body runs; `say` is called instead where it is given."""
    if not show and say is None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_run, args=(progress, ended, say), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run(progress: Progress, ended: threading.Event, say: Callable[[Snapshot], None] | None) -> None:
    terminal = sys.stderr.isatty()
    said_at, begin, problem = time.monotonic(), time.monotonic(), ""
    while not ended.wait(_RENEW_S):
        now = progress.snapshot()
        if say is not None:
            say(now)
        elif terminal:
            if now.problem and now.problem != problem:
                problem = now.problem
                print(f"\r\x1b[K{problem}; trying again", file=sys.stderr)
            print(f"\r\x1b[K{line(now)}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - said_at > _SAY_S:
            said_at = time.monotonic()
            print(line(now), file=sys.stderr, flush=True)
    if terminal and say is None and time.monotonic() - begin > _RENEW_S:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
