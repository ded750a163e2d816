"""How far a pull has come, written by its threads and read by whoever shows it."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Literal

import msgspec

Stage = Literal["resolve", "wait", "check", "fetch", "link", "flush", "done"]

_WINDOW_S = 5.0


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pull at one moment. `done_bytes` are there and need not be fetched again, `fetched_bytes` came over the
    network in this process, `rate` is bytes per second of the last five seconds, `left_s` the time left at that
    rate. `waits_for` says who else fetches."""

    stage: Stage = "resolve"
    source: str = ""
    revision: str = ""
    total_bytes: int = 0
    done_bytes: int = 0
    fetched_bytes: int = 0
    files: int = 0
    files_done: int = 0
    rate: float = 0.0
    left_s: float | None = None
    retries: int = 0
    problem: str = ""
    waits_for: str = ""


class Progress:
    """The counters of one pull. All methods may be called from any thread."""

    def __init__(self, source: str = "") -> None:
        self._lock = threading.Lock()
        self._now = Snapshot(source=source)
        self._done = 0
        self._fetched = 0
        self._moves: deque[tuple[float, int]] = deque()

    def set(self, **changes: object) -> None:
        """Sets fields of the snapshot other than the byte counts."""
        with self._lock:
            self._now = msgspec.structs.replace(self._now, **changes)

    def begin(self, total_bytes: int, files: int) -> None:
        """Starts counting anew against these totals."""
        with self._lock:
            self._done = 0
            self._now = msgspec.structs.replace(self._now, total_bytes=total_bytes, files=files, files_done=0)

    def fetched(self, size_bytes: int) -> None:
        """So many bytes have come over the network and lie in their file."""
        now = time.monotonic()
        with self._lock:
            self._done += size_bytes
            self._fetched += size_bytes
            if self._moves and now - self._moves[-1][0] < 0.1:
                self._moves[-1] = (self._moves[-1][0], self._fetched)
            else:
                self._moves.append((now, self._fetched))
            while self._moves and self._moves[0][0] < now - _WINDOW_S:
                self._moves.popleft()

    def found(self, size_bytes: int) -> None:
        """So many bytes were there already; negative when they proved wrong."""
        with self._lock:
            self._done += size_bytes

    def file_done(self) -> None:
        """One more file is complete and verified."""
        with self._lock:
            self._now = msgspec.structs.replace(self._now, files_done=self._now.files_done + 1)

    def retry(self, problem: str) -> None:
        """An attempt failed and is made again."""
        with self._lock:
            self._now = msgspec.structs.replace(self._now, retries=self._now.retries + 1, problem=problem)

    def snapshot(self) -> Snapshot:
        """The state now."""
        now = time.monotonic()
        with self._lock:
            rate = 0.0
            if len(self._moves) > 1 and now - self._moves[-1][0] < _WINDOW_S:
                rate = (self._moves[-1][1] - self._moves[0][1]) / max(0.1, now - self._moves[0][0])
            left = max(0, self._now.total_bytes - self._done)
            return msgspec.structs.replace(
                self._now,
                done_bytes=self._done,
                fetched_bytes=self._fetched,
                rate=rate,
                left_s=left / rate if rate > 0 else None,
            )
