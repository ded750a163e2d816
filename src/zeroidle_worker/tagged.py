"""Names the job at the beginning of each line of output, where several jobs write at once.

A worker that runs one job at a time needs none of this: what was written meanwhile is the job's.
"""

from __future__ import annotations

import sys
from typing import Any, Dict, Iterable, Optional

from zeroidle_worker import current

#: More text than this without an end of line is written as it is, in characters.
_LONGEST = 64 * 1024


class Tagged:
    """A text stream that collects each job's writes into whole lines, `[job id] text`. What no job writes passes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._begun: Dict[str, str] = {}

    def write(self, text: str) -> int:
        """Writes the lines that are whole with this; keeps the rest for the job's next write."""
        running = current.running()
        if running is None:
            self._stream.write(text)
            return len(text)
        whole = self._begun.pop(running.id, "") + text
        end = whole.rfind("\n") + 1
        if len(whole) - end > _LONGEST:
            whole, end = whole + "\n", len(whole) + 1
        if end:
            self._stream.write(_with_tag(running.id, whole[:end]))
        if whole[end:]:
            self._begun[running.id] = whole[end:]
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes several."""
        for line in lines:
            self.write(line)

    def finish(self, job_id: str) -> None:
        """Writes what a job has left without an end of line."""
        rest = self._begun.pop(job_id, None)
        if rest:
            self._stream.write(_with_tag(job_id, rest + "\n"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _with_tag(job_id: str, lines: str) -> str:
    tag = "[%s] " % job_id
    return "".join(tag + line for line in lines.splitlines(True))


def install() -> None:
    """Puts a Tagged around standard output and error."""
    for name in ("stdout", "stderr"):
        stream: Optional[Any] = getattr(sys, name)
        if stream is not None and not isinstance(stream, Tagged):
            setattr(sys, name, Tagged(stream))


def finish(job_id: str) -> None:
    """A job has ended."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Tagged):
            stream.finish(job_id)
