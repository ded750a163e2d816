"""What every part of the SQLite store works with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zeroidle.endpoint import Endpoint
from zeroidle.errors import StoreError
from zeroidle.job import Job, Payload, Spooled, Status
from zeroidle.store.changes import Changes
from zeroidle.store.hatch import Hatch
from zeroidle.store.journal import Journal
from zeroidle.store.reader import Reader
from zeroidle.store.spool import Spool

#: So many jobs end before the loop may do something else.
_AT_ONCE = 500


class Base:
    """The queue in memory, the file behind it, the spool beside it."""

    def __init__(self, folder: Path, endpoints: Mapping[str, Endpoint]) -> None:
        folder = folder.absolute()  # the working folder may change
        self.spool = folder / "spool"
        self._path = folder / "zeroidle.db"
        self._files = Spool(self.spool)
        self._reader = Reader(self._path)
        self._journal = Journal(self._path, self.spool)
        self._changes = Changes(endpoints, self._journal, self._files)
        self._state = self._changes.state
        self._hatch = Hatch(self._state)
        self._claims: set[asyncio.Future[Any]] = set()
        self._changes.on_restored = self._hatch.serve
        self._loading: dict[str, asyncio.Future[None]] = {}  # batches on their way from the file to the queue
        self._tasks: set[asyncio.Task[Any]] = set()
        self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError("The job store is closed.")

    async def _cancel_all(self, jobs: Sequence[Job]) -> int:
        """Cancels those that still wait, some at a time, so that others have their turn; answers how many."""
        ended = 0
        for at in range(0, len(jobs), _AT_ONCE):
            for job in jobs[at : at + _AT_ONCE]:
                if job.status is Status.IN_QUEUE and self._state.find(job.endpoint, job.id) is job:
                    self._state.cancel(job, time.time())
                    ended += 1
            await asyncio.sleep(0)
        return ended

    async def _loaded(self, batch_id: str | None = None) -> None:
        """Waits until a batch that is being finalized is in the queue; without an id, until all are."""
        for id_, future in list(self._loading.items()):
            if batch_id is None or batch_id == id_:
                await asyncio.shield(future)

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
