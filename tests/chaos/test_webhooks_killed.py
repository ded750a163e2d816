"""A plane that is killed again and again while it delivers webhooks: every one arrives, signed, under one id."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from aiohttp import web
from standardwebhooks import Webhook

from tests.delivery.receiver import Got, Receiver
from zeroidle.store.sqlite import SqliteStore

JOBS = 200

PLANE = """
import asyncio, sys
from pathlib import Path
from zeroidle.delivery.retries import Schedule
from zeroidle.delivery.webhook import WebhookSender
from zeroidle.job import Job, Status, new_job_id
from zeroidle.store.protocol import Lease, Outcome
from zeroidle.store.sqlite import SqliteStore

async def main():
    folder, url, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    store = SqliteStore(folder, {})
    await store.open()
    sender = WebhookSender(store, store.spool, schedule=Schedule(first_s=0.05, factor=1.0))
    await sender.start()
    for _ in range(count):
        await store.put(Job(new_job_id(), "e", b"{}", webhook=url))
        (job,) = await store.claim("e", "w", 1, 30, 0)  # it may be one that was left by a plane that was killed
        if await store.finish(Lease("e", job.id, "w"), Outcome(Status.COMPLETED, b'{"n":1}')):
            print(job.id, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def test_a_plane_that_is_killed_while_it_delivers_loses_no_webhook(tmp_path: Path) -> None:
    rng = random.Random(5)
    data = tmp_path / "data"

    async def answer(got: Got) -> web.Response:
        await asyncio.sleep(rng.uniform(0, 0.02))
        return web.Response(status=rng.choice([200, 200, 200, 500]))

    def start(url: str, count: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", PLANE, str(data), url, str(count)], stdout=subprocess.PIPE)

    async def read(plane: subprocess.Popen[bytes], ended: list[str]) -> None:
        assert plane.stdout is not None
        for line in await asyncio.to_thread(plane.stdout.readlines):
            ended.append(line.decode().strip())

    async def main() -> None:
        there = Receiver(answer)
        await there.start()
        ended: list[str] = []
        for _ in range(4):
            plane = start(there.url(), JOBS // 4)
            await there.until(len(there.got) + rng.randint(5, 40))
            plane.kill()
            await read(plane, ended)
            plane.wait()
        last = start(there.url(), 0)
        deadline = asyncio.get_running_loop().time() + 60
        got: Counter[str] = Counter()
        while not got.keys() >= set(ended):
            assert asyncio.get_running_loop().time() < deadline, f"{len(set(ended) - got.keys())} webhooks are missing"
            await asyncio.sleep(0.05)
            got = Counter(json.loads(one.body)["id"] for one in there.got)
        last.kill()
        await read(last, ended)
        last.wait()
        await there.stop()
        assert len(ended) > JOBS // 4
        # A webhook may come more than once; by its id the receiver can tell.
        for job_id in got:
            ids = {one.headers["webhook-id"] for one in there.got if json.loads(one.body)["id"] == job_id}
            assert ids == {f"msg_{job_id}_1"}
        secret = (data / "webhook.secret").read_text().strip()
        for one in there.got:
            Webhook(secret).verify(one.body, one.headers)
        store = SqliteStore(data, {})
        await store.open()
        rows = await store.list_deliveries(limit=10_000)
        assert {row.job_id for row in rows} >= set(ended)
        await store.close()

    assert not data.exists()
    asyncio.run(main())
