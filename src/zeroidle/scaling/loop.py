"""The live scaling loop: hears of jobs, workers and exits, and has each endpoint's pool decide."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from zeroidle.endpoint import Endpoint
from zeroidle.fleet.protocol import Fleet
from zeroidle.job import Job, Status
from zeroidle.scaling.expiry import ExpiryClock
from zeroidle.scaling.life import Life
from zeroidle.scaling.pool import Pool
from zeroidle.scaling.restart import close_records, take_back
from zeroidle.scaling.state import ScalingState
from zeroidle.scaling.waits import ran_s, start_phases
from zeroidle.scaling.workers import Workers
from zeroidle.store.protocol import JobEvent, Store
from zeroidle.worker import Registry, Worker, WorkerEventKind

log = logging.getLogger(__name__)


class ScalingLoop:
    """Starts and stops workers so that each endpoint has as many as its policy wants.

    It sleeps until something happens: a job event, a worker event, an exit, or the time that a policy named.
    `endpoints` is live: a changed entry replaces that endpoint's workers, a removed one ends them.
    """

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        registry: Registry,
        endpoints: Mapping[str, Endpoint],
        env_for: Callable[[Endpoint, Worker], dict[str, str]],
    ) -> None:
        self.store = store
        self.endpoints = endpoints
        self.draining = False
        self.workers = Workers(store, fleet, registry, env_for, self._worker_failed, self._suspect, self._worker_ended)
        self._fleet = fleet
        self._registry = registry
        self._pools: dict[str, Pool] = {}
        # Workers' leases are renewed three times in the shortest one.
        self._expiry = ExpiryClock(store, lambda: 1.0 + min((e.lease_s for e in endpoints.values()), default=0.0) / 3)

    async def start(self) -> None:
        """Takes up what an earlier plane left, whose workers are gone, and begins to decide."""
        for name, boot_s in (await close_records(self.store)).items():
            if pool := self._pool(name):
                pool.boot_s = boot_s
        for name in self.endpoints:
            await take_back(self.store, name)
        self.store.listen(self._queued, ("queued",))
        self.store.listen(self._taken, ("taken",))
        self.store.listen(self._requeued, ("requeued",))
        self.store.listen(self._ended, ("ended",))
        self._registry.listen(self._on_worker)
        self._fleet.on_exit(self.workers.exited)
        now = time.monotonic()
        for name in self.endpoints:
            pool = self._pool(name)
            if pool is not None:
                pool.policy.arrived(now, self.store.counts(name).queued)
                pool.poke()
        self._expiry.poke()

    async def drain(self, grace_s: float) -> None:
        """Starts no more; workers end their jobs, at most for `grace_s`; what is unfinished goes back in the queue."""
        self.draining = True
        for pool in self._pools.values():
            pool.close()
        await self.workers.drain(grace_s)
        await self._expiry.close()

    def state(self, endpoint: str) -> ScalingState:
        """What is known of an endpoint's workers now."""
        pool = self._pools.get(endpoint)
        return pool.state() if pool else ScalingState(endpoint)

    def reload(self, endpoint: str) -> None:
        """The endpoint's files or settings changed: its workers are replaced, its failures forgotten."""
        current, pool = self.endpoints.get(endpoint), self._pools.get(endpoint)
        if pool is not None and current is not None:
            pool.reload(current)
        elif pool is not None or current is not None:
            self._poke(endpoint)

    # -- events

    def _pool_of(self, event: JobEvent) -> Pool | None:
        """The pool of the jobs' endpoint; it, and the clock, are made to look at what has happened."""
        pool = self._pools.get(event.endpoint) or self._pool(event.endpoint)
        if pool is not None:
            if not self._expiry.poked:
                self._expiry.poke()
            if not pool.poked:
                pool.poke()
        return pool

    def _queued(self, event: JobEvent) -> None:
        pool = self._pool_of(event)
        if pool is not None:
            _arrived(pool, event.jobs)

    def _taken(self, event: JobEvent) -> None:
        life = self.workers.lives.get(event.worker_id or "")
        if self._pool_of(event) is None or life is None:
            return
        life.idle_at = None
        held, ready_at = life.held, life.worker.ready_at
        for job in event.jobs:
            held[job.id] = job.attempt
            if ready_at is not None and job.queued_at < ready_at:
                self.workers.spawn(self.store.note(job, start_phases(job, life.worker)))

    def _requeued(self, event: JobEvent) -> None:
        pool, life = self._pool_of(event), self.workers.lives.get(event.worker_id or "")
        if pool is None:
            return
        _arrived(pool, event.jobs)
        if life is None:
            return
        life.let_go(event.jobs)
        for job in event.jobs:
            if job.id in life.worker.jobs:  # its lease ran out: it runs what is not its own
                self.workers.interrupt(life, job.id, job.attempt)

    def _ended(self, event: JobEvent) -> None:
        pool, life = self._pool_of(event), self.workers.lives.get(event.worker_id or "")
        if pool is None:
            return
        now = time.monotonic()
        if life is not None:
            life.let_go(event.jobs)
        pool.cleared(event.jobs)
        heeds = life is not None and not life.over  # over: the jobs ended because their worker did
        for job in event.jobs:
            if job.started_at is not None and job.finished_at is not None:
                pool.policy.left(now, max(0.0, job.started_at - job.queued_at), ran_s(job))
            if life is None or not heeds:
                continue
            if job.status is not Status.CANCELLED and job.status is not Status.TIMED_OUT:
                pool.backoff.worked()
            else:
                self.workers.interrupt(life, job.id, job.attempt)

    def _on_worker(self, kind: WorkerEventKind, worker: Worker) -> None:
        life = self.workers.lives.get(worker.id)
        if life is None:
            return
        pool = self._pools[worker.endpoint]
        if kind == "ready":
            if life.timer is not None:
                life.timer.cancel()
            pool.became_ready(life)
            self.workers.save(life)
        elif kind == "busy":
            life.idle_at = None
        elif kind == "idle":
            life.idle_at = time.monotonic()
            life.settle()
        elif kind == "draining":
            if life.ending is None:  # the gateway's wish: refresh_worker
                life.ending = "asked for by the worker" if worker.control else "its connection was lost"
                self.workers.spawn(self.workers.end(life))
            self.workers.save(life)
        elif kind == "failed":
            if life.fault is None:  # that it is stopped for it is not how it ended
                life.fault = f"failed: {worker.error_kind}"
            self.workers.stop(life)
        pool.poke()

    def _worker_failed(self, life: Life, exit_text: str, error: str | None) -> None:
        self._pools[life.worker.endpoint].failed(life, exit_text, error)

    async def _suspect(self, life: Life, job_ids: list[str]) -> None:
        await self._pools[life.worker.endpoint].suspect(job_ids)

    def _worker_ended(self, life: Life) -> None:
        self._pools[life.worker.endpoint].ended(life)

    def _pool(self, name: str) -> Pool | None:
        pool = self._pools.get(name)
        if pool is None and (endpoint := self.endpoints.get(name)) is not None:
            pool = self._pools[name] = Pool(self, endpoint)
        return pool

    def _poke(self, name: str) -> None:
        if pool := self._pool(name):
            pool.poke()


def _arrived(pool: Pool, jobs: Sequence[Job]) -> None:
    """Jobs of low priority never start a worker (RunPod's rule)."""
    count = 0
    for job in jobs:
        count += not job.policy.low_priority
    if count:
        pool.policy.arrived(time.monotonic(), count)
