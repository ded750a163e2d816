"""A fleet whose workers start only when something that they need is there, such as their weights."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from zeroidle.endpoint import Endpoint
from zeroidle.errors import WorkerError
from zeroidle.fleet.protocol import Exit, Fleet, Running

#: Returns when a worker of the endpoint (its id is the second argument) may start; answers what its environment gets.
Prepare = Callable[[Endpoint, str], Awaitable[dict[str, str]]]


class PreparedFleet:
    """Implements `fleet.protocol.Fleet` over another fleet. A worker that is stopped while it waits never starts."""

    def __init__(self, fleet: Fleet, prepare: Prepare) -> None:
        self._fleet = fleet
        self._prepare = prepare
        self._waiting: dict[str, asyncio.Future[dict[str, str]]] = {}

    async def start(self, endpoint: Endpoint, worker_id: str, env: dict[str, str]) -> Running:
        """Waits for as long as it takes, then starts the worker. Raises WorkerError."""
        waiting = asyncio.ensure_future(self._prepare(endpoint, worker_id))
        self._waiting[worker_id] = waiting
        try:
            await asyncio.wait({waiting})
        finally:
            del self._waiting[worker_id]
            waiting.cancel()
        if waiting.cancelled():
            raise WorkerError(f"The worker {worker_id} of endpoint {endpoint.name} was stopped before it had started.")
        return await self._fleet.start(endpoint, worker_id, waiting.result() | env)

    async def stop(self, worker_id: str, grace_s: float) -> None:
        """Stops the worker, or its waiting."""
        waiting = self._waiting.get(worker_id)
        if waiting is not None:
            waiting.cancel()
        await self._fleet.stop(worker_id, grace_s)

    def list(self) -> Sequence[Running]:
        """Workers that live now; those that wait have no process."""
        return self._fleet.list()

    def on_exit(self, listener: Callable[[Exit], None]) -> None:
        """Tells of every end."""
        self._fleet.on_exit(listener)

    async def close(self) -> None:
        """Ends all waiting and kills everything that is left."""
        for waiting in list(self._waiting.values()):
            waiting.cancel()
        await self._fleet.close()
