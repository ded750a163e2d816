"""The Unix socket for workers on the same machine: listens, lets workers in by token, keeps their leases alive."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from zeroidle.endpoint import Endpoint
from zeroidle.errors import StoreError
from zeroidle.gateway.worker_connection import WorkerConnection
from zeroidle.gateway.worker_session import PlaneStore, WorkerSession
from zeroidle.worker import Registry, Worker, WorkerEventKind

log = logging.getLogger("zeroidle.worker")

#: A peer that has not said who it is after so long is cut off.
HELLO_S = 10.0

#: How long the fleet has to tell a process's end after its connection was lost; then its jobs are given back.
EXIT_S = 0.5

#: A Unix socket's address holds 108 bytes with its end.
MAX_PATH_BYTES = 107


class WorkerSocket:
    """Speaks `zeroidle_worker.wire`. The lease of a job lives as long as the connection of its worker."""

    def __init__(
        self,
        path: Path,
        store: PlaneStore,
        registry: Registry,
        endpoints: Mapping[str, Endpoint],
        hello_s: float = HELLO_S,
        exit_s: float = EXIT_S,
    ) -> None:
        self.path = path
        self.hello_s = hello_s
        self._exit_s = exit_s
        self._store = store
        self._registry = registry
        self._endpoints = endpoints
        self._server: asyncio.Server | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.connections: set[WorkerConnection] = set()
        self._ends: dict[str, asyncio.Event] = {}
        registry.listen(self._on_worker)

    async def start(self) -> None:
        """Listens, for this user only. Raises StoreError when the path is too long for a socket."""
        if len(bytes(self.path)) > MAX_PATH_BYTES:
            raise StoreError(
                f"The path of the worker socket, {self.path}, is longer than {MAX_PATH_BYTES} bytes; choose a data "
                "folder with a shorter path."
            )
        self.path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: WorkerConnection(self), str(self.path))
        self.path.chmod(0o600)
        self._renewal = loop.create_task(self._renew())

    async def close(self) -> None:
        """Stops listening and ends every connection, after what has arrived on it was taken in."""
        if self._server is None:
            return
        self._server.close()
        if self._renewal:
            self._renewal.cancel()
        connections = list(self.connections)
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.settled() for connection in connections))
        self.path.unlink(missing_ok=True)

    # -- what connections need

    def enter(self, connection: WorkerConnection, worker_id: str, token: str) -> WorkerSession | None:
        """The session of the worker that this connection proves to be; None when it proves nothing."""
        worker = self._registry.get(worker_id)
        expected = worker.token if worker else ""
        if not hmac.compare_digest(token.encode(), expected.encode()) or worker is None:
            log.warning("worker.refused id=%s reason=%s", worker_id[:80], "token" if worker else "unknown")
            return None
        self.connections.add(connection)
        return WorkerSession(self._store, self._registry, self._endpoints, worker)

    def left(self, connection: WorkerConnection) -> None:
        """A connection has ended and everything that came on it was taken in."""
        self.connections.discard(connection)

    async def ended(self, worker: Worker) -> None:
        """Waits a moment for the fleet to tell that the worker's process has ended."""
        if not self.lives(worker):
            return
        waiter = self._ends.setdefault(worker.id, asyncio.Event())
        try:
            await asyncio.wait_for(waiter.wait(), self._exit_s)
        except TimeoutError:
            self._ends.pop(worker.id, None)

    def _on_worker(self, kind: WorkerEventKind, worker: Worker) -> None:
        if kind == "gone" and (waiter := self._ends.pop(worker.id, None)):
            waiter.set()

    def lives(self, worker: Worker) -> bool:
        """Whether the worker's process is still counted as running."""
        return self._registry.get(worker.id) is worker

    # -- leases

    async def _renew(self) -> None:
        while True:
            leases = [endpoint.lease_s for endpoint in self._endpoints.values()]
            await asyncio.sleep(max(0.05, min(leases, default=30.0) / 3))
            for connection in list(self.connections):
                try:
                    await connection.renew(time.time())
                except StoreError as exc:
                    log.error("leases.not_renewed error=%s", exc)
