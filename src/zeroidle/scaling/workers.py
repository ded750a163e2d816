"""Starts, retires, interrupts and buries workers, and gives the jobs of dead ones back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from zeroidle.endpoint import Endpoint
from zeroidle.errors import Error, StoreError, WorkerError
from zeroidle.fleet.protocol import Exit, Fleet
from zeroidle.scaling.life import Life
from zeroidle.scaling.waits import last_lines
from zeroidle.store.protocol import Store
from zeroidle.worker import Registry, Worker, WorkerState

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
#: A worker that ends right after it has connected may be gone before its connection is accepted and read. Both wait
#: in the kernel by then, so what is needed is turns of the loop, however long those take.
ACCEPT_TURNS, ACCEPT_PAUSE_S = 20, 0.005


class Workers:
    """`lives` are all workers that have not ended. `failed` is told of a failed start or a crash (with how it ended
    and the last words) before the jobs are given back, `suspect` when it is one of several jobs that did it, `ended`
    of every end."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        registry: Registry,
        env_for: Callable[[Endpoint, Worker], dict[str, str]],
        failed: Callable[[Life, str, str | None], None],
        suspect: Callable[[Life, list[str]], Awaitable[None]],
        ended: Callable[[Life], None],
    ) -> None:
        self.lives: dict[str, Life] = {}
        self._store = store
        self._fleet = fleet
        self._registry = registry
        self._env_for = env_for
        self._failed = failed
        self._suspect = suspect
        self._ended = ended
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, life: Life) -> None:
        """Starts a worker that a pool decided on."""
        self.lives[life.worker.id] = life
        self._registry.add(life.worker)
        self.spawn(self._start(life))

    async def _start(self, life: Life) -> None:
        worker, endpoint = life.worker, life.endpoint
        try:
            running = await self._fleet.start(endpoint, worker.id, self._env_for(endpoint, worker))
        except Exception as exc:  # whatever it is, a worker that is not there must not count as starting
            if not isinstance(exc, (Error, OSError)):
                log.exception("worker.start_failed id=%s", worker.id)
            life.over = True
            worker.error = exc.message if isinstance(exc, Error) else f"The worker could not be started: {exc}."
            worker.error_kind = "no-interpreter" if isinstance(exc, WorkerError) else "system"
            self._failed(life, "not started", worker.error)
            self._gone(life, "not started", worker.error)
            return
        worker.pid, worker.log_path = running.pid, str(running.log_path)
        worker.forked, worker.start_note = running.forked, running.note
        log.info("worker.started id=%s endpoint=%s pid=%d", worker.id, endpoint.name, running.pid)
        self.save(life)
        if worker.ready_at is None:
            life.timer = asyncio.get_running_loop().call_later(endpoint.start_timeout_s, self._start_overdue, life)
        if life.ending is not None:
            await self._fleet.stop(worker.id, STOP_GRACE_S)

    def _start_overdue(self, life: Life) -> None:
        if life.worker.ready_at is None and not life.over:
            life.fault = f"not ready within {life.endpoint.start_timeout_s:g} s"
            log.warning("worker.not_ready id=%s after_s=%g", life.worker.id, life.endpoint.start_timeout_s)
            self.spawn(self._fleet.stop(life.worker.id, STOP_GRACE_S))

    def retire(self, life: Life, why: str) -> None:
        """Lets a worker end its jobs, take no more and exit; kills it when it does not."""
        if life.ending is not None or life.over:
            return
        life.ending = why
        if life.worker.state is not WorkerState.DRAINING:
            life.worker.state = WorkerState.DRAINING
            self._registry.tell("draining", life.worker)
        self.spawn(self.end(life))

    async def end(self, life: Life) -> None:
        """Waits for the jobs of a worker that takes no more, and sees it out."""
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

    def interrupt(self, life: Life, job_id: str, attempt: int) -> None:
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
        self.spawn(self._fleet.stop(life.worker.id, 0))

    async def _bury(self, life: Life, exit: Exit) -> None:
        worker = life.worker
        if life.timer is not None:
            life.timer.cancel()
        await self._last_words(life)
        life.over = True
        if worker.state is not WorkerState.DRAINING:
            worker.state = WorkerState.DRAINING  # no job may be handed to it any more
        await self._last_reports(life)
        asked = life.ending is not None and worker.error is None
        text = life.fault or (f"stopped: {life.ending}" if asked else str(exit))
        begun, unbegun = life.leases()
        failed = not asked and (worker.ready_at is None or exit.code != 0 or bool(begun))
        error = (worker.error or last_lines(worker.log_path) or "") if failed else None
        self._failed(life, text, error)
        try:
            if unbegun:
                await self._store.release(unbegun, False, f"The worker {worker.id} ended before it began the job.")
            if len(begun) > 1 and not life.spare:
                await self._suspect(life, [lease.job_id for lease in begun])
                await self._store.release(begun, False, _loss(worker.id, exit, text, f"one of {len(begun)} jobs"))
            elif begun:
                await self._store.release(begun, not life.spare, _loss(worker.id, exit, text, "this job"))
        except StoreError as exc:
            # They stay in progress in the store, and come back when their lease runs out.
            log.error("jobs.not_given_back worker=%s error=%s", worker.id, exc)
        self._gone(life, text, error)

    async def _last_words(self, life: Life) -> None:
        """Lets a worker say why its start failed. Until then it counts as starting, so that no other one is started
        before it is known whether that makes sense."""
        worker, end, turns = life.worker, time.monotonic() + LAST_REPORT_S, 0
        while life.starting_up and worker.error is None and life.ending is None and life.fault is None:
            if worker.connected:
                over = time.monotonic() > end
            else:  # it has come and gone, or it does not come
                over = worker.last_seen_at is not None or turns >= ACCEPT_TURNS
            if over:
                return
            turns += 1
            await asyncio.sleep(ACCEPT_PAUSE_S)

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
        self.lives.pop(worker.id, None)
        self.spawn(self._store.save_worker(life.record(exit_text, error)))
        self._ended(life)
        self._registry.remove(worker.id)
        life.gone.set()

    def exited(self, exit: Exit) -> None:
        """The fleet says that a process has ended, once for each."""
        life = self.lives.get(exit.worker_id)
        if life is not None and not life.over:
            self.spawn(self._bury(life, exit))

    def stop(self, life: Life, grace_s: float = STOP_GRACE_S) -> None:
        """Has its process ended, whatever it does."""
        self.spawn(self._fleet.stop(life.worker.id, grace_s))

    def save(self, life: Life) -> None:
        """Keeps its record."""
        self.spawn(self._store.save_worker(life.record()))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something to its end beside the loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("scaling.task_failed", exc_info=exc)

    async def drain(self, grace_s: float) -> None:
        """Lets all end their jobs, at most for `grace_s`, then ends them; what is unfinished goes back in the queue."""
        lives = list(self.lives.values())
        for life in lives:
            self.retire(life, "plane stops")
        if lives:
            await asyncio.wait([asyncio.ensure_future(life.gone.wait()) for life in lives], timeout=grace_s)
        for life in list(self.lives.values()):
            life.spare = True
            self.stop(life, 0)
        await asyncio.gather(*(life.gone.wait() for life in lives))
        while self._tasks:
            await asyncio.wait(set(self._tasks))


def _loss(worker_id: str, exit: Exit, text: str, what: str) -> str:
    if exit.out_of_memory:
        return f"The worker {worker_id} ran out of memory and was killed by the system while it ran {what}."
    return f"The worker {worker_id} ended ({text}) while it ran {what}."


async def _first(*events: asyncio.Event, timeout_s: float | None) -> asyncio.Event | None:
    """The first of the events that is set; None after `timeout_s`."""
    tasks = {asyncio.ensure_future(event.wait()): event for event in events}
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return next((tasks[t] for t in tasks if t in done), None)
    finally:
        for task in tasks:
            task.cancel()
