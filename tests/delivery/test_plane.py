"""A webhook from a whole plane: submitted over HTTP, run by a worker, delivered, the same as /status says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
from standardwebhooks import Webhook

from tests.delivery.receiver import Receiver, fine
from tests.scaling.plane import ECHO, endpoint
from zeroidle.serve import Plane


def test_a_submitted_job_s_webhook_says_what_status_says(tmp_path: Path) -> None:
    async def main() -> None:
        there = Receiver(fine)
        await there.start()
        plane = Plane({"probe": endpoint(tmp_path, ECHO)}, tmp_path / "data", port=0)
        await plane.start()
        try:
            async with aiohttp.ClientSession(plane.url) as client:
                body = {"input": {"text": "grüße"}, "webhook": there.url()}
                async with client.post("/v2/probe/run", json=body) as answer:
                    job_id = (await answer.json())["id"]
                await there.until(1)
                async with client.get(f"/v2/probe/status/{job_id}") as answer:
                    status = await answer.json()
            (got,) = there.got
            assert json.loads(got.body) == status
            assert status["output"] == {"text": "grüße"}
            Webhook(plane.webhooks.secret()).verify(got.body, got.headers)
        finally:
            await plane.close()
            await there.stop()

    asyncio.run(main())
