"""GET /metrics: what the plane has done and how long it took, for Prometheus."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, Protocol

from zeroidle import __version__
from zeroidle.endpoint import Endpoint
from zeroidle.gateway.exposition import CONTENT_TYPE, Histogram, Sample, family, histograms
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.reply import failure
from zeroidle.job import Status
from zeroidle.store.protocol import ClockStore, EventKind, JobEvent
from zeroidle.worker import Registry, Worker, WorkerEventKind, WorkerState

#: Seconds. From a warm pick-up (below 1 ms) to a queue that is stuck, from a no-op handler to a long video.
_DELAY_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_RUN_S = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0)
_START_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)

_STATES = ("starting", "idle", "busy", "draining")


class Store(ClockStore, Protocol):
    """What the metrics need of the store."""

    async def usage(self) -> dict[str, int]:
        """Bytes on the disk, by part."""


class _Jobs:
    """What happened to the jobs of one endpoint: how many events of each kind, how many ends with each status."""

    __slots__ = ("delays", "ends", "events", "runs")

    def __init__(self) -> None:
        self.events: Counter[EventKind] = Counter()
        self.ends: Counter[Status] = Counter()
        self.delays = Histogram(_DELAY_S)
        self.runs = Histogram(_RUN_S)


class Metrics:
    """Listens from its making on; what happened before is only in the counts that the store keeps."""

    def __init__(self, store: Store, registry: Registry, endpoints: Mapping[str, Endpoint]) -> None:
        self._store = store
        self._registry = registry
        self._endpoints = endpoints
        self._jobs_of: dict[str, _Jobs] = {}
        self._starts: dict[str, Histogram] = {}
        self._workers: Counter[tuple[str, WorkerEventKind]] = Counter()
        store.listen(self._counted, ("queued", "requeued"))
        store.listen(self._taken, ("taken",))
        store.listen(self._ended, ("ended",))
        registry.listen(self._on_worker)

    async def handle(self, request: Request) -> Response:
        """Answers one scrape."""
        if request.path.rstrip("/") != "/metrics":
            return failure(404, "There is only /metrics here; those of one endpoint are at /v2/ENDPOINT/metrics.")
        if request.method not in ("GET", "HEAD"):
            return failure(405, f"/metrics takes GET, HEAD, not {request.method}.", {"allow": "GET, HEAD"})
        usage = await self._store.usage()
        text = "".join((*self._jobs(), *self._times(), *self._worker_families(), *_process(usage)))
        return Response(200, text.encode(), CONTENT_TYPE)

    # Listening: called for every job, so it does little

    def _counted(self, event: JobEvent) -> None:
        self._seen_of(event).events[event.kind] += len(event.jobs)

    def _seen_of(self, event: JobEvent) -> _Jobs:
        seen = self._jobs_of.get(event.endpoint)
        if seen is None:
            seen = self._jobs_of[event.endpoint] = _Jobs()
        return seen

    def _taken(self, event: JobEvent) -> None:
        seen, jobs = self._seen_of(event), event.jobs
        seen.events["taken"] += len(jobs)
        seen.delays.observe([job.started_at - job.queued_at for job in jobs if job.started_at is not None])

    def _ended(self, event: JobEvent) -> None:
        seen, jobs = self._seen_of(event), event.jobs
        seen.ends.update([job.status for job in jobs])
        seen.runs.observe(
            [j.finished_at - j.started_at for j in jobs if j.started_at is not None and j.finished_at is not None]
        )

    def _on_worker(self, kind: WorkerEventKind, worker: Worker) -> None:
        if kind in ("added", "failed"):
            self._workers[worker.endpoint, kind] += 1
        elif kind == "ready" and worker.ready_at is not None:
            _of(self._starts, worker.endpoint, _START_S).observe([worker.ready_at - worker.started_at])

    # Rendering

    def _jobs(self) -> Iterator[str]:
        now = time.time()
        waiting: list[Sample] = []
        oldest: list[Sample] = []
        for name in self._endpoints:
            counts = self._store.counts(name)
            for state in ("queued", "queued_low", "in_progress"):
                waiting.append(({"endpoint": name, "state": state}, getattr(counts, state)))
            since = counts.oldest_queued_at
            oldest.append(({"endpoint": name}, 0.0 if since is None else max(0.0, now - since)))
        yield family("gauge", "zeroidle_jobs", "Jobs that wait (queued_low: lowPriority) and that run.", waiting)
        yield family("gauge", "zeroidle_oldest_queued_seconds", "How long the first job in the queue waits.", oldest)
        kinds: tuple[tuple[EventKind, str, str], ...] = (
            ("queued", "submitted", "Jobs that were accepted."),
            ("taken", "taken", "Jobs that were handed to a worker."),
            ("requeued", "requeued", "Jobs that were given back, or whose worker was lost."),
        )
        for kind, name, about in kinds:
            samples = [({"endpoint": e}, seen.events[kind]) for e, seen in self._jobs_of.items() if seen.events[kind]]
            yield family("counter", f"zeroidle_jobs_{name}_total", about, samples)
        ended = [
            ({"endpoint": e, "status": str(k)}, n) for e, seen in self._jobs_of.items() for k, n in seen.ends.items()
        ]
        yield family("counter", "zeroidle_jobs_ended_total", "Jobs that ended, by their last status.", ended)

    def _times(self) -> Iterator[str]:
        for kept, name, about in (
            (
                self._seen("delays"),
                "zeroidle_queue_delay_seconds",
                "From submission (or retry) to the pick-up.",
            ),
            (self._seen("runs"), "zeroidle_execution_seconds", "From the pick-up by a worker to the end."),
            (self._starts, "zeroidle_worker_start_seconds", "Cold starts: from a worker's start to being ready."),
        ):
            yield histograms(name, about, (({"endpoint": e}, histogram) for e, histogram in kept.items()))

    def _seen(self, what: Literal["delays", "runs"]) -> dict[str, Histogram]:
        kept = ((name, getattr(seen, what)) for name, seen in self._jobs_of.items())
        return {name: histogram for name, histogram in kept if histogram.count}

    def _worker_families(self) -> Iterator[str]:
        samples: list[Sample] = []
        for name in self._endpoints:
            states = Counter(map(_state, self._registry.of(name)))
            samples += (({"endpoint": name, "state": state}, states[state]) for state in _STATES)
        yield family("gauge", "zeroidle_workers", "Workers that live, by what they do.", samples)
        for kind, name, about in (
            ("added", "zeroidle_worker_starts_total", "Workers that were started."),
            ("failed", "zeroidle_worker_failures_total", "Workers that reported why they cannot work."),
        ):
            rows = [({"endpoint": e}, n) for (e, k), n in self._workers.items() if k == kind]
            yield family("counter", name, about, rows)


def _of(kept: dict[str, Histogram], endpoint: str, bounds: tuple[float, ...]) -> Histogram:
    histogram = kept.get(endpoint)
    if histogram is None:
        histogram = kept[endpoint] = Histogram(bounds)
    return histogram


def _state(worker: Worker) -> str:
    if worker.state == WorkerState.READY:
        return "busy" if worker.busy else "idle"
    return str(worker.state)


def _process(usage: Mapping[str, int]) -> Iterator[str]:
    """The plane itself, under the names that Prometheus' own clients use."""
    parts = [({"part": part}, size) for part, size in usage.items()]
    yield family("gauge", "zeroidle_store_bytes", "Bytes of the job store on the disk, by part.", parts)
    version: list[Sample] = [({"version": __version__}, 1)]
    yield family("gauge", "zeroidle_build_info", "Always 1; the label says the version.", version)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = used.ru_utime + used.ru_stime
    yield family("counter", "process_cpu_seconds_total", "CPU time that the plane has used.", [({}, cpu_s)])
    gauges: tuple[tuple[str, str, Callable[[], float]], ...] = (
        ("process_resident_memory_bytes", "Memory that the plane occupies.", _resident_bytes),
        ("process_open_fds", "File descriptors that the plane holds open.", _open_files),
    )
    for name, about, read in gauges:
        try:
            yield family("gauge", name, about, [({}, read())])
        except OSError:  # no /proc here
            continue


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
