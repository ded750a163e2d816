"""Between the scaling loop and the workers: lets a worker start when its weights are there, and says what it waits for.

This module is imported by every plane, so it imports the rest of the volume when the first endpoint needs it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zeroidle.endpoint import Endpoint
from zeroidle.worker import Registry, Worker, WorkerEventKind

if TYPE_CHECKING:
    from zeroidle.volume.prepare import Preparation

_VOLUME_ENV = "ZEROIDLE_VOLUME"


class WeightsGate:
    """Holds workers back until `Preparation` is through; gives weights free when the last worker is gone."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._preparation: Preparation | None = None
        registry.listen(self._on_worker)

    async def prepare(self, endpoint: Endpoint, worker_id: str) -> dict[str, str]:
        """Returns when the worker may start; answers what its environment gets."""
        if not endpoint.weights and endpoint.volume is None and _VOLUME_ENV not in os.environ:
            return {}
        preparation = self._made()
        if endpoint.weights:
            worker = self._registry.get(worker_id)
            if worker is not None:
                worker.waits_for = lambda: _sentence(preparation, endpoint.name)
            try:
                await preparation.ready(endpoint)
            finally:
                if worker is not None:
                    worker.waits_for = None
            phase = preparation.phase(endpoint.name)
            if worker is not None and phase is not None:
                worker.phases.append(phase)
        return preparation.environment(endpoint)

    async def close(self) -> None:
        """Ends the downloads; what has arrived is kept."""
        if self._preparation is not None:
            await self._preparation.close()

    def _made(self) -> Preparation:
        if self._preparation is None:
            from zeroidle.volume.prepare import Preparation

            self._preparation = Preparation()
        return self._preparation

    def _on_worker(self, kind: WorkerEventKind, worker: Worker) -> None:
        if kind == "gone" and self._preparation is not None and not any(self._registry.of(worker.endpoint)):
            self._preparation.release(worker.endpoint)


def _sentence(preparation: Preparation, name: str) -> str:
    status = preparation.status(name)
    text = status.sentence if status is not None else "the weights are being checked"
    return text if text.endswith(".") else text + "."
