"""The light `runpod` module: what handlers use of RunPod's SDK, without what makes its import slow."""

from __future__ import annotations

import importlib
import os
import sys

if "zeroidle_worker" not in sys.modules:
    # A child process of a handler finds this folder on its path, but not the package around it.
    importlib.import_module("_zeroidle_standalone").make_importable()

from zeroidle_worker.outcome import RUNPOD_VERSION as __version__
from zeroidle_worker.sdk_names import answer

from . import serverless
from .serverless.modules.rp_logger import RunPodLogger

__all__ = ["RunPodLogger", "__version__", "api_key", "endpoint_url_base", "profile", "serverless"]

profile = "default"
#: Set by handlers that go on to use the real package's clients.
api_key = None
endpoint_url_base = os.environ.get("RUNPOD_ENDPOINT_BASE_URL", "https://api.runpod.ai/v2")

__getattr__ = answer("runpod", __path__, {})
