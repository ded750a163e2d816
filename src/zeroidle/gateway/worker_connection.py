"""One worker on the Unix socket: frames in, jobs out by credit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, cast

from zeroidle.errors import StoreError
from zeroidle.gateway.worker_frames import (
    HELLO_MAX_BYTES,
    Done,
    Failed,
    FrameReader,
    Head,
    Hello,
    PhaseSaid,
    Progress,
    Ready,
    Release,
    Stream,
    Take,
    job_frames,
)  # fmt: skip
from zeroidle.gateway.worker_results import Results
from zeroidle.gateway.worker_session import WorkerSession
from zeroidle.job import Job
from zeroidle.store.protocol import Waiter
from zeroidle.worker import Worker, WorkerState
from zeroidle_worker import wire

if TYPE_CHECKING:
    from zeroidle.gateway.worker_socket import WorkerSocket

log = logging.getLogger("zeroidle.worker")

#: More unhandled bytes than this stop the reading.
INBOX_BYTES = 32 * 1024 * 1024


class WorkerConnection(asyncio.Protocol):
    """Frames are handled in order by one task, so a chunk is never overtaken by the end of its job. It is the
    `Control` of its worker."""

    transport: asyncio.Transport

    def __init__(self, hub: WorkerSocket) -> None:
        self._hub = hub
        self._frames = FrameReader(HELLO_MAX_BYTES)
        self._inbox: deque[tuple[Head, bytes]] = deque()
        self._inbox_bytes = 0
        self._arrived = asyncio.Event()
        self._reading = False  # the reader is at work; what comes must wait for its turn
        self._closed = False
        self._session: WorkerSession | None = None
        self._results: Results | None = None
        self._credit: int | None = None
        self._told: set[tuple[str, int]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._waiter: Waiter | None = None
        self._hello_timer: asyncio.TimerHandle | None = None

    # -- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for the worker's HELLO."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from asyncio's
        loop = asyncio.get_running_loop()
        self._hello_timer = loop.call_later(self._hub.hello_s, self.transport.abort)
        self._reader = loop.create_task(self._read())

    def data_received(self, data: bytes) -> None:
        """Takes small results in at once, which is most of what comes, and queues the other frames."""
        inbox, results = self._inbox, self._results
        try:
            for head, body in self._frames.feed(data):
                if type(head) is Done and head.path is None and results and not inbox and not self._reading:
                    results.add(head, body)
                    self._told.discard((head.id, head.attempt))
                else:
                    inbox.append((head, body))
        except wire.ProtocolError as exc:
            self._refuse(exc)
        except Exception:
            log.exception("worker.frame_failed")
            self.transport.abort()
        if results:
            results.record()
        if inbox:
            self._inbox_bytes += len(data)
            if self._inbox_bytes > INBOX_BYTES:
                self.transport.pause_reading()
            self._arrived.set()
        else:
            self._offer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets the reader finish what has arrived."""
        self._closed = True
        self._arrived.set()
        if self._hello_timer:
            self._hello_timer.cancel()
        self._withdraw()

    def close(self) -> None:
        """Cuts the connection."""
        self.transport.close()

    async def settled(self) -> None:
        """Waits until the connection has ended and everything that came on it was taken in."""
        if self._reader:
            await asyncio.wait((self._reader,))

    def _refuse(self, exc: wire.ProtocolError) -> None:
        log.warning("worker.protocol_error id=%s error=%s", self._session.worker.id if self._session else "?", exc)
        self.transport.abort()

    # -- Control

    def cancel(self, job_id: str, attempt: int) -> None:
        """Asks the worker to stop one job."""
        self._told.add((job_id, attempt))
        if not self._closed:
            self.transport.write(wire.pack(wire.CANCEL, {"id": job_id, "attempt": attempt}))

    def drain(self) -> None:
        """Hands out nothing more and asks the worker to end."""
        self._withdraw()
        if not self._closed:
            self.transport.write(wire.pack(wire.DRAIN))
        if self._session:
            self._session.retire()

    async def recap(self) -> None:
        """Waits for no more jobs than the worker's `cap` allows."""
        self._offer()

    async def renew(self, now: float) -> None:
        """Extends the leases of the worker's jobs; asks it to stop those that are not its own any more."""
        session = self._session
        if session is None:
            return
        if session.worker.carrier == "http" and not session.worker.pings:
            # Its pinging process could not start; that the connection is open shows that the worker lives.
            await session.renew(list(session.worker.jobs))
        if session.worker.control is not self:
            return
        session.worker.last_seen_at = now
        for job_id in await session.renew(list(session.worker.jobs)):
            held = session.worker.jobs.get(job_id)
            if held and (job_id, held.attempt) not in self._told:
                self.cancel(job_id, held.attempt)

    # -- frames in

    async def _read(self) -> None:
        try:
            while True:
                self._reading = True
                while self._inbox:
                    head, body = self._inbox.popleft()
                    await self._handle(head, body)
                if self._results:
                    self._results.record()
                self._reading = False
                self._offer()
                self._inbox_bytes = 0
                if self._closed:
                    break
                self.transport.resume_reading()
                self._arrived.clear()
                await self._arrived.wait()
        except wire.ProtocolError as exc:
            self._refuse(exc)
        except Exception:
            log.exception("worker.frame_failed")
            self.transport.abort()
        await self._end()

    async def _handle(self, head: Head, body: bytes) -> None:
        if isinstance(head, Hello):
            self._hello(head)
            return
        session, results = self._session, self._results
        if session is None or results is None:
            raise wire.ProtocolError("its first frame is not HELLO")
        if isinstance(head, Done):
            if head.path is None:
                results.add(head, body)
            else:
                await results.add_file(head, head.path)
            self._told.discard((head.id, head.attempt))
            return
        results.record()
        if isinstance(head, Stream):
            if head.path is not None:
                path = results.file(head.path)
                body = await asyncio.to_thread(path.read_bytes)
                path.unlink(missing_ok=True)
            take = session.progress if isinstance(head, Progress) else session.chunk
            await take(head.id, head.attempt, body)
        elif isinstance(head, Take):
            self._credit = head.n
        elif isinstance(head, Release):
            await session.give_back(head.ids, False, "The worker gave the job back before it began it.")
        elif isinstance(head, PhaseSaid):
            session.phase(head.name, head.start, head.end, head.note)
        elif isinstance(head, Ready):
            self._ready(session, head)
        elif isinstance(head, Failed):
            trace = body.decode("utf-8", "replace").strip()
            session.failed(head.reason, "\n".join(text for text in (head.message, trace) if text))

    def _hello(self, head: Hello) -> None:
        """Lets the worker in. It comes again on the same connection when it starts anew with the real SDK."""
        session = self._hub.enter(self, head.worker_id, head.token)
        if session is None or (self._session is not None and self._session.worker is not session.worker):
            raise wire.ProtocolError("it does not prove to be a worker of this plane")
        if self._hello_timer:
            self._hello_timer.cancel()
        if self._session is None:
            self._session, self._results = session, Results(session)
        self._frames.max_bytes = wire.MAX_FRAME
        worker = session.worker
        worker.pid = worker.pid or head.pid
        worker.sdk = head.sdk or worker.sdk
        worker.last_seen_at = time.time()
        worker.connected = True
        if (worker.sdk or "").startswith("real"):  # it takes its jobs over HTTP
            worker.control = None if worker.control is self else worker.control
        else:
            worker.carrier, worker.control = "socket", self

    def _ready(self, session: WorkerSession, head: Ready) -> None:
        if self._credit is None:
            self._credit = head.concurrency
        session.ready(head.concurrency, head.cooperative)

    # -- jobs out

    def _offer(self) -> None:
        """Waits for as many jobs as the worker has room for."""
        session = self._session
        if session is None or self._credit is None:
            return
        worker = session.worker
        room = (self._credit if worker.cap is None else min(self._credit, worker.cap)) - len(worker.jobs)
        if room <= 0 or not self._takes(worker):
            self._withdraw()
            return
        waiter = self._waiter
        if waiter is None:
            waiter = self._waiter = Waiter(worker.id, room, session.lease_s, self._hand_out)
        waiter.limit, waiter.lease_s = room, session.lease_s
        try:
            session.store.offer(worker.endpoint, waiter)
        except StoreError as exc:
            log.error("jobs.take_failed worker=%s error=%s", worker.id, exc)

    def _takes(self, worker: Worker) -> bool:
        """Whether jobs may go to the worker this way. A connection that is closing is not told so at once."""
        here = not self._closed and not self.transport.is_closing() and worker.control is self
        return here and worker.state is WorkerState.READY

    def _withdraw(self) -> None:
        if self._waiter is not None and self._session is not None:
            self._session.store.withdraw(self._session.worker.endpoint, self._waiter)

    def _hand_out(self, jobs: list[Job]) -> bool:
        session = self._session
        if session is None or not self._takes(session.worker):
            return False
        frames = job_frames(session, jobs)
        try:
            session.hold(jobs)
        except BaseException:
            for job in jobs:
                session.worker.jobs.pop(job.id, None)
            raise
        self.transport.write(frames)
        self._offer()
        return True

    # -- the end

    async def _end(self) -> None:
        """After a connection was lost: the process's end says why, unless it lives on."""
        session = self._session
        if session is None or self._results is None:
            return
        worker = session.worker
        await self._results.settled()
        worker.connected = False
        if worker.control is self:
            await self._hub.ended(worker)
            await self._abandon(session, worker)
        self._hub.left(self)

    async def _abandon(self, session: WorkerSession, worker: Worker) -> None:
        """Gives back what the worker still holds. Alone, it had begun only the first (see `wire`)."""
        if worker.control is not self:
            return  # it has connected again
        worker.control = None
        held = list(worker.jobs)
        begun = held[:1] if worker.concurrency == 1 else held
        if self._hub.lives(worker):
            session.retire()
        reason = "The worker's connection to the plane was lost while it worked on the job."
        # The ones behind go first: given back to the front of the queue, each stands before those that came earlier.
        await session.give_back(held[len(begun) :], False, "The worker was lost before it began the job.")
        await session.give_back(begun, True, reason)
