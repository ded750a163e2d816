"""One worker as the plane sees it, whatever carries its messages: takes, reports, stream, leases, state."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from zeroidle.endpoint import Endpoint
from zeroidle.gateway.worker_report import Body, Report, clean_json, parse_report, parse_report_file
from zeroidle.job import Job, Phase, Spooled
from zeroidle.store.protocol import Counts, Lease, Outcome, WorkerStore
from zeroidle.worker import Held, Registry, Worker, WorkerState

log = logging.getLogger("zeroidle.worker")

#: Weight of the newest run in a worker's mean run time.
_NEWEST = 0.3


class PlaneStore(WorkerStore, Protocol):
    """The part of the store that carriers of the worker protocol use."""

    spool: Path

    def counts(self, endpoint: str) -> Counts:
        """How many jobs of an endpoint are where."""


class WorkerSession:
    """What both carriers do for one worker. Every state that outlives a message is in `worker`."""

    def __init__(
        self, store: PlaneStore, registry: Registry, endpoints: Mapping[str, Endpoint], worker: Worker
    ) -> None:
        self.store = store
        self.registry = registry
        self.worker = worker
        self._endpoints = endpoints

    @property
    def lease_s(self) -> float:
        """How long a hand-out lasts without a sign of life."""
        endpoint = self._endpoints.get(self.worker.endpoint)
        return endpoint.lease_s if endpoint else 30.0

    @property
    def timeout_s(self) -> float | None:
        """How long a job may run that does not say so itself."""
        endpoint = self._endpoints.get(self.worker.endpoint)
        return endpoint.timeout_s if endpoint else None

    # -- the worker's life

    def seen(self) -> None:
        """Notes a sign of life."""
        self.worker.last_seen_at = time.time()

    def ready(self, concurrency: int, cooperative: bool = False) -> None:
        """The worker may take jobs from now on. A second call only updates the numbers."""
        worker = self.worker
        worker.concurrency = max(1, concurrency)
        worker.cooperative = cooperative
        if worker.state is WorkerState.STARTING:
            worker.state = WorkerState.READY
            worker.ready_at = worker.idle_since = time.time()
            self.registry.tell("ready", worker)

    def phase(self, name: str, start: float, end: float | None, note: str | None) -> None:
        """Adds one phase of the start (import, weights, ...)."""
        self.worker.phases.append(Phase(name, start, end, note=note))

    def failed(self, kind: str, message: str) -> None:
        """The worker says that it cannot work."""
        self.worker.error_kind, self.worker.error = kind, message
        log.warning("worker.failed id=%s endpoint=%s kind=%s", self.worker.id, self.worker.endpoint, kind)
        self.registry.tell("failed", self.worker)

    def retire(self) -> None:
        """The worker gets no more jobs; whoever listens to "draining" ends its process."""
        if self.worker.state in (WorkerState.STARTING, WorkerState.READY):
            self.worker.state = WorkerState.DRAINING
            self.registry.tell("draining", self.worker)

    # -- jobs out

    async def claim(self, limit: int, wait_s: float) -> list[Job]:
        """Takes up to `limit` jobs for this worker, waiting up to `wait_s` for the first."""
        jobs = await self.store.claim(self.worker.endpoint, self.worker.id, limit, self.lease_s, wait_s)
        if jobs:
            self.hold(jobs)
        return jobs

    def hold(self, jobs: Sequence[Job]) -> None:
        """Notes that the worker was handed these jobs."""
        worker, now = self.worker, time.time()
        was_idle = not worker.jobs
        for job in jobs:
            worker.jobs[job.id] = Held(job.id, job.attempt, now)
        worker.idle_since = None
        if was_idle:
            self.registry.tell("busy", worker)

    def drop(self, job_id: str, attempt: int | None = None) -> Held | None:
        """Forgets that the worker holds a job, if it holds that attempt."""
        worker = self.worker
        held = worker.jobs.get(job_id)
        if held is None or (attempt is not None and held.attempt != attempt):
            return None
        del worker.jobs[job_id]
        if not worker.jobs:
            worker.idle_since = time.time()
            self.registry.tell("idle", worker)
        return held

    async def renew(self, job_ids: Sequence[str]) -> list[str]:
        """Extends leases; answers the ids that are not this worker's (any more)."""
        if not job_ids:
            return []
        return await self.store.renew(self.worker.endpoint, self.worker.id, job_ids, self.lease_s)

    async def give_back(self, job_ids: Iterable[str], lost: bool, reason: str) -> None:
        """Returns jobs to the queue; `lost` uses up one of each job's retries."""
        leases = [self._lease(held.job_id, held.attempt) for i in job_ids if (held := self.drop(i))]
        if leases:
            log.info(
                "jobs.given_back worker=%s lost=%s n=%d first=%s reason=%r",
                self.worker.id, lost, len(leases), leases[0].job_id, reason,
            )  # fmt: skip
            await self.store.release(leases, lost, reason)

    # -- reports in

    async def report(self, job_id: str, body: Body, run_s: float | None = None) -> Report:
        """Takes a job-done body: progress, or the end of the job. Late and repeated ones change nothing.

        Raises StoreError when it could not be kept: the worker still holds the job then, and sends it again.
        """
        report = await self.parse(body)
        held = self.worker.jobs.get(job_id)
        attempt = held.attempt if held else None
        if report.progress:
            if isinstance(report.output, bytes):
                await self.progress(job_id, attempt, report.output)
            return report
        outcome = report.outcome(run_s)
        try:
            await self.finish(job_id, attempt, outcome)
        except Exception:
            self.discard(outcome)
            raise
        self.drop(job_id, attempt)
        self.ended(held, run_s)
        if report.stop:
            self.retire()
        return report

    async def parse(self, body: Body) -> Report:
        """Reads a report; a large one in a thread."""
        if isinstance(body, bytes):
            return parse_report(body)
        return await asyncio.to_thread(parse_report_file, body, self.store.spool)

    async def finish(self, job_id: str, attempt: int | None, outcome: Outcome) -> bool:
        """Records how an attempt ended; answers whether it counted. Raises StoreError when it could not be kept."""
        counted = await self.store.finish(self._lease(job_id, attempt), outcome)
        if not counted:
            log.info("report.ignored job=%s worker=%s reason=late", job_id, self.worker.id)
            self.discard(outcome)
        return counted

    def finish_soon(self, results: Sequence[tuple[str, int, Outcome]]) -> asyncio.Future[None]:
        """Like `finish` for small results, each with its job's id and attempt; done when they are kept."""
        endpoint, worker_id = self.worker.endpoint, self.worker.id
        counted, kept = self.store.finish_soon(
            [(Lease(endpoint, job_id, worker_id, attempt), outcome) for job_id, attempt, outcome in results]
        )
        if not all(counted):
            for (job_id, _, _), counts in zip(results, counted, strict=True):
                if not counts:
                    log.info("report.ignored job=%s worker=%s reason=late", job_id, self.worker.id)
        return kept

    def discard(self, outcome: Outcome) -> None:
        """Removes the file of an output that will not be kept."""
        if isinstance(outcome.output, Spooled):
            (self.store.spool / outcome.output.path).unlink(missing_ok=True)

    def ended(self, held: Held | None, run_s: float | None) -> None:
        """Counts a job that the worker has ended into its figures."""
        worker = self.worker
        worker.jobs_done += held is not None
        if run_s is not None:
            mean = worker.mean_run_s
            worker.mean_run_s = run_s if mean is None else mean + _NEWEST * (run_s - mean)

    async def progress(self, job_id: str, attempt: int | None, payload: bytes) -> bool:
        """Records progress (raw JSON); never reopens a job."""
        value = clean_json(payload)
        return value is not None and await self.store.progress(self._lease(job_id, attempt), value)

    async def chunk(self, job_id: str, attempt: int | None, payload: bytes) -> bool:
        """Appends one stream chunk (raw JSON)."""
        value = clean_json(payload)
        return value is not None and await self.store.chunk(self._lease(job_id, attempt), value)

    def _lease(self, job_id: str, attempt: int | None) -> Lease:
        return Lease(self.worker.endpoint, job_id, self.worker.id, attempt)
