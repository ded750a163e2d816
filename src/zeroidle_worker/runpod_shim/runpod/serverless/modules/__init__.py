"""`runpod.serverless.modules`, as far as handlers use it."""

from __future__ import annotations

from zeroidle_worker.runpod_shim.names import answer

__getattr__ = answer("runpod.serverless.modules", __path__, {})
