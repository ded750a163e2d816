"""One worker on the Unix socket: frames in, jobs out by credit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zeroidle.errors import StoreError
from zeroidle.gateway.worker_report import job_keys, job_parts
from zeroidle.gateway.worker_session import WorkerSession
from zeroidle.job import Job, Spooled
from zeroidle.store.protocol import Outcome
from zeroidle.worker import Worker, WorkerState
from zeroidle_worker import wire

if TYPE_CHECKING:
    from zeroidle.gateway.worker_socket import WorkerSocket

log = logging.getLogger("zeroidle.worker")

#: A peer that has not said who it is after so long is cut off.
HELLO_S = 10.0

#: How long one claim waits before it is made anew.
CLAIM_S = 3600.0

#: How long the fleet has to tell a process's end after its connection was lost; then its jobs are given back.
EXIT_S = 1.0

#: Pause before something that the store refused is tried again.
AGAIN_S = 1.0

#: More unhandled bytes than this stop the reading.
INBOX_BYTES = 32 * 1024 * 1024


class WorkerConnection(asyncio.Protocol):
    """Frames are handled in order by one task, so a chunk is never overtaken by the end of its job; a result is
    recorded beside it, so that the next job does not wait for the disk. It is the `Control` of its worker."""

    transport: asyncio.Transport

    def __init__(self, hub: WorkerSocket) -> None:
        self._hub = hub
        self._unpacker = wire.Unpacker()
        self._inbox: deque[wire.Frame] = deque()
        self._inbox_bytes = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._session: WorkerSession | None = None
        self._credit: int | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._told: set[tuple[str, int]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._giver: asyncio.Task[None] | None = None
        self._hello_timer: asyncio.TimerHandle | None = None

    # -- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for the worker's HELLO."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's inherits from nothing
        loop = asyncio.get_running_loop()
        self._hello_timer = loop.call_later(HELLO_S, transport.close)
        self._reader = loop.create_task(self._read())

    def data_received(self, data: bytes) -> None:
        """Queues the frames that are complete."""
        try:
            self._inbox.extend(self._unpacker.feed(data))
        except wire.ProtocolError as exc:
            log.warning("worker.protocol_error id=%s error=%s", self._name, exc)
            self.transport.abort()
            return
        self._inbox_bytes += len(data)
        if self._inbox_bytes > INBOX_BYTES:
            self.transport.pause_reading()
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets the reader finish what has arrived."""
        self._closed = True
        self._arrived.set()
        if self._hello_timer:
            self._hello_timer.cancel()
        if self._giver:
            self._giver.cancel()

    def close(self) -> None:
        """Cuts the connection."""
        self.transport.close()

    async def settled(self) -> None:
        """Waits until the connection has ended and everything that came on it was taken in."""
        if self._reader:
            await asyncio.wait((self._reader,))

    @property
    def _name(self) -> str:
        return self._session.worker.id if self._session else "?"

    # -- Control

    def cancel(self, job_id: str, attempt: int) -> None:
        """Asks the worker to stop one job."""
        self._told.add((job_id, attempt))
        self._send(wire.CANCEL, {"id": job_id, "attempt": attempt})

    def drain(self) -> None:
        """Hands out nothing more and asks the worker to end."""
        if self._giver:
            self._giver.cancel()
        self._send(wire.DRAIN)
        if self._session:
            self._session.retire()

    def _send(self, kind: int, header: dict[str, Any] | None = None) -> None:
        if not self._closed:
            self.transport.write(wire.pack(kind, header))

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
                while self._inbox:
                    await self._handle(self._inbox.popleft())
                self._inbox_bytes = 0
                if self._closed:
                    break
                self.transport.resume_reading()
                self._arrived.clear()
                await self._arrived.wait()
        except Exception:
            log.exception("worker.frame_failed id=%s", self._name)
            self.transport.abort()
        await self._end()

    async def _handle(self, frame: wire.Frame) -> None:
        session, head = self._session, frame.header
        if session is None or frame.kind == wire.HELLO:
            self._hello(frame)
        elif frame.kind == wire.DONE:
            await self._done(session, head, frame.body)
        elif frame.kind == wire.TAKE:
            self._set_credit(int(head["n"]))
        elif frame.kind == wire.STREAM:
            await session.chunk(head["id"], head["attempt"], await self._small(head, frame.body))
        elif frame.kind == wire.PROGRESS:
            await session.progress(head["id"], head["attempt"], await self._small(head, frame.body))
        elif frame.kind == wire.RELEASE:
            await self._released(session, head["ids"])
        elif frame.kind == wire.PHASE:
            session.phase(head["name"], head["start"], head.get("end"), head.get("note"))
        elif frame.kind == wire.READY:
            self._ready(session, int(head["concurrency"]), bool(head.get("cooperative")))
        elif frame.kind == wire.FAILED:
            text = frame.body.decode("utf-8", "replace").strip()
            session.failed(str(head["reason"]), "\n".join(t for t in (str(head.get("message", "")), text) if t))

    def _hello(self, frame: wire.Frame) -> None:
        """Lets the worker in. It comes again on the same connection when it starts anew with the real SDK."""
        head = frame.header
        if frame.kind == wire.HELLO:
            self._session = self._hub.enter(self, str(head.get("worker_id")), str(head.get("token")))
        if self._session is None:
            self._inbox.clear()
            self.transport.close()
            return
        if self._hello_timer:
            self._hello_timer.cancel()
        worker = self._session.worker
        worker.pid = worker.pid or head.get("pid")
        worker.sdk = head.get("sdk") or worker.sdk
        worker.last_seen_at = time.time()
        worker.connected = True
        if str(worker.sdk).startswith("real"):  # it takes its jobs over HTTP
            worker.control = None if worker.control is self else worker.control
        else:
            worker.carrier, worker.control = "socket", self

    def _ready(self, session: WorkerSession, concurrency: int, cooperative: bool) -> None:
        if self._credit is None:
            self._credit = concurrency
        session.ready(concurrency, cooperative)
        if self._giver is None and not self._closed:
            self._giver = asyncio.get_running_loop().create_task(self._give(session))
        self._room.set()

    def _set_credit(self, n: int) -> None:
        self._credit = max(0, n)
        self._room.set()

    async def _done(self, session: WorkerSession, head: dict[str, Any], body: bytes) -> None:
        job_id, attempt = str(head["id"]), int(head["attempt"])
        path = self._file(head)
        report = await session.parse(path or body)
        if path:
            path.unlink(missing_ok=True)
        log_range = (int(head["log"][0]), int(head["log"][1])) if head.get("log") else None
        run_s = float(head["run_s"]) if head.get("run_s") is not None else None
        outcome = report.outcome(run_s, log_range)
        session.ended(session.drop(job_id, attempt), run_s)
        self._told.discard((job_id, attempt))
        if head.get("refresh") or report.stop:
            session.retire()
        self._room.set()
        self._spawn(self._record(session, job_id, attempt, outcome))

    async def _record(self, session: WorkerSession, job_id: str, attempt: int, outcome: Outcome) -> None:
        """Records a result; while the store cannot take it, keeps the lease and tries again."""
        while True:
            try:
                await session.finish(job_id, attempt, outcome)
                return
            except StoreError as exc:
                log.error("report.not_kept job=%s error=%s", job_id, exc)
                await asyncio.sleep(AGAIN_S)
                if job_id in await session.renew([job_id]):
                    session.discard(outcome)
                    return

    async def _released(self, session: WorkerSession, ids: list[str]) -> None:
        await session.give_back(ids, False, "The worker gave the job back before it began it.")
        self._room.set()

    async def _small(self, head: dict[str, Any], body: bytes) -> bytes:
        if path := self._file(head):
            body = await asyncio.to_thread(path.read_bytes)
            path.unlink(missing_ok=True)
        return body

    def _file(self, head: dict[str, Any]) -> Path | None:
        """The file that a frame names; only one in the plane's own folder is taken over."""
        if not head.get("path"):
            return None
        assert self._session is not None
        path, data = Path(head["path"]).resolve(), self._session.store.spool.resolve().parent
        if not path.is_relative_to(data):
            raise wire.ProtocolError(f"the worker names a file outside of {data}: {path}")
        return path

    # -- jobs out

    async def _give(self, session: WorkerSession) -> None:
        """Hands out jobs as long as there is credit."""
        worker = session.worker
        while not self._closed and worker.state is WorkerState.READY:
            room = (self._credit or 0) - len(worker.jobs)
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            try:
                jobs = await session.claim(room, CLAIM_S)
                if jobs:
                    self._write(session, jobs)
            except StoreError as exc:
                log.error("jobs.take_failed worker=%s error=%s", worker.id, exc)
                await asyncio.sleep(AGAIN_S)

    def _write(self, session: WorkerSession, jobs: list[Job]) -> None:
        self.transport.writelines([self._frame(session, job) for job in jobs])

    def _frame(self, session: WorkerSession, job: Job) -> bytes:
        head: dict[str, Any] = {"id": job.id, "attempt": job.attempt}
        if (deadline := session.deadline(job)) is not None:
            head["deadline"] = deadline
        spool = session.store.spool
        if isinstance(job.input, Spooled):
            head["path"] = str((spool / job.input.path).absolute())
            return wire.pack(wire.JOB, head, job_keys(job))
        (body,) = job_parts(job, spool)
        assert isinstance(body, bytes)
        return wire.pack(wire.JOB, head, body)

    # -- the end

    async def _end(self) -> None:
        """After a connection was lost: the process's end says why, unless it lives on."""
        session = self._session
        if session is None:
            return
        worker = session.worker
        if self._tasks:
            await asyncio.wait(self._tasks)
        worker.connected = False
        if worker.control is self:
            await self._hub.ended(worker, EXIT_S)
            await self._abandon(session, worker)
        self._hub.left(self)

    async def _abandon(self, session: WorkerSession, worker: Worker) -> None:
        """Gives back what the worker still holds. Alone, it had begun only the first (see `wire`)."""
        if worker.control is not self:
            return  # it has connected again
        worker.control = None
        held = list(worker.jobs)
        begun = held[:1] if worker.concurrency == 1 else held
        reason = "The worker's connection to the plane was lost while it worked on the job."
        # The ones behind go first: given back to the front of the queue, each stands before those that came earlier.
        await session.give_back(held[len(begun) :], False, "The worker was lost before it began the job.")
        await session.give_back(begun, True, reason)
        if self._hub.lives(worker):
            session.retire()

    def _spawn(self, coro: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


