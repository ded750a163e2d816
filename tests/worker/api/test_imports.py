"""A worker imports what its endpoint needs and no more: half of a cold start is imports."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

from tests.worker.plane import plane
from tests.worker.test_starts import bare_python

HEAVY = (
    "asyncio", "base64", "concurrent.futures", "dataclasses", "datetime", "decimal", "difflib", "email", "http.client",
    "importlib.resources", "importlib.util", "inspect", "logging", "mimetypes", "pathlib", "random", "shutil", "ssl",
    "subprocess", "tempfile", "threading", "urllib.parse", "urllib.request", "uuid", "wave", "zipfile",
    "zeroidle_worker.api.batch", "zeroidle_worker.api.fetch", "zeroidle_worker.api.files",
    "zeroidle_worker.api.weights", "zeroidle_worker.run_async", "zeroidle_worker.run_threads",
)  # fmt: skip
TEXT = f"""
import sys
from zeroidle import endpoint

@endpoint
def loaded(of: int = {len(HEAVY)}) -> list[str]:
    return [name for name in {HEAVY!r} if name in sys.modules]
"""


def test_a_declared_sync_endpoint_needs_no_event_loop_and_no_heavy_library(tmp_path: Path) -> None:
    python = bare_python(tmp_path)
    # What the interpreter of this machine imports by itself, before any program.
    program = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    bare = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout

    async def main() -> list[str]:
        async with plane(tmp_path, TEXT, python=python, fork_server_idle_s=0.0) as p:
            await p.ready()
            found: list[str] = p.value((await p.run({})).output)
            return found

    assert set(asyncio.run(main())) <= set(json.loads(bare))
