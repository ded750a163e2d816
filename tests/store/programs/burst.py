"""A burst of submits, takes and completions on one store, made to be killed at any instant.

Call: burst.py FOLDER ROUND WANTED. Every line it prints was acknowledged by the store before:
`put ID KIND`, `done ID ATTEMPT TOKEN`, `cancelled ID`, `key NAME`. It ends when WANTED jobs are put and all are final.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from zeroidle.job import Job, Status, new_job_id
from zeroidle.store.protocol import JobEvent, Lease, Outcome
from zeroidle.store.sqlite import SqliteStore

FOLDER, ROUND, WANTED = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
LARGE = b"L" * 300_000


def say(*words: object) -> None:
    """Tells the parent at once; what it has been told survives the kill."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Burst:
    """Submitters, workers and a canceller on one store."""

    def __init__(self) -> None:
        self.store = SqliteStore(FOLDER, {})
        self.numbers = count()
        self.stop = asyncio.Event()
        self.full = False
        self.store.listen(self.look)

    def look(self, event: JobEvent | None) -> None:
        """Stops the workers when all jobs are there and none is left to do."""
        counts = self.store.counts("e")
        if self.full and not counts.queued + counts.in_progress:
            self.stop.set()

    async def main(self) -> None:
        await self.store.open()
        running = await self.store.list_jobs("e", Status.IN_PROGRESS, limit=100_000)
        leases = [Lease("e", job.id, job.worker_id or "", job.attempt) for job in running]
        await self.store.release(leases, lost=False, reason="the plane was killed")
        say("open", len(running))
        workers = [asyncio.ensure_future(self.work(f"w{ROUND}-{n}")) for n in range(16)]
        there = len(await self.store.list_jobs("e", limit=100_000))
        await asyncio.gather(*(self.submit((WANTED - there + 15) // 16) for _ in range(16)))
        self.full = True
        self.look(None)
        await asyncio.gather(*workers)
        await self.store.close()
        say("end")

    async def submit(self, n: int) -> None:
        for _ in range(max(0, n)):
            number = next(self.numbers)
            kind = "large" if number % 40 == 7 else "hook" if number % 10 == 3 else "plain"
            body = b'{"r":%d,"n":%d,"pad":"%s"}' % (ROUND, number, LARGE if kind == "large" else b"")
            job = Job(new_job_id(), "e", body, webhook="http://h/" if kind == "hook" else None)
            await self.store.put(job)
            say("put", job.id, kind)
            if number % 50 == 11:
                answer = await self.store.cancel("e", job.id)
                if answer is not None and answer.status is Status.CANCELLED:
                    say("cancelled", job.id)
            if number % 100 == 50:
                await self.store.save_key(f"k{ROUND}-{number}", "0" * 64)
                say("key", f"k{ROUND}-{number}")

    async def work(self, worker: str) -> None:
        while not self.stop.is_set():
            for job in await self.store.claim("e", worker, 2, 30.0, 0.1):
                lease = Lease("e", job.id, worker, job.attempt)
                await self.store.chunk(lease, b'"%d"' % job.attempt)
                token = f"{worker}-{next(self.numbers)}"
                pad = LARGE if job.seq % 40 == 3 else b""
                output = b'{"token":"%s","pad":"%s"}' % (token.encode(), pad)
                if await self.store.finish(lease, Outcome(Status.COMPLETED, output)):
                    say("done", job.id, job.attempt, token)


if __name__ == "__main__":
    asyncio.run(Burst().main())
