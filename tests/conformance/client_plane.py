"""A whole plane with unmodified RunPod handlers, for clients to call."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.gateway.plane import on_a_loop
from zeroidle.endpoint import Endpoint
from zeroidle.serve import Plane

KEY = "sesame"

ECHO = """
import time
import runpod

def handler(job):
    given = job["input"]
    if "fail" in given:
        return {"error": given["fail"]}
    if "progress" in given:
        runpod.serverless.progress_update(job, given["progress"])
        time.sleep(60)
    return given

runpod.serverless.start({"handler": handler})
"""

STREAM = """
import runpod

def handler(job):
    yield from job["input"]["chunks"]

runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The base URL of a plane with a key: `echo` and `stream` scale from zero, `idle` may have no worker."""
    (folder / "echo.py").write_text(ECHO)
    (folder / "stream.py").write_text(STREAM)
    endpoints = {
        name: Endpoint(name, folder / file, folder, sys.executable, max_workers=most)
        for name, file, most in (("echo", "echo.py", 2), ("stream", "stream.py", 1), ("idle", "echo.py", 0))
    }
    with on_a_loop() as loop:
        plane = Plane(endpoints, folder / "data", port=0)
        loop.run(plane.start())
        try:
            loop.run(plane.store.save_key("test", hashlib.sha256(KEY.encode()).hexdigest()))
            loop.run(plane.auth.refresh())
            yield f"{plane.url}/v2"
        finally:
            loop.run(plane.close(1.0))
