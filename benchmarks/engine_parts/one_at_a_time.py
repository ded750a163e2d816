"""A control plane that answers each take of the SDK's loop with one job at once, as RunPod's does, and keeps nothing:
what the loop reaches at best by itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httptools
from engine_parts.measures import WorkNotDone, run
from engine_parts.servers import CACHE, PARTS, free_port

_READY_S = 60.0


def jobs_per_s(python: Path, seconds: int) -> float:
    """Jobs per second of one SDK worker with the benchmark's handler; `python` has the SDK."""
    found: float = run(_measure(python, seconds))
    return found


class _Plane(asyncio.Protocol):
    """One connection of the SDK. Results are checked against the jobs that were handed out."""

    numbers: Iterator[int]
    handed: dict[str, int]
    ended: list[float]
    began: asyncio.Event

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps how to answer."""
        self._write = cast(asyncio.Transport, transport).write
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._body = b"", b""

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Hands out a job, or takes a result in."""
        _, operation, *rest = self._url.decode().partition("?")[0].split("/")
        answer = b"{}"
        if operation == "take":
            number = next(self.numbers)
            self.handed[f"job-{number}"] = number
            answer = b'{"id":"job-%d","input":{"n":%d}}' % (number, number)
        elif operation == "done":
            if json.loads(self._body)["output"] != {"n": self.handed.pop(rest[0]) + 1}:
                raise WorkNotDone(f"the SDK's worker reports {self._body!r} for {rest[0]}")
            self.ended.append(time.perf_counter())
            self.began.set()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
        self._write(head + answer)


async def _measure(python: Path, seconds: int) -> float:
    ended: list[float] = []
    began = asyncio.Event()
    kind = type("Plane", (_Plane,), {"numbers": itertools.count(), "handed": {}, "ended": ended, "began": began})
    port = free_port()
    server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", port)
    url = f"http://127.0.0.1:{port}"
    env = dict(os.environ) | {
        "RUNPOD_WEBHOOK_GET_JOB": f"{url}/take?x=1",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/done/$ID?x=1",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/stream/$ID?x=1",
        "RUNPOD_WEBHOOK_PING": f"{url}/ping?x=1",
        "RUNPOD_AI_API_KEY": "x",
        "RUNPOD_POD_ID": "w",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }
    argv = [str(python), str(PARTS / "handler.py")]
    with (CACHE / "sdk-alone.log").open("ab") as log:
        worker = await asyncio.create_subprocess_exec(
            *argv, env=env, cwd=CACHE, stdout=log, stderr=log, start_new_session=True
        )
    try:
        await asyncio.wait_for(began.wait(), _READY_S)
        await asyncio.sleep(seconds)
        return (len(ended) - 1) / (time.perf_counter() - ended[0])
    finally:
        server.close()
        os.killpg(worker.pid, signal.SIGKILL)
        await worker.wait()
