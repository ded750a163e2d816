"""The store of one machine: queues in memory, one SQLite file behind them, commits in groups."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from zeroidle.endpoint import Endpoint
from zeroidle.errors import StoreError, StoreFull
from zeroidle.job import Job, Phase
from zeroidle.job_batch import BatchStatus
from zeroidle.store.clients import ClientSide
from zeroidle.store.database import explain
from zeroidle.store.job_batches import BatchSide
from zeroidle.store.ledger import Ledger
from zeroidle.store.lock import FolderLock
from zeroidle.store.protocol import EVENT_KINDS, Counts, EventKind, JobEvent
from zeroidle.store.rows import sound
from zeroidle.store.workers import WorkerSide

log = logging.getLogger(__name__)

#: Ended jobs that one call of `expire` forgets at most.
_FORGET_AT_ONCE = 2000
#: Deliveries that are over are kept this long (delivered, dead), and this many workers that are gone.
_DELIVERED_KEPT_S, _DEAD_KEPT_S = 86_400.0, 7 * 86_400.0
_WORKERS_KEPT = 1000
_TIDY_EVERY_S = 3600.0


class SqliteStore(ClientSide, WorkerSide, BatchSide, Ledger):
    """Implements `store.protocol.Store` on `folder`/zeroidle.db; large payloads are files in `spool`.

    `endpoints` is live: timeouts, retries and retention are looked up in it when they are needed. All methods are
    called on one event loop.
    """

    def __init__(self, folder: Path, endpoints: Mapping[str, Endpoint]) -> None:
        super().__init__(folder, endpoints)
        self._lock = FolderLock(folder)
        self._editing = asyncio.Lock()
        self._tidied_at = 0.0

    # Life

    async def open(self) -> None:
        """Opens or makes the files, loads the queue, removes what a crash left. Raises StoreError when another plane
        uses the folder, or when the file is damaged or made by a later version."""
        folder = self._path.parent
        try:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as exc:
                raise explain(exc, self._path) from exc
            await self._lock.take()
            await self._journal.start(keep=[self._lock.fd])
            await asyncio.to_thread(self._load)
        except BaseException as exc:
            await self._journal.stop()
            self._reader.close()
            self._lock.free()
            if isinstance(exc, StoreFull):
                raise StoreFull(f"The disk of {folder} is full; free some space and start again.") from exc
            raise
        self._open = True
        for batch in list(self._changes.batches.all.values()):
            if batch.status is BatchStatus.CANCELLED and not batch.over:  # the plane ended in the middle of it
                await self._cancel_all(self._state.waiting(batch.endpoint, batch.id))

    def _load(self) -> None:
        self._files.make()
        reader, state = self._reader, self._state
        reader.open()
        state.last_seq = reader.last_seq()
        for job in reader.live():
            state.load(job)
        self._changes.batches.load(reader.batches())
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
        for future in self._claims:
            if not future.done():
                future.set_result([])
        self._changes.waits.close()
        self._journal.end()
        try:
            with suppress(StoreError):  # of a commit that was under way: what it held is tried once more
                await self._changes.durable(everything=True)
            await self._changes.durable(everything=True)
        except StoreError as exc:
            log.error("store.last_commit_failed error=%s", exc)  # nobody was told that it is durable
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._journal.stop()
        finally:
            self._reader.close()
            self._lock.free()

    # The clock

    def counts(self, endpoint: str) -> Counts:
        """From memory; exact."""
        self._changes.tell_news()  # who listens has heard of all that it counts
        return self._state.counts(endpoint)

    def ahead(self, job: Job) -> int:
        """How many jobs will be handed out before this one, which waits; from memory."""
        return self._state.ahead(job)

    def listen(self, listener: Callable[[JobEvent], None], kinds: Iterable[EventKind] = EVENT_KINDS) -> None:
        """Adds a listener, which hears of events of these kinds."""
        self._changes.listen(listener, kinds)

    async def expire(self, now: float) -> float | None:
        """Ends what is over its time (ttl: TIMED_OUT, also when running; execution timeout: TIMED_OUT), gives back
        jobs whose lease ran out, forgets results past retention. Answers when to call again at the latest."""
        self._check_open()
        due = self._state.expire(now)
        while due is not None and due <= now:
            await asyncio.sleep(0)  # there is more than others can be kept waiting for
            due = self._state.expire(now)
        for endpoint in list(self._state.queues):
            self._hatch.serve(endpoint)
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
        self._changes.batches.forget(self._changes.draft(), now)
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
