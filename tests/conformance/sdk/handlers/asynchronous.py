"""An async handler with a concurrency of CONCURRENCY."""

import asyncio
import os

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
            with open(job["input"]["begun"], "a") as out:
                out.write("begun\n")
        await asyncio.sleep(job["input"].get("s", 0))
        return {"id": job["id"], "peak": peak}
    except asyncio.CancelledError:
        with open(job["input"]["cancelled"], "w") as out:
            out.write("cancelled")
        raise
    finally:
        running -= 1


def concurrency_modifier(current):
    return CONCURRENCY


runpod.serverless.start({"handler": handler, "concurrency_modifier": concurrency_modifier})
