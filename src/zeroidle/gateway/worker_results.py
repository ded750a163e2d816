"""Takes in the results that a worker sends over its socket, many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path

from zeroidle.errors import StoreError
from zeroidle.gateway.worker_frames import Done
from zeroidle.gateway.worker_report import parse_report
from zeroidle.gateway.worker_session import WorkerSession
from zeroidle.job import Spooled
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
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, head: Done, body: bytes) -> None:
        """Takes in one result. Raises ProtocolError when it names a file that is not the worker's."""
        session = self._session
        if head.path is None:
            report = parse_report(body)
        else:
            path = self.file(head.path)
            try:
                report = await session.parse(path)
            finally:
                path.unlink(missing_ok=True)
        outcome = report.outcome(head.run_s, head.log)
        result = (head.id, head.attempt, outcome)
        if isinstance(outcome.output, Spooled) or len(outcome.output or b"") >= LARGE:
            self._spawn(self._record([result], small=False))
        else:
            self._batch.append(result)
        session.ended(session.drop(head.id, head.attempt), head.run_s)
        if head.refresh or report.stop:
            session.retire()

    def record(self) -> None:
        """Gives what was added to the store, in one piece."""
        if self._batch:
            batch, self._batch = self._batch, []
            self._spawn(self._record(batch, small=True))

    def _spawn(self, coro: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Waits until everything is recorded."""
        self.record()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def file(self, name: str) -> Path:
        """The file that a frame names; only one that this worker made in the plane's spool is taken over."""
        path, spool = Path(name), self._session.store.spool
        own = path.name.startswith(f"{self._session.worker.id}-")
        if not own or path.parent.resolve() != spool.resolve() or path.is_symlink():
            raise ProtocolError(f"the worker names a file that is not its own in {spool}: {name[:300]}")
        return path

    async def _record(self, batch: list[Result], small: bool) -> None:
        """While the store cannot take them, keeps the leases and tries again."""
        session = self._session
        while batch:
            try:
                if small:
                    await session.finish_many(batch)
                else:
                    await session.finish(*batch[0])
                return
            except StoreError as exc:
                log.error("report.not_kept jobs=%d first=%s error=%s", len(batch), batch[0][0], exc)
            await asyncio.sleep(AGAIN_S)
            lost = set(await session.renew([job_id for job_id, _, _ in batch]))
            for job_id, _, outcome in batch:
                if job_id in lost:
                    session.discard(outcome)
            batch = [one for one in batch if one[0] not in lost]
