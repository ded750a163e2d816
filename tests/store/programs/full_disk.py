"""Fills the disk under a store, then makes room; prints what it saw as JSON. Call: full_disk.py FOLDER."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from zeroidle.errors import StoreFull
from zeroidle.job import Job, Status, new_job_id
from zeroidle.store.protocol import Lease, Outcome, WorkerRecord
from zeroidle.store.sqlite import SqliteStore

DONE = Outcome(Status.COMPLETED, b'"' + b"o" * 3000 + b'"')


async def main(disk: Path) -> dict[str, Any]:
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * (2 << 20))
    store = SqliteStore(disk / "data", {})
    await store.open()
    cancelled: list[str] = []
    store.listen(lambda event: cancelled.extend(job.id for job in event.jobs), ["ended"])

    accepted: list[str] = []
    refused = await fill(store, accepted)
    held = await store.claim("e", "w", 1, 30.0, 0.0)
    seen: dict[str, Any] = {"accepted": len(accepted), "refused": len(refused)}
    seen["queue_is_what_was_accepted"] = store.counts("e").queued + 1 == len(accepted)
    seen["refused_are_gone"] = [await store.get("e", job_id) for job_id in refused] == [None] * len(refused)

    # Still full: nothing is lost, nothing is taken in, and what is there can be read.
    seen["large_refused"] = await is_full(store.put(Job(new_job_id(), "e", b'"' + b"x" * (8 << 20) + b'"')))
    seen["large_left_no_file"] = list((disk / "data" / "spool").iterdir()) == []
    await use_up(store, accepted)
    lease = Lease("e", held[0].id, "w", 1)
    seen["finish_refused"] = await is_full(store.finish(lease, DONE))
    seen["cancel_refused"] = await is_full(store.cancel("e", accepted[1]))
    seen["purge_refused"] = await is_full(store.purge("e"))
    seen["queue_after_purge"] = store.counts("e").queued + 1 == len(accepted)
    await store.save_worker(WorkerRecord("w", "e", "ready", 1, time.time()))
    await store.chunk(lease, b"1")
    one = await store.get("e", held[0].id)
    seen["still_running"] = one is not None and one.status is Status.IN_PROGRESS and one.attempt == 1
    seen["listed"] = len(await store.list_jobs("e", limit=10)) == 10
    order = [job.id for job in await store.claim("e", "w2", 3, 30.0, 0.0)]
    seen["order_kept"] = order == accepted[1:4]

    ballast.unlink()
    seen["finish_accepted"] = await store.finish(lease, DONE)
    seen["chunk_kept"] = (await store.read_stream("e", held[0].id) or (None, []))[1] == [b"1"]
    again = await store.put(Job(new_job_id(), "e", b"2"))
    accepted.append(again.id)
    seen["worker_kept"] = [record.id for record in await store.list_workers()] == ["w"]
    seen["ended"] = held[0].id in cancelled and accepted[1] not in cancelled
    await store.close()

    store = SqliteStore(disk / "data", {})
    await store.open()
    jobs = await store.list_jobs("e", limit=100_000)
    seen["all_accepted_are_there"] = sorted(job.id for job in jobs) == sorted(accepted)
    seen["completed"] = [job.id for job in jobs if job.final] == [held[0].id]
    await store.close()
    return seen


async def fill(store: SqliteStore, accepted: list[str]) -> list[str]:
    """Puts jobs, twenty at a time and then one at a time, until none is accepted."""
    refused: list[str] = []
    for together in (20, 1):
        full = False
        while not full:
            jobs = [Job(new_job_id(), "e", b'"' + b"i" * 4000 + b'"') for _ in range(together)]
            answers = await asyncio.gather(*(store.put(job) for job in jobs), return_exceptions=True)
            for job, answer in zip(jobs, answers, strict=True):
                if isinstance(answer, StoreFull):
                    refused.append(job.id)
                    full = True
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    accepted.append(job.id)
    return refused


async def use_up(store: SqliteStore, accepted: list[str]) -> None:
    """Takes the last room, so that nothing at all fits."""
    await asyncio.to_thread(write_until_full, Path(sys.argv[1]) / "rest")
    for _ in range(200):  # the log may have room left within its file
        try:
            accepted.append((await store.put(Job(new_job_id(), "e", b"1"))).id)
        except StoreFull:
            return
    raise AssertionError("the disk does not get full")


def write_until_full(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (4096, 64, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


async def is_full(call: Any) -> bool:
    try:
        await call
    except StoreFull:
        return True
    return False


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
