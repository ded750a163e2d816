"""One file on its way: which stretches are still to be fetched, and its hash that follows the bytes."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from zeroidle.errors import DamagedError
from zeroidle.volume.digest import Damage, Digest
from zeroidle.volume.manifest import File
from zeroidle.volume.options import Options
from zeroidle.volume.part import Part
from zeroidle.volume.progress import Progress
from zeroidle.volume.retry import Backoff

_SMALL_BYTES = 64 * 1024

#: How often a whole file is fetched whose hash is wrong in the end.
ATTEMPTS = 3


@dataclass(slots=True)
class Segment:
    """Bytes [start, end) that one request asks for; `end` None is up to an end that is not known. `start` moves on
    as bytes arrive."""

    start: int
    end: int | None
    backoff: Backoff
    not_before: float = 0.0


@dataclass(slots=True)
class Verified:
    """What is known of a complete file."""

    sha256: str
    size: int
    marks: list[bytes] = field(default_factory=list)


class FileJob:
    """A file that streams fill in any order while its hash follows in order.

    A stream that brings exactly the bytes that the hash waits for hashes them from its own buffer; anything that
    came earlier is read back by `catch_up`, which a hashing thread calls.
    """

    def __init__(self, file: File, part: Part, options: Options, progress: Progress) -> None:
        self.file = file
        self.part = part
        self.size = file.size
        self.ranged: bool | None = None  # whether its server sends ranges, once that is known
        self.active = 0
        self.queued = False  # for a hashing thread
        self.closed = False
        self._options = options
        self._progress = progress
        self._attempt = 1
        self._old_tail = part.done.total > 0  # bytes after the last mark may be an earlier process's
        self._lock = threading.Lock()
        self._hashing = threading.Lock()
        self.segments: deque[Segment] = deque()
        self._digest = Digest(file.check, file.size, list(part.marks))
        progress.found(part.done.total)
        self._plan()

    def _plan(self) -> None:
        if self.size is None:
            self.part.reset_unless_empty()
            self.segments.append(Segment(0, None, self._options.backoff()))
            return
        for start, end in self.part.done.missing(self.size):
            self._add(start, end)

    def _add(self, start: int, end: int) -> None:
        step = self._options.segment_bytes
        while start < end:
            stop = end if end - start < 2 * step else start + step
            self.segments.append(Segment(start, stop, self._options.backoff()))
            start = stop

    def take(self, now: float, stride: int) -> Segment | None:
        """The next stretch to fetch, if there is one that need not wait, of about `stride` bytes. Only the first one
        is given out until it is known whether the server sends ranges."""
        with self._lock:
            if self.closed or (self.ranged is not True and self.active):
                return None
            for index, segment in enumerate(self.segments):
                if segment.not_before <= now:
                    del self.segments[index]
                    self.active += 1
                    return self._widen(segment, index, stride) if self.ranged else segment
            return None

    def _widen(self, segment: Segment, index: int, stride: int) -> Segment:
        while segment.end is not None and index < len(self.segments):
            after = self.segments[index]
            if after.start != segment.end or after.end is None or after.end - segment.start > stride:
                break
            segment.end = after.end
            del self.segments[index]
        return segment

    def reserve(self) -> bool:
        """Keeps streams away from a file whose hash is complete; False when it is not, or somebody works on it."""
        with self._lock:
            if self.active or self.closed or not self.hashed:
                return False
            self.active += 1
            return True

    def unreserve(self) -> None:
        """Ends what `reserve` began."""
        with self._lock:
            self.active -= 1

    def give_back(self, segment: Segment, again: bool) -> None:
        """A stream has ended with a segment; what is left of it is tried again."""
        with self._lock:
            self.active -= 1
            if again and not self.closed and (segment.end is None or segment.start < segment.end):
                self.segments.appendleft(segment)

    def only(self, segment: Segment) -> None:
        """The server sends the file as a whole only: this segment takes all of it."""
        with self._lock:
            self.ranged = False
            self.segments.clear()
            segment.end = self.size

    def from_zero(self, segment: Segment) -> None:
        """Nothing that is there can be continued: the segment begins again at the first byte."""
        with self._hashing, self._lock:
            self._progress.found(-self.part.done.total)
            self.part.reset()
            self._digest = Digest(self.file.check, self.size)
            self.segments.clear()
            segment.start, segment.end = 0, self.size
            self.ranged = False

    def write(self, segment: Segment, data: memoryview) -> bool:
        """Puts bytes in their place. Whether a hashing thread should look at the file."""
        at = segment.start
        self.part.write(at, data)
        segment.start = at + len(data)
        self._progress.fetched(len(data))
        if not self._hashing.acquire(blocking=False):
            return self._flag()
        try:
            if self._digest.at == at:
                self._feed(data)
        finally:
            self._hashing.release()
        return self.behind and self._flag()

    def _flag(self) -> bool:
        with self._lock:
            first, self.queued = not self.queued, True
            return first

    @property
    def behind(self) -> bool:
        """Whether there are bytes that the hash has not seen and could."""
        return self.part.end_from(self._digest.at) > self._digest.at

    @property
    def hashed(self) -> bool:
        """Whether the hash has seen the whole file."""
        return self.size is not None and self._digest.at == self.size

    def catch_up(self, buffer: memoryview, cancel: threading.Event) -> None:
        """Hashes what lies in the part file and was not hashed as it came."""
        with self._lock:
            self.queued = False
        while self.behind and not cancel.is_set():
            with self._hashing:
                at = self._digest.at
                size = min(len(buffer), self.part.end_from(at) - at)
                if size > 0:
                    got = self.part.read(at, buffer[:size])
                    if got == 0:
                        raise OSError(f"{self.part.path} has become shorter")
                    self._feed(buffer[:got])

    def _feed(self, data: memoryview) -> None:
        try:
            self._digest.update(data)
        except Damage as exc:
            # Since an earlier process saw these bytes the disk has changed them; only this stretch is fetched again.
            with self._lock:
                self.part.forget(exc.start, exc.end)
                self._progress.found(exc.start - exc.end)
                self._add(exc.start, min(exc.end, self.size or exc.end))
            self._progress.retry(f"{self.file.path}: {exc}")
            return
        if len(self._digest.marks) > len(self.part.marks):
            self.part.mark(self._digest.marks)

    def verified(self) -> Verified | None:
        """The hash of the complete file, once; None when it is wrong and the file is fetched again. DamagedError when
        it stays wrong."""
        with self._hashing, self._lock:
            assert self.size is not None
            fault = self._digest.fault(self.file.sha256)
            if fault is None:
                self.closed = True
                return Verified(self._digest.sha256, self.size, self._digest.marks)
            if self._attempt >= ATTEMPTS:
                self.closed = True
                raise DamagedError(
                    f"{self.file.path} was fetched {self._attempt} times and is wrong: {fault}. The source serves "
                    "something else than it promises; pull again later, or pin another revision."
                )
            if self._old_tail:
                self._old_tail = False
                start = self._digest.rewind()
            else:
                self._attempt += 1
                start = 0
                self._digest = Digest(self.file.check, self.file.size)
            self._again(start)
        self._progress.retry(f"{self.file.path}: {fault}; fetched again")
        return None

    def _again(self, start: int) -> None:
        before = self.part.done.total
        if start == 0:
            self.part.reset()
        else:
            self.part.forget(start, int(self.size or 0))
        self._progress.found(self.part.done.total - before)
        self.size = self.file.size
        self._plan()

    def soonest(self) -> float | None:
        """When the next waiting segment may be tried, by the monotonic clock."""
        with self._lock:
            return min((s.not_before for s in self.segments), default=None)


def wait_until(segment: Segment, wait_s: float) -> None:
    """Holds a segment back."""
    segment.not_before = time.monotonic() + wait_s


def small(file: File) -> bool:
    """Whether a file is so small that it is not worth a journal."""
    return file.size is not None and file.size < _SMALL_BYTES
