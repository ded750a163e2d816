"""Takes in the results that a worker sends over its socket, many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from pathlib import Path

from zeroidle.errors import StoreError
from zeroidle.gateway.worker_frames import Done
from zeroidle.gateway.worker_report import Report, parse_report
from zeroidle.gateway.worker_session import WorkerSession
from zeroidle.store.protocol import Outcome
from zeroidle_worker.wire import LARGE, ProtocolError

log = logging.getLogger("zeroidle.worker")

#: Pause before results that the store refused are tried again.
AGAIN_S = 1.0

#: One result: job id, attempt, how it ended.
Result = tuple[str, int, Outcome]


class Results:
    """The results of one worker. They are recorded beside its connection, so that the next job does not wait for the
    disk."""

    def __init__(self, session: WorkerSession) -> None:
        self._session = session
        self._batch: list[Result] = []
        self._flying: set[asyncio.Future[None]] = set()

    def add(self, head: Done, body: bytes) -> None:
        """Takes in one small result; `record` hands it on."""
        self._enter(head, parse_report(body))

    async def add_file(self, head: Done, name: str) -> None:
        """Takes in a large result. Raises ProtocolError when it names a file that is not the worker's."""
        path = self.file(name)
        try:
            report = await self._session.parse(path)
        finally:
            path.unlink(missing_ok=True)
        self._enter(head, report)

    def _enter(self, head: Done, report: Report) -> None:
        session, outcome = self._session, report.outcome(head.run_s, head.log)
        output = outcome.output
        if output is None or (type(output) is bytes and len(output) < LARGE):
            self._batch.append((head.id, head.attempt, outcome))
        else:
            self._spawn(self._record([(head.id, head.attempt, outcome)], small=False))
        session.ended(session.drop(head.id, head.attempt), head.run_s)
        if head.refresh or report.stop:
            session.retire()

    def record(self) -> None:
        """Gives what was added to the store, in one piece."""
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        try:
            kept = self._session.finish_soon(batch)
        except StoreError as exc:
            self._refused(batch, exc)
            return
        self._flying.add(kept)
        kept.add_done_callback(partial(self._kept, batch))

    def _kept(self, batch: list[Result], kept: asyncio.Future[None]) -> None:
        self._flying.discard(kept)
        if (exc := kept.exception()) is not None:
            self._refused(batch, exc)

    def _refused(self, batch: list[Result], exc: BaseException) -> None:
        log.error("report.not_kept jobs=%d first=%s error=%s", len(batch), batch[0][0], exc)
        self._spawn(self._again(batch, small=True))

    def _spawn(self, coro: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coro)
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)

    async def settled(self) -> None:
        """Waits until everything is recorded."""
        self.record()
        while self._flying:
            await asyncio.wait(self._flying)

    def file(self, name: str) -> Path:
        """The file that a frame names; only one that this worker made in the plane's spool is taken over."""
        path, spool = Path(name), self._session.store.spool
        own = path.name.startswith(f"{self._session.worker.id}-")
        if not own or path.parent.resolve() != spool.resolve() or path.is_symlink():
            raise ProtocolError(f"the worker names a file that is not its own in {spool}: {name[:300]}")
        return path

    async def _again(self, batch: list[Result], small: bool) -> None:
        """Tries again later what the store could not take; keeps the leases until then."""
        await asyncio.sleep(AGAIN_S)
        session = self._session
        lost = set(await session.renew([job_id for job_id, _, _ in batch]))
        for job_id, _, outcome in batch:
            if job_id in lost:
                session.discard(outcome)
        if batch := [one for one in batch if one[0] not in lost]:
            await self._record(batch, small)

    async def _record(self, batch: list[Result], small: bool) -> None:
        try:
            if small:
                await self._session.finish_soon(batch)
            else:
                await self._session.finish(*batch[0])
        except StoreError as exc:
            log.error("report.not_kept jobs=%d first=%s error=%s", len(batch), batch[0][0], exc)
            self._spawn(self._again(batch, small))
