"""One real SDK worker behind the HTTP carrier: its evidence, its stop list, and how the plane speaks to it."""

from __future__ import annotations

import asyncio
import logging
import time

from zeroidle.gateway.worker_env import PING_INTERVAL_MS
from zeroidle.gateway.worker_evidence import Evidence, Lost, version_of
from zeroidle.gateway.worker_session import WorkerSession
from zeroidle.job import Job, Status
from zeroidle.store.protocol import Outcome
from zeroidle.worker import WorkerState

log = logging.getLogger("zeroidle.worker")

#: A worker is told again to stop a job that it still names after so long.
TELL_AGAIN_S = 10.0

#: A job that was handed out so long ago has begun.
BUSY_S = 0.5

#: A ready worker with nothing to do that has no poll open for so long will not take a job again.
SILENT_S = 30.0


class HttpPeer:
    """The plane's end of one SDK worker; it is the `Control` of its worker."""

    def __init__(self, session: WorkerSession) -> None:
        self.session = session
        self.worker = session.worker
        self.evidence = Evidence(PING_INTERVAL_MS / 1000)
        self.open_takes = 0
        self.stoppable = False  # its loop goes on while a job runs, so it can stop one
        self._probed: tuple[str, int] | None = None
        self.stops: set[str] = set()
        self.changed = asyncio.Event()
        self._told: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.worker.carrier = "http"
        self.worker.control = self

    def hello(self, agent: str | None) -> None:
        """Notes the SDK's version from a User-Agent or a ping."""
        if self.evidence.version is None and (version := version_of(agent)):
            self.evidence.version = version
            self.worker.sdk = "runpod " + ".".join(map(str, version))

    # -- Control

    def cancel(self, job_id: str, attempt: int) -> None:
        """Puts the job on the answer of the worker's job-stop poll; only an async handler can follow it."""
        held = self.worker.jobs.get(job_id)
        if held is None or held.attempt == attempt:
            self.stops.add(job_id)
            self.changed.set()

    def drain(self) -> None:
        """Hands out no more jobs. The SDK knows no such message: its process ends on SIGTERM."""
        self.session.retire()
        self.changed.set()

    async def recap(self) -> None:
        """Counts from the worker's next poll: one that is open is answered as it was asked."""

    def told(self) -> list[str]:
        """The jobs to stop, which from now on count as told."""
        ids, now = sorted(self.stops), time.time()
        self.stops.clear()
        self._told = {i: at for i, at in self._told.items() if now - at < TELL_AGAIN_S}
        self._told.update(dict.fromkeys(ids, now))
        return ids

    # -- whether a job can be stopped: an async handler can, a sync one blocks the SDK's loop and its polls

    def polls_stop(self, now: float) -> None:
        """Notes a job-stop poll. One that comes while a job runs shows that the handler does not block the loop."""
        if not self.stoppable and any(now - held.taken_at > BUSY_S for held in self.worker.jobs.values()):
            self.stoppable = self.worker.cooperative = True

    def must_prove(self, now: float) -> bool:
        """Whether to answer a held job-stop poll, to see whether another one comes; once for each longer job."""
        held = next(iter(self.worker.jobs.values()), None)
        if self.stoppable or held is None or now - held.taken_at < BUSY_S:
            return False
        before, self._probed = self._probed, (held.job_id, held.attempt)
        return before != self._probed

    # -- waiting

    async def nudge(self, claim: asyncio.Future[list[Job]] | None, closing: asyncio.Event, timeout_s: float) -> None:
        """Waits until the claim is done, something changed here, the plane closes, or the time is over."""
        self.changed.clear()
        waits: set[asyncio.Future[object]] = {
            asyncio.ensure_future(self.changed.wait()), asyncio.ensure_future(closing.wait())
        }  # fmt: skip
        try:
            await asyncio.wait(
                waits | ({claim} if claim else set()), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()

    def take_back(self, claim: asyncio.Future[list[Job]]) -> None:
        """Gives back what a claim brings after its poll has died."""
        task = asyncio.get_running_loop().create_task(self._take_back(claim))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_back(self, claim: asyncio.Future[list[Job]]) -> None:
        await asyncio.wait((claim,))
        if not claim.cancelled() and claim.exception() is None:
            ids = [job.id for job in claim.result()]
            await self.session.give_back(ids, False, "The worker's poll had died before the job reached it.")

    # -- evidence

    async def pinged(self, named: set[str], now: float) -> None:
        """Acts on a ping: renews leases, ends what got lost, asks to stop what is not the worker's any more."""
        self.worker.pings = True
        held = list(self.worker.jobs.values())
        lost = self.evidence.pinged(named, held, now)
        kept = [h.job_id for h in held if self.evidence.keeps(h, named)]
        strange = set(await self.session.renew([*kept, *(named - set(kept))]))
        for job_id in strange & named:
            if now - self._told.get(job_id, 0.0) > TELL_AGAIN_S:
                self.stops.add(job_id)
                self.changed.set()
        for job in held:
            # It ended elsewhere (a cancel, a time-out), and the worker has stopped it: SDKs do not report that.
            if job.job_id in strange and job.job_id not in named:
                self.session.drop(job.job_id, job.attempt)
        await self.settle(lost)
        self._notice_silence(named, now)

    async def settle(self, lost: list[Lost]) -> None:
        """Ends or gives back jobs that the worker has no more."""
        for one in lost:
            if one.final:
                if self.session.drop(one.job_id, one.attempt):
                    log.warning("job.unreported id=%s worker=%s", one.job_id, self.worker.id)
                    await self.session.finish(one.job_id, one.attempt, Outcome(Status.FAILED, error=one.reason))
            else:
                await self.session.give_back([one.job_id], True, one.reason)

    def _notice_silence(self, named: set[str], now: float) -> None:
        worker = self.worker
        if worker.state is not WorkerState.READY or worker.jobs or named or self.open_takes:
            return
        if worker.last_poll_at is not None and now - worker.last_poll_at > SILENT_S:
            self.session.failed("silent", f"The worker pings, but has not asked for a job for {SILENT_S:.0f} s.")
            self.session.retire()
