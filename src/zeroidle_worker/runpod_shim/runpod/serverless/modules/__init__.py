"""`runpod.serverless.modules`, as far as handlers use it."""

from __future__ import annotations

from zeroidle_worker.sdk_names import answer

__getattr__ = answer("runpod.serverless.modules", __path__, {})
