"""The live scaling loop: hears of jobs, workers and exits, and has each endpoint's pool decide."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from zeroidle.endpoint import Endpoint
from zeroidle.errors import Error, StoreError, WorkerError
from zeroidle.fleet.protocol import Exit, Fleet
from zeroidle.job import Job, Status
from zeroidle.scaling.expiry import ExpiryClock
from zeroidle.scaling.life import Life
from zeroidle.scaling.pool import Pool
from zeroidle.scaling.restart import close_records, take_back
from zeroidle.scaling.state import ScalingState
from zeroidle.scaling.waits import last_lines, ran_s, start_phases
from zeroidle.store.protocol import JobEvent, Store
from zeroidle.worker import Registry, Worker, WorkerEventKind, WorkerState

log = logging.getLogger(__name__)

#: How long a worker that was asked to end may take before it is killed, in seconds.
STOP_GRACE_S = 5.0
#: How long a worker may go on with a job that was cancelled or timed out, before its processes are killed: one
#: whose handler asks whether it was cancelled (or that has a job-stop poll), one on HTTP without that, any other.
COOPERATIVE_GRACE_S, HTTP_GRACE_S, CANCEL_GRACE_S = 5.0, 2.0, 0.25
#: One on HTTP does not report a stopped job, only its pings cease to name it: so long they may take to show that.
PINGS_S = 5.0
#: How long the last reports of a dead worker may still be on their way through a socket.
LAST_REPORT_S = 1.0


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
        self._fleet = fleet
        self._registry = registry
        self._env_for = env_for
        self._pools: dict[str, Pool] = {}
        self._lives: dict[str, Life] = {}
        self._expiry = ExpiryClock(store)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Takes up what an earlier plane left, whose workers are gone, and begins to decide."""
        for name, boot_s in (await close_records(self.store)).items():
            if pool := self._pool(name):
                pool.boot_s = boot_s
        for name in self.endpoints:
            await take_back(self.store, name)
        self.store.listen(self._on_job)
        self._registry.listen(self._on_worker)
        self._fleet.on_exit(self._on_exit)
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
        lives = list(self._lives.values())
        for life in lives:
            self.retire(life, "plane stops")
        if lives:
            await asyncio.wait([asyncio.ensure_future(life.gone.wait()) for life in lives], timeout=grace_s)
        for life in list(self._lives.values()):
            life.spare = True
            self._spawn(self._fleet.stop(life.worker.id, 0))
        await asyncio.gather(*(life.gone.wait() for life in lives))
        await self._expiry.close()
        while self._tasks:
            await asyncio.wait(set(self._tasks))

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

    def _on_job(self, event: JobEvent) -> None:
        job = event.job
        pool = self._pool(job.endpoint)
        if pool is None:
            return
        life = self._lives.get(event.worker_id or job.worker_id or "")
        if event.kind == "taken":
            if life is not None:
                self._taken(life, job)
        else:
            if life is not None and life.held.get(job.id) is not None:
                del life.held[job.id]
                life.settle()
            if event.kind == "ended":
                self._ended(pool, life, event)
            else:
                if not job.policy.low_priority:
                    pool.policy.arrived(time.monotonic())
                if life is not None and job.id in life.worker.jobs:  # its lease ran out: it runs what is not its own
                    self._interrupt(life, job.id, job.attempt)
        self._expiry.poke()
        pool.poke()

    def _taken(self, life: Life, job: Job) -> None:
        life.held[job.id] = job.attempt
        life.idle_at = None
        if life.worker.ready_at is not None and job.queued_at < life.worker.ready_at:
            self._spawn(self.store.note(job, start_phases(job, life.worker)))

    def _ended(self, pool: Pool, life: Life | None, event: JobEvent) -> None:
        job = event.job
        if job.started_at is not None and job.finished_at is not None:
            pool.policy.left(time.monotonic(), max(0.0, job.started_at - job.queued_at), ran_s(job))
        if life is None or life.over:  # over: the job ended because its worker did
            return
        if job.status not in (Status.CANCELLED, Status.TIMED_OUT):
            pool.backoff.worked()
        elif event.worker_id is not None:
            self._interrupt(life, job.id, job.attempt)

    def _on_worker(self, kind: WorkerEventKind, worker: Worker) -> None:
        life = self._lives.get(worker.id)
        if life is None:
            return
        pool = self._pools[worker.endpoint]
        if kind == "ready":
            if life.timer is not None:
                life.timer.cancel()
            pool.became_ready(life)
            self._save(life)
        elif kind == "busy":
            life.idle_at = None
        elif kind == "idle":
            life.idle_at = time.monotonic()
            life.settle()
        elif kind == "draining":
            if life.ending is None:  # the gateway's wish: refresh_worker
                life.ending = "asked for by the worker" if worker.control else "its connection was lost"
                self._spawn(self._end(life))
            self._save(life)
        elif kind == "failed":
            self._spawn(self._fleet.stop(worker.id, STOP_GRACE_S))
        pool.poke()

    def _on_exit(self, exit: Exit) -> None:
        life = self._lives.get(exit.worker_id)
        if life is not None and not life.over:
            life.over = True
            self._spawn(self._bury(life, exit))

    # -- a worker's life

    def begin(self, life: Life) -> None:
        """Starts a worker that a pool decided on."""
        self._lives[life.worker.id] = life
        self._registry.add(life.worker)
        self._spawn(self._start(life))

    async def _start(self, life: Life) -> None:
        worker, endpoint = life.worker, life.endpoint
        try:
            running = await self._fleet.start(endpoint, worker.id, self._env_for(endpoint, worker))
        except (Error, OSError) as exc:
            life.over = True
            worker.error = exc.message if isinstance(exc, Error) else f"The worker could not be started: {exc}."
            worker.error_kind = "no-interpreter" if isinstance(exc, WorkerError) else "system"
            self._pools[endpoint.name].failed(life, "not started", worker.error)
            self._gone(life, "not started", worker.error)
            return
        worker.pid, worker.log_path = running.pid, str(running.log_path)
        worker.forked, worker.start_note = running.forked, running.note
        log.info("worker.started id=%s endpoint=%s pid=%d", worker.id, endpoint.name, running.pid)
        self._save(life)
        if worker.ready_at is None:
            life.timer = asyncio.get_running_loop().call_later(endpoint.start_timeout_s, self._start_overdue, life)
        if life.ending is not None:
            await self._fleet.stop(worker.id, STOP_GRACE_S)

    def _start_overdue(self, life: Life) -> None:
        if life.worker.ready_at is None and not life.over:
            life.fault = f"not ready within {life.endpoint.start_timeout_s:g} s"
            log.warning("worker.not_ready id=%s after_s=%g", life.worker.id, life.endpoint.start_timeout_s)
            self._spawn(self._fleet.stop(life.worker.id, STOP_GRACE_S))

    def retire(self, life: Life, why: str) -> None:
        """Lets a worker end its jobs, take no more and exit; kills it when it does not."""
        if life.ending is not None or life.over:
            return
        life.ending = why
        if life.worker.state is not WorkerState.DRAINING:
            life.worker.state = WorkerState.DRAINING
            self._registry.tell("draining", life.worker)
        self._spawn(self._end(life))

    async def _end(self, life: Life) -> None:
        worker = life.worker
        if worker.control is not None and not life.starting_up:
            worker.control.drain()
            while life.busy:
                life.calm.clear()
                if await _first(life.gone, life.calm, timeout_s=None) is life.gone:
                    return
            # One on a socket exits by itself. One that speaks HTTP goes on polling until it is asked by a signal.
            if worker.carrier == "socket" and await _first(life.gone, timeout_s=STOP_GRACE_S):
                return
        await self._fleet.stop(worker.id, STOP_GRACE_S)

    def _interrupt(self, life: Life, job_id: str, attempt: int) -> None:
        """A job that it holds has ended without it: the worker is asked to stop, then killed."""
        worker = life.worker
        if life.over:
            return
        if worker.control is not None:
            worker.control.cancel(job_id, attempt)
        grace = HTTP_GRACE_S if worker.carrier == "http" else CANCEL_GRACE_S
        if worker.cooperative:
            grace = COOPERATIVE_GRACE_S
        asyncio.get_running_loop().call_later(
            grace, self._kill_if_holding, life, job_id, attempt, time.time() + grace / 2
        )

    def _kill_if_holding(self, life: Life, job_id: str, attempt: int, stopped_by: float | None) -> None:
        """`stopped_by` is the Unix time after which a ping that names the job proves that it runs; None: kill it."""
        held = life.worker.jobs.get(job_id)
        if life.over or held is None or held.attempt != attempt:
            return
        if life.worker.carrier == "http" and stopped_by is not None and (held.last_ping_at or 0.0) < stopped_by:
            asyncio.get_running_loop().call_later(PINGS_S, self._kill_if_holding, life, job_id, attempt, None)
            return
        life.ending = f"the job {job_id} had ended, and its handler did not stop"
        life.spare = True
        log.info("worker.killed id=%s reason=%r", life.worker.id, life.ending)
        life.worker.state = WorkerState.DRAINING
        self._registry.tell("draining", life.worker)
        self._spawn(self._fleet.stop(life.worker.id, 0))

    async def _bury(self, life: Life, exit: Exit) -> None:
        worker = life.worker
        if life.timer is not None:
            life.timer.cancel()
        if worker.state is not WorkerState.DRAINING:
            worker.state = WorkerState.DRAINING  # no job may be handed to it any more
        await self._last_reports(life)
        asked = life.ending is not None and worker.error is None
        text = life.fault or (f"stopped: {life.ending}" if asked else str(exit))
        begun, unbegun = life.leases()
        failed = not asked and (worker.ready_at is None or exit.code != 0 or bool(begun))
        error = (worker.error or last_lines(worker.log_path) or "") if failed else None
        self._pools[worker.endpoint].failed(life, text, error)
        try:
            if unbegun:
                await self.store.release(unbegun, False, f"The worker {worker.id} ended before it began the job.")
            if begun:
                await self.store.release(begun, not life.spare, _loss(worker.id, exit, text))
        except StoreError as exc:
            # They stay in progress in the store, and come back when their lease runs out.
            log.error("jobs.not_given_back worker=%s error=%s", worker.id, exc)
        self._gone(life, text, error)

    async def _last_reports(self, life: Life) -> None:
        """Lets reports that the worker sent before it ended come through."""
        end = time.monotonic() + LAST_REPORT_S
        while life.busy and life.worker.connected and time.monotonic() < end:
            life.calm.clear()
            await _first(life.calm, timeout_s=0.02)

    def _gone(self, life: Life, exit_text: str, error: str | None) -> None:
        worker = life.worker
        level = logging.INFO if error is None else logging.WARNING
        log.log(level, "worker.gone id=%s endpoint=%s exit=%r", worker.id, worker.endpoint, exit_text)
        self._lives.pop(worker.id, None)
        self._spawn(self.store.save_worker(life.record(exit_text, error)))
        self._pools[worker.endpoint].ended(life)
        self._registry.remove(worker.id)
        life.gone.set()

    # -- small parts

    def _pool(self, name: str) -> Pool | None:
        pool = self._pools.get(name)
        if pool is None and (endpoint := self.endpoints.get(name)) is not None:
            pool = self._pools[name] = Pool(self, endpoint)
        return pool

    def _poke(self, name: str) -> None:
        if pool := self._pool(name):
            pool.poke()

    def _save(self, life: Life) -> None:
        self._spawn(self.store.save_worker(life.record()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("scaling.task_failed", exc_info=exc)


def _loss(worker_id: str, exit: Exit, text: str) -> str:
    if exit.out_of_memory:
        return f"The worker {worker_id} ran out of memory and was killed by the system while it ran this job."
    return f"The worker {worker_id} ended ({text}) while it ran this job."


async def _first(*events: asyncio.Event, timeout_s: float | None) -> asyncio.Event | None:
    """The first of the events that is set; None after `timeout_s`."""
    tasks = {asyncio.ensure_future(event.wait()): event for event in events}
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return next((tasks[t] for t in tasks if t in done), None)
    finally:
        for task in tasks:
            task.cancel()
