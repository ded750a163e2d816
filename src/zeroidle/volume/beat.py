"""Heartbeats in files: a process shows that it lives, and others see by the content, not by any clock, that it does."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

BEAT_BYTES = 512

Payload = Callable[[], Mapping[str, Any]]


def write_beat(path: Path, seq: int, payload: Mapping[str, Any]) -> None:
    """Writes one beat over the last one, in place: a full disk must not stop the heart."""
    data = json.dumps({"seq": seq, **payload}).encode()[:BEAT_BYTES].ljust(BEAT_BYTES)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(fd, data, 0)
    finally:
        os.close(fd)  # a network file system sends it out here


def read_beat(path: Path) -> bytes:
    """The bytes of the last beat; empty when there is none yet."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def beat_payload(data: bytes) -> dict[str, Any]:
    """What a beat says; empty when it was read half written."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Beater:
    """Writes the beats of all the files that this process answers for, from one thread."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self._files: dict[Path, tuple[Payload, int]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, path: Path, payload: Payload) -> None:
        """Begins to beat in a file; the first beat is there on return."""
        write_beat(path, 0, payload())
        with self._lock:
            self._files[path] = (payload, 0)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="volume-beat", daemon=True)
                self._thread.start()

    def remove(self, path: Path) -> None:
        """Ends the beats in a file."""
        with self._lock:
            self._files.pop(path, None)

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.every_s):
            with self._lock:
                due = list(self._files.items())
            for path, (payload, seq) in due:
                # A beat that cannot be written is a missed beat; the next one may succeed.
                with contextlib.suppress(OSError):
                    write_beat(path, seq + 1, payload())
                with self._lock:
                    if path in self._files:
                        self._files[path] = (payload, seq + 1)


class Watch:
    """Remembers since when each file's beat has not changed, by this process's own clock."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[bytes, float]] = {}

    def silent_s(self, path: Path, beat: bytes) -> float:
        """Seconds for which this watcher has seen that same beat; 0 at the first look."""
        now = time.monotonic()
        last = self._seen.get(path)
        if last is None or last[0] != beat:
            self._seen[path] = (beat, now)
            return 0.0
        return now - last[1]
