"""The rows beside the jobs: webhook deliveries, workers, API keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from zeroidle.errors import StoreError
from zeroidle.store.base import Base
from zeroidle.store.protocol import Delivery, WorkerRecord


class Ledger(Base):
    """The part of the store that knows no queue."""

    def listen_deliveries(self, listener: Callable[[], None]) -> None:
        """Adds a listener, which is called when a delivery was made that is due at once, and is durable."""
        self._changes.on_deliveries.append(lambda error: listener())

    async def save_delivery(self, delivery: Delivery) -> None:
        """Inserts or replaces."""
        self._check_open()
        self._changes.save_delivery(delivery)
        await self._changes.durable()

    async def list_deliveries(
        self, state: str | None = None, due_before: float | None = None, limit: int = 100
    ) -> list[Delivery]:
        """Deliveries, the most urgent (smallest next_at) first."""
        return await asyncio.to_thread(self._reader.deliveries, state, due_before, limit)

    async def get_delivery(self, delivery_id: str) -> Delivery | None:
        """The delivery of that id, whatever its state; None when there is none (any more)."""
        return await asyncio.to_thread(self._reader.delivery, delivery_id)

    async def save_worker(self, record: WorkerRecord) -> None:
        """Inserts or replaces. Does not wait for the disk."""
        self._changes.save_worker(record)

    async def list_workers(self, endpoint: str | None = None, limit: int = 50) -> list[WorkerRecord]:
        """Newest first, the dead ones too."""
        with suppress(StoreError):
            await self._changes.durable(everything=True)
        return await asyncio.to_thread(self._reader.workers, endpoint, limit)

    async def save_key(self, name: str, digest: str | None) -> None:
        """Keeps the SHA-256 hex digest of an API key under a name; None removes it."""
        self._check_open()
        self._changes.save_key(name, digest)
        await self._changes.durable()

    async def list_keys(self) -> dict[str, str]:
        """Name to digest."""
        return self._reader.keys()
