"""`runpod.serverless`: serve a handler, report progress."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Dict

from zeroidle_worker import boot, service
from zeroidle_worker.outcome import RUNPOD_VERSION as runpod_version
from zeroidle_worker.runpod_shim import need_real
from zeroidle_worker.sdk_names import answer

from .modules.rp_fitness import register_fitness_check, run_fitness_checks
from .modules.rp_logger import RunPodLogger
from .modules.rp_progress import progress_update

__all__ = ["progress_update", "register_fitness_check", "runpod_version", "start"]

log = RunPodLogger()

#: What the SDK reads from the command line; a worker's has none of it.
_ARGUMENTS = {
    "rp_log_level": None, "rp_debugger": None, "rp_serve_api": None, "rp_api_port": 8000, "rp_api_concurrency": 1,
    "rp_api_host": "localhost", "test_input": None,
}  # fmt: skip


def start(config: Dict[str, Any]) -> None:
    """Serves `config["handler"]` until the worker has drained; then the process ends.

    Other keys: `return_aggregate_stream`, `concurrency_modifier`, `refresh_worker`.
    """
    worker = boot.booted
    if worker is None:
        raise RuntimeError(
            "runpod.serverless.start was called in a process that is not a worker. In a child process of a handler: "
            'put the call under `if __name__ == "__main__":`.'
        )
    if os.environ.get("RUNPOD_REALTIME_PORT", "0") not in ("", "0"):
        need_real("runpod.serverless.worker")
    if isinstance(config, dict):
        config["reference_counter_start"] = time.perf_counter()
        config["rp_args"] = dict(_ARGUMENTS)
    _configure_logging()

    def make() -> service.Service:
        run_fitness_checks()
        return service.from_config(config, worker.settings.concurrency)

    worker.serve(make)


def _configure_logging() -> None:
    """The SDK makes messages of level INFO visible, in this form; a handler's own settings win."""
    logging = sys.modules.get("logging")
    if logging is not None and not logging.root.handlers:
        logging.basicConfig(level=logging.INFO, format="%(filename)-20s:%(lineno)-4d %(asctime)s %(message)s")


__getattr__ = answer("runpod.serverless", __path__, {})
