"""Gathers the facts of a verdict from a plane's store, live workers and scaling loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from zeroidle.endpoint import Endpoint
from zeroidle.insight import logs
from zeroidle.insight.facts import EndpointFacts, JobFacts, ScalingFacts
from zeroidle.job import Job, Status
from zeroidle.store.protocol import Delivery, Store, WorkerRecord
from zeroidle.worker import Registry

#: How far back is looked.
_WORKERS, _RECENT, _SCANNED, _LOG_LINES = 50, 20, 1000, 30


class ScalingView(Protocol):
    """What is asked of a scaling loop's snapshot."""

    @property
    def wanted(self) -> int:
        """Workers that the rule wants."""

    @property
    def failures(self) -> int:
        """Starts that failed in a row."""

    @property
    def crashes(self) -> int:
        """Ready workers that ended unasked, in a row."""

    @property
    def backoff_until(self) -> float | None:
        """Unix time before which none is started."""

    @property
    def last_error(self) -> str | None:
        """The last words of the last failed worker."""

    @property
    def last_error_kind(self) -> str | None:
        """Its own word for what failed."""

    @property
    def last_exit(self) -> str | None:
        """How it ended."""

    @property
    def boot_s(self) -> float:
        """The expected start time."""


class Scaling(Protocol):
    """The scaling loop, as far as it is asked."""

    def state(self, endpoint: str) -> ScalingView:
        """A snapshot."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where facts come from."""

    store: Store
    registry: Registry
    endpoints: Mapping[str, Endpoint]
    scaling: Scaling

    def scaling_facts(self, name: str) -> ScalingFacts:
        """What the scaling loop says of an endpoint."""
        state = self.scaling.state(name)
        return ScalingFacts(
            wanted=state.wanted,
            failures=state.failures,
            crashes=state.crashes,
            backoff_until=state.backoff_until,
            last_error=state.last_error,
            last_error_kind=state.last_error_kind,
            last_exit=state.last_exit,
            boot_s=state.boot_s,
        )

    async def endpoint_facts(self, endpoint: Endpoint) -> EndpointFacts:
        """Everything that a verdict on an endpoint is made from."""
        name = endpoint.name
        live = list(self.registry.of(name))
        alive = {worker.id for worker in live}
        past = [record for record in await self.store.list_workers(name, _WORKERS) if record.id not in alive]
        failed = next((record for record in past if record.error), None)
        log = await asyncio.to_thread(logs.read_tail, failed.log_path, _LOG_LINES) if failed else None
        return EndpointFacts(
            now=time.time(),
            endpoint=endpoint,
            counts=self.store.counts(name),
            scaling=self.scaling_facts(name),
            live=live,
            past=past,
            failed_log=log.text.splitlines() if log else (),
            recent=await self.store.list_jobs(name, None, _RECENT),
        )

    async def job_facts(self, job: Job) -> JobFacts:
        """Everything that a verdict on a job is made from, beside the facts of its endpoint."""
        worker = await self.worker_record(job.worker_id) if job.worker_id else None
        text = ""
        if worker is not None:
            end = job.log_range[1] if job.log_range else None
            tail = await asyncio.to_thread(logs.read_tail, worker.log_path, _LOG_LINES, end)
            text = logs.only_job(tail.text, job.id)
            if job.log_range:
                own = await asyncio.to_thread(logs.read_from, worker.log_path, *job.log_range, False)
                text = logs.only_job(own.text, job.id)
        return JobFacts(
            job=job,
            ahead=self.store.ahead(job) if job.status is Status.IN_QUEUE else None,
            worker=worker,
            log=text.splitlines()[-_LOG_LINES:],
            delivery=await self._delivery(job) if job.webhook else None,
        )

    async def worker_record(self, worker_id: str) -> WorkerRecord | None:
        """The record of a worker by its id or the beginning of it."""
        records = await self.store.list_workers(None, _SCANNED)
        exact = next((r for r in records if r.id == worker_id), None)
        return exact or next((r for r in records if r.id.startswith(worker_id)), None)

    async def find_job(self, ref: str) -> list[Job]:
        """The jobs whose id is `ref`, or begins with it (with or without `sync-`)."""
        for name in self.endpoints:
            if job := await self.store.get(name, ref):
                return [job]
        if len(ref) < 4:
            return []
        found = []
        for name in self.endpoints:
            for job in await self.store.list_jobs(name, None, _SCANNED):
                if job.id.startswith(ref) or job.id.removeprefix("sync-").startswith(ref):
                    found.append(await self.store.get(name, job.id) or job)
        return found

    async def _delivery(self, job: Job) -> Delivery | None:
        deliveries = [d for d in await self.store.list_deliveries(limit=_SCANNED) if d.job_id == job.id]
        return max(deliveries, key=lambda d: d.created_at, default=None)
