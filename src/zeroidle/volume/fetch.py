"""Fetching many files at once: streams that take the next stretch of any file, and threads that hash behind them."""

from __future__ import annotations

import errno
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from zeroidle.errors import SourceError, VolumeError, VolumeFull
from zeroidle.volume.filejob import FileJob, Segment, Verified, wait_until
from zeroidle.volume.http import Body, Client, Location, Reader, Wanted
from zeroidle.volume.limit import RateLimit
from zeroidle.volume.options import Options
from zeroidle.volume.progress import Progress
from zeroidle.volume.retry import Changed, NoRanges, TransferError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class SourceChanged(Exception):
    """A file without a promised hash has another version by now; the source must be listed again."""


class LeaseLost(Exception):
    """Another process has taken the download over, because this one was silent for too long."""


class Cancelled(VolumeError):
    """The download was stopped; what has arrived is kept for the next one."""


class Fetch:
    """One run over the files of a source.

    `locate` gives a file's address, `advice` a sentence about a refusal, `publish` takes each file that is complete
    and right. `pinned` says whether a file's content is promised by a hash. `lost` tells that another process has
    taken over. `run` raises the first error that cannot be cured.
    """

    def __init__(
        self,
        jobs: Sequence[FileJob],
        options: Options,
        progress: Progress,
        cancel: threading.Event,
        locate: Callable[[FileJob], Location],
        publish: Callable[[FileJob, Verified], None],
        advice: Callable[[str], str],
        lost: Callable[[], bool],
    ) -> None:
        self._jobs = list(jobs)
        self._options = options
        self._progress = progress
        self._cancel = cancel
        self._locate, self._publish, self._advice, self._lost = locate, publish, advice, lost
        self._limit = RateLimit(options.bandwidth)
        self._change = threading.Condition()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._hash_queue: queue.SimpleQueue[FileJob | None] = queue.SimpleQueue()
        self._not_before = 0.0
        self._ranged_hosts: set[str] = set()
        self._targets: dict[str, str] = {}
        self._stride = options.segment_bytes

    def run(self) -> None:
        """Fetches everything. Raises SourceError, DamagedError, VolumeFull, SourceChanged, Cancelled or OSError."""
        if not self._jobs:
            return
        streams = [threading.Thread(target=self._guard, args=(self._stream,)) for _ in range(self._width())]
        hashers = [threading.Thread(target=self._guard, args=(self._hash,)) for _ in range(min(4, os.cpu_count() or 1))]
        for job in list(self._jobs):
            self._hash_queue.put(job)  # what lies there from an earlier attempt
        for thread in (*streams, *hashers):
            thread.daemon = True
            thread.start()
        try:
            self._wait()
        finally:  # also at Ctrl-C
            self._ended.set()
            with self._change:
                self._change.notify_all()
            for _ in hashers:
                self._hash_queue.put(None)
            # A stream that waits for a dead connection writes no more when that ends: it need not be waited for.
            until = time.monotonic() + (1.0 if self._jobs else 3600.0)
            for thread in (*streams, *hashers):
                thread.join(max(0.0, until - time.monotonic()))
        if self._error is not None:
            raise self._error

    def _wait(self) -> None:
        looked_at = 0.0
        while True:
            with self._change:
                if not self._jobs or self._error is not None:
                    return
                self._change.wait(0.2)
            if time.monotonic() - looked_at > 0.2:
                looked_at = time.monotonic()
                self._watch()

    def _width(self) -> int:
        segments = sum(len(job.segments) for job in self._jobs)
        return max(1, min(self._options.streams, segments))

    def _watch(self) -> None:
        if self._cancel.is_set():
            self._fail(Cancelled())
        elif self._lost():
            self._fail(LeaseLost())

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:  # whatever it is, `run` raises it
            self._fail(exc)

    def _fail(self, error: BaseException) -> None:
        with self._change:
            if self._error is None:
                self._error = error
            self._ended.set()
            self._change.notify_all()

    def _hash(self) -> None:
        buffer = memoryview(bytearray(self._options.buffer_bytes))
        while (job := self._hash_queue.get()) is not None and not self._ended.is_set():
            job.catch_up(buffer, self._ended)
            self._look(job)

    def _look(self, job: FileJob) -> None:
        """Publishes a file of which everything is there, or has it fetched again when it is wrong."""
        if not job.hashed or job.closed:
            with self._change:
                self._change.notify_all()
            return
        if not job.reserve():
            return
        found = job.verified()
        if found is not None:
            self._publish(job, found)
        job.unreserve()
        with self._change:
            if found is not None:
                self._jobs.remove(job)
            self._change.notify_all()

    def _stream(self) -> None:
        client = Client(self._options.stall_s, targets=self._targets)
        buffer = memoryview(bytearray(self._options.buffer_bytes))
        try:
            while True:
                taken = self._next()
                if taken is None:
                    return
                self._attempt(client, *taken, buffer)
        finally:
            client.close()

    def _next(self) -> tuple[FileJob, Segment] | None:
        with self._change:
            while self._jobs and not self._ended.is_set():
                now = time.monotonic()
                if now >= self._not_before:
                    taken = self._choose(now)
                    if taken is not None:
                        return taken
                self._change.wait(self._pause(now))
        return None

    def _choose(self, now: float) -> tuple[FileJob, Segment] | None:
        """Files in order, one stream each; streams that are left over help where the fewest are."""
        busy = []
        for job in self._jobs:
            if job.active:
                busy.append(job)
            elif (segment := job.take(now, self._stride)) is not None:
                return job, segment
        for job in sorted(busy, key=lambda j: j.active):
            if (segment := job.take(now, self._stride)) is not None:
                return job, segment
        return None

    def _pause(self, now: float) -> float:
        times = [self._not_before, *(t for job in self._jobs if (t := job.soonest()) is not None)]
        return min([0.2, *(t - now for t in times if t > now)])

    def _attempt(self, client: Client, job: FileJob, segment: Segment, buffer: memoryview) -> None:
        again = False
        try:
            self._transfer(client, job, segment, buffer)
        except NoRanges:
            again = True
            job.from_zero(segment)
        except TransferError as exc:
            again = True
            self._failed(job, segment, exc, client)
        except OSError as exc:
            if exc.errno in _NO_SPACE:
                raise VolumeFull(str(exc)) from exc
            raise
        finally:
            job.give_back(segment, again)
            with self._change:
                self._change.notify_all()
        self._look(job)

    def _transfer(self, client: Client, job: FileJob, segment: Segment, buffer: memoryview) -> None:
        location = self._locate(job)
        host = urlsplit(location.url).netloc
        if host in self._ranged_hosts and job.ranged is None:
            job.ranged = True
        whole = segment.start == 0 and (segment.end is None or segment.end == job.size)
        etag = job.file.etag if not pinned(job) else None
        end = None if whole else segment.end
        if segment.start == segment.end == 0:
            self._hash_queue.put(job)
            return  # an empty file
        begin, from_byte = time.monotonic(), segment.start
        body = client.get(location, Wanted(segment.start, end, etag, job.size))
        first = time.monotonic()
        try:
            self._learn(job, segment, body, host, whole)
            self._pour(job, segment, body, buffer)
        finally:
            body.close()
        self._pace(first - begin, segment.start - from_byte, time.monotonic() - first)

    def _pace(self, answer_s: float, size_bytes: int, body_s: float) -> None:
        """Lets one request ask for so much that waiting for answers costs at most a twentieth of the time."""
        wanted = int(20 * answer_s * size_bytes / max(body_s, 1e-3))
        low, high = self._options.segment_bytes, self._options.segment_most_bytes
        self._stride = (3 * self._stride + max(low, min(high, wanted))) // 4

    def _learn(self, job: FileJob, segment: Segment, body: Reader, host: str, whole: bool) -> None:
        if isinstance(body, Body) and body.status == 200 and not whole:
            job.only(segment)  # it was asked for a part and sends all
        elif not whole and job.ranged is None:
            job.ranged = True
            self._ranged_hosts.add(host)
            with self._change:
                self._change.notify_all()

    def _pour(self, job: FileJob, segment: Segment, body: Reader, buffer: memoryview) -> None:
        fresh, slow_since = 0, time.monotonic()
        while segment.end is None or segment.start < segment.end:
            most = self._limit.piece(len(buffer))
            if segment.end is not None:
                most = min(most, segment.end - segment.start)
            size = body.read_into(buffer[:most])
            if self._ended.is_set():
                return
            if size == 0:
                if segment.end is None:
                    segment.end = job.size = segment.start
                    self._hash_queue.put(job)
                return
            self._limit.take(size, self._ended)
            if job.write(segment, buffer[:size]):
                self._hash_queue.put(job)
            segment.backoff.progress()
            fresh += size
            now = time.monotonic()
            if now - slow_since > self._options.stall_s:
                if fresh < 1024 and not self._options.bandwidth:
                    raise TransferError(f"{job.file.path}: {fresh} bytes in {self._options.stall_s:g} s")
                fresh, slow_since = 0, now

    def _failed(self, job: FileJob, segment: Segment, error: TransferError, client: Client) -> None:
        if isinstance(error, Changed) and not pinned(job):
            raise SourceChanged(str(error))
        wait_s = segment.backoff.next_s(error)
        self._progress.retry(f"{job.file.path}: {error}")
        if wait_s is None:
            advice = self._advice(str(error))
            raise SourceError(
                f"{job.file.path} cannot be fetched: {error}. {advice}".strip()
                if advice
                else f"{job.file.path} cannot be fetched: {error}; what has arrived is kept, pull again to go on."
            )
        if error.signed:
            client.forget(self._locate(job))
            wait_s = min(wait_s, 1.0) if segment.backoff.failures > 1 else 0.0
        wait_until(segment, wait_s)
        if error.wait_s is not None:  # the server asks everybody to wait
            self._not_before = max(self._not_before, time.monotonic() + error.wait_s)


def pinned(job: FileJob) -> bool:
    """Whether a hash decides what the right content is, so that the server's ETag need not."""
    return job.file.sha256 is not None or job.file.check is not None
