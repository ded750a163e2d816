"""Reads stretches of a worker's log file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 256 * 1024

#: How a worker that runs several jobs at once marks a line (zeroidle_worker/tagged.py).
_TAG = re.compile(r"\[((?:sync-)?[0-9a-f]{8}-[0-9a-f-]{27}-[a-z]\d+)\] ")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some text of a log and the byte offset after it; `size_bytes` is the file's length when it was read."""

    text: str
    next: int
    size_bytes: int


def size_bytes(path: str | Path | None) -> int:
    """The log's length; 0 when it is not there."""
    try:
        return os.path.getsize(path) if path else 0
    except OSError:
        return 0


def read_from(path: str | Path | None, start: int, end: int | None = None, whole_lines: bool = True) -> Stretch:
    """At most MAX_BYTES from `start` (to `end`), cut after the last whole line while more may come."""
    try:
        with open(path or os.devnull, "rb") as file:
            size = file.seek(0, 2)
            stop = min(size if end is None else min(end, size), start + MAX_BYTES)
            file.seek(start)
            data = file.read(max(0, stop - start))
    except OSError:
        return Stretch("", start, 0)
    if whole_lines and len(data) < MAX_BYTES and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
    return Stretch(_text(data), start + len(data), size)


def read_tail(path: str | Path | None, lines: int, end: int | None = None) -> Stretch:
    """The last `lines` lines (within MAX_BYTES), before `end` or the end of the file."""
    size = size_bytes(path)
    stop = size if end is None else min(end, size)
    start = max(0, stop - MAX_BYTES)
    found = read_from(path, start, stop, whole_lines=False)
    return Stretch("".join(found.text.splitlines(keepends=True)[-lines:]) if lines > 0 else "", found.next, size)


def only_job(text: str, job_id: str) -> str:
    """The lines of a stretch that are one job's. Where a worker runs several jobs at once its lines begin with
    `[job id]`: those of other jobs are left out, the job's own lose the tag, lines without one stay."""
    kept = []
    for line in text.splitlines(keepends=True):
        match = _TAG.match(line)
        if match is None or match[1] == job_id:
            kept.append(line if match is None else line[match.end() :])
    return "".join(kept)


def _text(data: bytes) -> str:
    # The beginning of a long log may have been given back to the file system: it reads as zero bytes.
    return data.replace(b"\0", b"").decode("utf-8", "replace")
