"""An async handler with a concurrency of CONCURRENCY."""

# ruff: noqa: ASYNC240

import asyncio
import os
from pathlib import Path

import runpod

CONCURRENCY = int(os.environ.get("CONCURRENCY", "1"))
running = 0
peak = 0


async def handler(job):
    global running, peak
    running += 1
    peak = max(peak, running)
    try:
        if job["input"].get("begun"):
            Path(job["input"]["begun"]).write_text("begun")
        await asyncio.sleep(job["input"].get("s", 0))
        return {"id": job["id"], "peak": peak}
    except asyncio.CancelledError:
        Path(job["input"]["cancelled"]).write_text("cancelled")
        raise
    finally:
        running -= 1


def concurrency_modifier(current):
    return CONCURRENCY


runpod.serverless.start({"handler": handler, "concurrency_modifier": concurrency_modifier})
