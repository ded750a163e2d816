"""GET /files/{job}/{name}: files that a handler gave back and that were too large for the answer itself."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from zeroidle.endpoint import RETENTION_BATCH_S, Endpoint
from zeroidle.errors import NotFound
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.reply import failure
from zeroidle.job import BATCH_ENDING

#: How often folders of forgotten jobs are looked for, while there are any.
SWEEP_S = 300.0

_PATH = re.compile(r"/files/([A-Za-z0-9._-]{1,200})/([\w.-]{1,255})", re.ASCII)


class Files:
    """Serves `folder`, one folder per job. The random id of the job is the key: who has the result has the URL.

    A folder goes when the result of its job has expired, at most `SWEEP_S` later.
    """

    def __init__(self, folder: Path, endpoints: Mapping[str, Endpoint]) -> None:
        self.folder = folder
        self._endpoints = endpoints
        self._timer: asyncio.TimerHandle | None = None

    async def handle(self, request: Request) -> Response:
        """Answers with the file."""
        if request.method not in ("GET", "HEAD"):
            return failure(405, f"/files takes GET, HEAD, not {request.method}.", {"allow": "GET, HEAD"})
        match = _PATH.fullmatch(request.path)
        path = self.folder / match[1] / match[2] if match and not match[1].startswith(".") else None
        if path is None or match is None or match[2].startswith(".") or not path.is_file():
            raise NotFound("There is no such file; files go when the result of their job expires.")
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        # A handler may give HTML: it must not run as a page of this plane.
        headers = {
            "content-security-policy": "sandbox",
            "x-content-type-options": "nosniff",
            "cache-control": "private",
        }
        return Response(200, path, content_type, headers)

    def start(self) -> None:
        """Begins to look for what is over its time."""
        self._sweep()

    async def close(self) -> None:
        """Ends that."""
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SWEEP_S, self._sweep)
        # A stream may write a file as much as its job's time-out before the job ends and its retention begins.
        endpoints, now = self._endpoints.values(), time.time()
        keep_s = max((e.retention_s + e.timeout_s for e in endpoints), default=86_400.0)
        keep_batches_s = max((e.retention_batch_s + e.timeout_s for e in endpoints), default=RETENTION_BATCH_S)
        loop.run_in_executor(None, remove_older, self.folder, now - keep_s, now - keep_batches_s)


def remove_older(folder: Path, before: float, batches_before: float) -> int:
    """Removes the folders that were last written before `before`, those of jobs of batches before `batches_before`
    (seconds since 1970); answers how many."""
    removed = 0
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            if entry.stat().st_mtime < (batches_before if entry.name.endswith(BATCH_ENDING) else before):
                shutil.rmtree(entry, ignore_errors=True)
                removed += 1
    return removed
