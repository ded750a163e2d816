"""The store of one machine: queues in memory, one SQLite file behind them, commits in groups."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from zeroidle.endpoint import Endpoint
from zeroidle.errors import Conflict, NotFound, StoreError, StoreFull
from zeroidle.job import Job, Payload, Phase, Spooled, Status
from zeroidle.store.changes import Changes, again
from zeroidle.store.database import explain, prepare
from zeroidle.store.journal import Journal
from zeroidle.store.ledger import Ledger
from zeroidle.store.lock import FolderLock
from zeroidle.store.notice import body_parts
from zeroidle.store.protocol import Counts, JobEvent, Lease, Outcome
from zeroidle.store.queue import Waiter
from zeroidle.store.reader import Reader
from zeroidle.store.rows import sound, sound_outcome, text
from zeroidle.store.spool import LARGE_BYTES, Spool

log = logging.getLogger(__name__)

#: Ended jobs that one call of `expire` forgets at most.
_FORGET_AT_ONCE = 2000
#: Deliveries that are over are kept this long (delivered, dead), and this many workers that are gone.
_DELIVERED_KEPT_S, _DEAD_KEPT_S = 86_400.0, 7 * 86_400.0
_WORKERS_KEPT = 1000
_TIDY_EVERY_S = 3600.0
#: One answer of `read_stream` holds at most this much, but at least one chunk.
_STREAM_BYTES = 4 << 20
_MAX_SEQ = 2**63 - 1

#: Jobs handed to a waiter, each with the attempt that it was handed out as.
_Handed = list[tuple[Job, int]]


class SqliteStore(Ledger):
    """Implements `store.protocol.Store` on `folder`/zeroidle.db; large payloads are files in `spool`.

    `endpoints` is live: timeouts, retries and retention are looked up in it when they are needed. All methods are
    called on one event loop.
    """

    def __init__(self, folder: Path, endpoints: Mapping[str, Endpoint]) -> None:
        self.spool = folder / "spool"
        self._path = folder / "zeroidle.db"
        self._files = Spool(self.spool)
        self._lock = FolderLock(folder)
        self._journal = Journal(self._path, self._files)
        super().__init__(Changes(endpoints, self._journal, self._files), Reader(self._path))
        self._changes.on_restored = self._serve
        self._state = self._changes.state
        self._claims: dict[Waiter, asyncio.Future[_Handed]] = {}
        self._serving: set[str] = set()
        self._tidied_at = 0.0

    # Life

    async def open(self) -> None:
        """Opens or makes the files, loads the queue, removes what a crash left. Raises StoreError when another plane
        uses the folder, or when the file is damaged or made by a later version."""
        try:
            await asyncio.to_thread(self._open_files)
            self._journal.start()
        except BaseException as exc:
            self._reader.close()
            self._lock.free()
            if isinstance(exc, StoreFull):
                raise StoreFull(f"The disk of {self._path.parent} is full; free some space and start again.") from exc
            raise
        self._open = True

    def _open_files(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise explain(exc, self._path) from exc
        self._lock.take()
        prepare(self._path)
        self._files.make()
        reader, state = self._reader, self._state
        reader.open()
        state.last_seq = reader.last_seq()
        for job in reader.live():
            state.load(job)
        for name, completed, failed, retried in reader.counters():
            queue = state.queue(name)
            queue.completed, queue.failed, queue.retried = completed, failed, retried
        swept = self._files.sweep(reader.files())
        if swept:
            log.info("store.swept files=%d", swept)

    async def close(self) -> None:
        """Commits everything and closes; whoever waits is answered."""
        if not self._open:
            return
        self._open = False
        for future in self._claims.values():
            if not future.done():
                future.set_result([])
        self._changes.wake_all()
        try:
            await self._changes.durable(everything=True)
        except StoreError as exc:
            log.error("store.last_commit_failed error=%s", exc)  # nobody was told that it is durable
        await asyncio.to_thread(self._journal.stop)
        self._reader.close()
        self._lock.free()

    # Clients

    async def put(self, job: Job) -> Job:
        """Takes a new job. With a known idempotency key of the endpoint, answers the earlier job instead."""
        self._check_open()
        given = job.input
        if isinstance(given, Spooled) or len(given) >= LARGE_BYTES:
            job.input = await asyncio.to_thread(self._keep, given)
        try:
            earlier = await self._earlier(job) if job.idempotency_key is not None else None
            if earlier is not None:
                self._discard(given, job.input)
                return earlier
            self._state.put(job, time.time())
            self._changes.enlist(job)
            self._serve(job.endpoint)
            await self._changes.durable()
        except Exception as exc:
            self._discard(given, job.input)
            if isinstance(exc, StoreError) and self._reader.taken(job.endpoint, job.id):
                raise Conflict(f"There is a job with the id {job.id} already.") from exc
            raise
        return job

    async def put_and_wait(self, job: Job, timeout_s: float) -> Job | None:
        """`put` and `wait` in one. What it answers is durable; a job that ends soon is written once, with its end."""
        if job.idempotency_key is not None or isinstance(job.input, Spooled) or len(job.input) >= LARGE_BYTES:
            kept = await self.put(job)
            return await self.wait(kept.endpoint, kept.id, timeout_s)
        self._check_open()
        self._state.put(job, time.time())
        self._serve(job.endpoint)
        end, left_s = time.monotonic() + timeout_s, timeout_s
        while left_s > 0 and self._open:
            if await self._changes.watch(job, left_s) is job:
                return job
            if self._state.find(job.endpoint, job.id) is not job:
                break  # it could not be written
            left_s = end - time.monotonic()
        if not job.final:
            await self._changes.durable(everything=True)
        found = await self.get(job.endpoint, job.id)
        if found is None:
            raise again(self._changes.error)
        return found

    async def _earlier(self, job: Job) -> Job | None:
        """The job that came with the same idempotency key."""
        endpoint, key = job.endpoint, job.idempotency_key
        assert key is not None
        while (earlier := self._changes.keys.get((endpoint, key))) is not None:
            with suppress(StoreError):  # then it is gone, or was durable before
                await self._changes.durable()
            if not earlier.final and self._changes.keys.get((endpoint, key)) is earlier:
                return earlier
        found = self._reader.id_of_key(endpoint, key)
        if found is None:
            return None
        seq, job_id, forget_at, files = found
        if forget_at is not None and forget_at <= time.time():
            self._changes.forget([seq], files)  # its time is over, its row still there
            return None
        return await self.get(endpoint, job_id)

    async def get(self, endpoint: str, job_id: str) -> Job | None:
        """The job, or None when there is none or its time is over."""
        while (job := self._state.find(endpoint, job_id)) is not None:
            if not job.final:
                return job
            with suppress(StoreError):  # then the end was taken back
                await self._changes.durable()
        now = time.time()
        return self._changes.recent.get(endpoint, job_id, now) or self._reader.job(endpoint, job_id, now)

    async def wait(self, endpoint: str, job_id: str, timeout_s: float) -> Job | None:
        """Like `get`, but first waits until the job is final, at most `timeout_s`."""
        end = time.monotonic() + timeout_s
        job = await self.get(endpoint, job_id)
        while job is not None and not job.final and self._open and (left_s := end - time.monotonic()) > 0:
            job = await self._changes.watch(job, left_s) or await self.get(endpoint, job_id)
        return job

    async def cancel(self, endpoint: str, job_id: str) -> Job | None:
        """Ends a job that is not final as CANCELLED; answers the job as it then is (None: no such job)."""
        self._check_open()
        job = await self.get(endpoint, job_id)
        if job is not None and not job.final:
            self._state.cancel(job, time.time())
            await self._changes.durable()
        return job

    async def retry(self, endpoint: str, job_id: str) -> Job:
        """Puts a FAILED or TIMED_OUT job back in the queue, its output removed. Raises NotFound, Conflict."""
        self._check_open()
        job = await self.get(endpoint, job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id} here; it may have expired.")
        output = job.output
        self._state.revive(job, time.time())
        if isinstance(output, Spooled):
            self._changes.remove_files([output.path])
        self._serve(endpoint)
        await self._changes.durable()
        return job

    async def purge(self, endpoint: str) -> int:
        """Cancels every queued job of the endpoint; answers how many."""
        self._check_open()
        jobs = self._state.purge(endpoint, time.time())
        if jobs:
            await self._changes.durable()
        return len(jobs)

    async def read_stream(
        self, endpoint: str, job_id: str, start: int | None = None, wait_s: float = 0.0
    ) -> tuple[Job, list[bytes]] | None:
        """The chunks (raw JSON) from `start`, or those not read yet, which then count as read. Waits up to `wait_s`
        for the first one or the job's end. One answer holds at most 4 MiB; ask again for the rest."""
        end = time.monotonic() + wait_s
        while (job := await self.get(endpoint, job_id)) is not None:
            if job.final:
                job.chunks_read = self._changes.read_before(job)
            first = job.chunks_read if start is None else start
            if job.chunks > first and self._changes.has_chunks(job):
                await self._changes.durable()
            elif job.chunks > first:
                return job, await self._take_chunks(job, first, counts=start is None)
            elif job.final or not self._open or (left_s := end - time.monotonic()) <= 0:
                return job, []
            else:
                await self._changes.watch(job, left_s)
        return None

    async def _take_chunks(self, job: Job, first: int, counts: bool) -> list[bytes]:
        chunks = self._reader.chunks(job.seq, first, job.chunks, _STREAM_BYTES)
        if counts and chunks:
            job.chunks_read = first + len(chunks)
            self._changes.count_read(job)
            await self._changes.durable()
        return chunks

    async def list_jobs(
        self, endpoint: str, status: Status | None = None, limit: int = 100, before_seq: int | None = None
    ) -> list[Job]:
        """Jobs, newest first, without their input."""
        with suppress(StoreError):  # a full disk does not hide what there is
            await self._changes.durable(everything=True)
        before = _MAX_SEQ if before_seq is None else before_seq
        jobs = await asyncio.to_thread(self._reader.newest, endpoint, before, status, time.time(), limit)
        live = self._state.live
        jobs = [replace(live[job.seq].copy(), input=b"null") if job.seq in live else job for job in jobs]
        return [job for job in jobs if status is None or job.status is status]

    # Workers

    async def claim(self, endpoint: str, worker_id: str, limit: int, lease_s: float, wait_s: float) -> list[Job]:
        """Hands out up to `limit` jobs (high priority first, then first in first out), waiting up to `wait_s` for the
        first. Among waiting callers the most recently arrived one is served first."""
        self._check_open()
        jobs = self._state.claim(endpoint, worker_id, limit, lease_s, time.time())
        if jobs or wait_s <= 0 or limit <= 0:
            return jobs
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Handed] = loop.create_future()
        waiter = Waiter(worker_id, limit, lease_s, future.done)
        waiters = self._state.queue(endpoint).waiters
        waiters[waiter] = None
        self._claims[waiter] = future
        timer = loop.call_later(wait_s, _nothing, future)
        try:
            return [job for job, _ in await future]
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # served, and cancelled before it could take it
                for job, attempt in future.result():
                    self._state.unclaim(job, attempt)
                waiters.pop(waiter, None)
                self._serve(endpoint)
            raise
        finally:
            timer.cancel()
            waiters.pop(waiter, None)
            self._claims.pop(waiter, None)

    def _serve(self, endpoint: str) -> None:
        """Hands queued jobs to those who wait for them: soon, so that calls that came together go out together."""
        queue = self._state.queues.get(endpoint)
        if queue is not None and queue.waiters and endpoint not in self._serving:
            self._serving.add(endpoint)
            asyncio.get_running_loop().call_soon(self._dispatch, endpoint)

    def _dispatch(self, endpoint: str) -> None:
        self._serving.discard(endpoint)
        for waiter, jobs in self._state.dispatch(endpoint, time.time()):
            self._claims[waiter].set_result([(job, job.attempt) for job in jobs])

    async def renew(self, endpoint: str, worker_id: str, job_ids: Sequence[str], lease_s: float) -> list[str]:
        """Extends the leases of these jobs; answers the ids that this worker does not hold (any more)."""
        return self._state.renew(endpoint, worker_id, job_ids, lease_s, time.time())

    async def progress(self, lease: Lease, payload: bytes) -> bool:
        """Records the latest progress (raw JSON). Never reopens an ended job. Does not wait for the disk."""
        job = self._state.held(lease)
        if job is None:
            return False
        job.progress = payload
        self._changes.touched(job)
        return True

    async def chunk(self, lease: Lease, payload: bytes) -> bool:
        """Appends one stream chunk (raw JSON). Does not wait for the disk."""
        job = self._state.held(lease)
        if job is None:
            return False
        self._changes.add_chunk(job, payload)
        return True

    async def finish(self, lease: Lease, outcome: Outcome) -> bool:
        """Records the result, once; answers whether it counted."""
        self._check_open()
        job = self._state.held(lease)
        if job is None:
            return False
        outcome, now = sound_outcome(outcome), time.time()
        output = outcome.output
        if output is not None and (isinstance(output, Spooled) or len(output) >= LARGE_BYTES):
            return await self._finish_large(replace(lease, attempt=job.attempt), job, outcome, output, now)
        self._state.finish(lease, outcome, output, now)
        await self._changes.durable()
        return True

    async def finish_many(self, results: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        """Like `finish` for each of several small results, with one wait for the disk."""
        self._check_open()
        if any(isinstance(outcome.output, Spooled) for _, outcome in results):
            raise ValueError("finish_many takes small results; a file must be made durable by finish.")
        now = time.time()
        counted = []
        for lease, outcome in results:
            outcome = sound_outcome(outcome)
            counted.append(self._state.finish(lease, outcome, outcome.output, now) is not None)
        if any(counted):
            await self._changes.durable()
        return counted

    async def _finish_large(self, lease: Lease, job: Job, outcome: Outcome, given: Payload, now: float) -> bool:
        output, body = given, None
        try:
            output = await asyncio.to_thread(self._keep, given)
            if job.webhook is not None:
                ended = replace(
                    job, status=outcome.status, output=output, error=outcome.error,
                    finished_at=max(now, job.started_at or 0.0),
                )  # fmt: skip
                body = await asyncio.to_thread(self._files.write, body_parts(ended))
            if self._state.held(lease) is None:  # ended otherwise meanwhile
                self._discard(given, output)
                self._discard(b"", body)
                return False
            if body is not None:
                self._changes.webhook_bodies[job.seq] = body
            self._state.finish(lease, outcome, output, now)
            await self._changes.durable()
        except Exception:
            self._discard(given, output)
            raise
        return True

    async def release(self, leases: Sequence[Lease], lost: bool, reason: str) -> list[Job]:
        """Gives jobs back. `lost` (the worker died) uses up one of the job's retries, and when none is left the job
        ends as FAILED with `reason`; otherwise it is queued again at the front. Answers the jobs that changed."""
        self._check_open()
        jobs = self._state.release(leases, lost, text(reason), time.time())
        for endpoint in {job.endpoint for job in jobs}:
            self._serve(endpoint)
        if jobs:
            await self._changes.durable(everything=True)
        return jobs

    # The clock

    def counts(self, endpoint: str) -> Counts:
        """From memory; exact."""
        return self._state.counts(endpoint)

    def listen(self, listener: Callable[[JobEvent], None]) -> None:
        """Adds a listener."""
        self._changes.listeners.append(listener)

    async def expire(self, now: float) -> float | None:
        """Ends what is over its time (ttl: TIMED_OUT, also when running; execution timeout: TIMED_OUT), gives back
        jobs whose lease ran out, forgets results past retention. Answers when to call again at the latest."""
        self._check_open()
        self._state.expire(now)
        for endpoint in list(self._state.queues):
            self._serve(endpoint)
        if now - self._tidied_at >= _TIDY_EVERY_S:
            self._tidied_at = now
            await self._tidy(now)
        self._changes.recent.expire(now)
        over = await asyncio.to_thread(self._reader.forgotten, now, _FORGET_AT_ONCE)
        # One that is being tried again has left the file's state behind.
        over = [(seq, files) for seq, files in over if seq not in self._state.live]
        if over:
            self._changes.forget([seq for seq, _ in over], [path for _, files in over for path in files])
        await self._changes.durable(everything=True)
        times = [at for at in (self._state.next_due(), self._reader.next_forget()) if at is not None]
        return min(times, default=None)

    async def _tidy(self, now: float) -> None:
        over = await asyncio.to_thread(
            self._reader.old_deliveries, now - _DELIVERED_KEPT_S, now - _DEAD_KEPT_S, _FORGET_AT_ONCE
        )
        files = [path for _, paths in over for path in paths]
        self._changes.forget_deliveries([id_ for id_, _ in over], files, _WORKERS_KEPT)

    async def note(self, job: Job, phases: Sequence[Phase]) -> None:
        """Adds phases to a job's timeline (also after its end). Does not wait for the disk."""
        if phases := sound(phases):
            self._changes.add_phases(job, phases)

    # Files

    async def usage(self) -> dict[str, int]:
        """Bytes on the disk: `db`, its `wal`, and `spool`."""
        return await asyncio.to_thread(self._usage)

    def _usage(self) -> dict[str, int]:
        sizes = {"db": 0, "wal": 0, "spool": self._files.size_bytes()}
        for name, path in (("db", self._path), ("wal", self._path.with_name(self._path.name + "-wal"))):
            with suppress(FileNotFoundError):
                sizes[name] = os.stat(path).st_size
        return sizes

    # Large payloads

    def _keep(self, payload: Payload) -> Payload:
        """A large payload as a durable file. Blocks."""
        if isinstance(payload, Spooled):
            self._files.sync(payload)
            return payload
        return self._files.write([payload])

    def _discard(self, given: Payload, made: Payload | None) -> None:
        """Removes the file of a payload that came as bytes and is not kept; one that came as a file is the caller's."""
        if isinstance(made, Spooled) and not isinstance(given, Spooled):
            self._files.remove([made.path])


def _nothing(future: asyncio.Future[_Handed]) -> None:
    if not future.done():
        future.set_result([])
