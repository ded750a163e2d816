"""An async generator."""

import asyncio

import runpod


async def handler(job):
    for n in range(job["input"]["n"]):
        await asyncio.sleep(0)
        yield f"chunk {n}"


runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
