"""kill -9 of the store's process during a burst: none lost, none recorded twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from zeroidle.job import Job, Spooled, Status, read_payload
from zeroidle.store.sqlite import SqliteStore

PROGRAM = Path(__file__).parent.parent / "store" / "programs" / "burst.py"
JOBS = 2000


def run_round(folder: Path, number: int, kill_after_s: float | None) -> tuple[list[list[str]], bool]:
    """What the process said until it was killed, that long after it had opened the store, or ended by itself."""
    command = [sys.executable, str(PROGRAM), str(folder), str(number), str(JOBS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    fd, data, kill_at, give_up_at = process.stdout.fileno(), b"", None, time.monotonic() + 60
    try:
        while True:
            assert time.monotonic() < give_up_at, "the burst does not end"
            wait_s = 1.0 if kill_at is None else max(0.0, kill_at - time.monotonic())
            if select.select([fd], [], [], wait_s)[0]:
                if not (more := os.read(fd, 65536)):
                    break
                data += more
            if kill_at is None and kill_after_s is not None and b"open" in data:
                kill_at = time.monotonic() + kill_after_s
            if kill_at is not None and time.monotonic() >= kill_at:
                process.send_signal(signal.SIGKILL)
                kill_at = None
                kill_after_s = None
    finally:
        process.kill()
        code = process.wait()
        process.stdout.close()
    lines = [line.split() for line in data.decode().splitlines()]
    assert code in (0, -signal.SIGKILL), f"the burst failed by itself: {code}"
    return lines, code == 0


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_a_killed_store_loses_nothing_and_records_nothing_twice(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    said: list[list[str]] = []
    kills = 0
    for number in range(100):
        lines, ended = run_round(tmp_path, number, None if number >= 12 else chance.uniform(0.0, 0.15))
        said += lines
        if ended:
            break
        kills += 1
    assert kills >= 3, "it was hardly killed at all"
    put = {words[1]: words[2] for words in said if words[0] == "put"}
    done = {words[1]: (int(words[2]), words[3]) for words in said if words[0] == "done"}
    ends = Counter(words[1] for words in said if words[0] in ("done", "cancelled"))
    assert len(put) <= JOBS and ends.most_common(1)[0][1] == 1, "a job was told to have ended twice"
    asyncio.run(check(tmp_path, put, done, said))


async def check(folder: Path, put: dict[str, str], done: dict[str, tuple[int, str]], said: list[list[str]]) -> None:
    store = SqliteStore(folder, {})
    await store.open()
    jobs = {job.id: job for job in await store.list_jobs("e", limit=100_000)}
    assert len(jobs) >= JOBS
    assert set(put) <= set(jobs), "an acknowledged job is lost"
    assert all(job.final for job in jobs.values())
    for job_id, (attempt, token) in done.items():
        job = jobs[job_id]
        assert (job.status, job.attempt) == (Status.COMPLETED, attempt)
        assert job.output is not None and json.loads(read_payload(job.output, store.spool))["token"] == token
    cancelled = {words[1] for words in said if words[0] == "cancelled"}
    assert all(jobs[job_id].status is Status.CANCELLED for job_id in cancelled)
    assert {words[1] for words in said if words[0] == "key"} <= set(await store.list_keys())
    counts = store.counts("e")
    completed = [job for job in jobs.values() if job.status is Status.COMPLETED]
    assert (counts.completed, counts.failed, counts.queued, counts.in_progress) == (len(completed), 0, 0, 0)

    deliveries = Counter(delivery.job_id for delivery in await store.list_deliveries(limit=100_000))
    hooked = {job.id for job in jobs.values() if job.webhook is not None}
    assert hooked and deliveries == dict.fromkeys(hooked, 1), "each end has one delivery"
    assert all(put[job_id] == "hook" for job_id in hooked & set(put))
    for job in completed[:300]:
        assert await store.read_stream("e", job.id, start=0) is not None
        assert (await store.read_stream("e", job.id, start=0) or (None, []))[1] == [b'"%d"' % job.attempt]
    await check_files(store, list(jobs))
    await store.close()


async def check_files(store: SqliteStore, ids: list[str]) -> None:
    """Every file that a job or a webhook names is there, whole, and there are no others."""
    bodies = [delivery.body for delivery in await store.list_deliveries(limit=100_000)]
    named = {body.path: body for body in bodies if isinstance(body, Spooled)}
    for job_id in ids:
        job = await store.get("e", job_id)
        assert job is not None
        named |= {payload.path: payload for payload in files_of(job)}
    assert named, "no payload was large"
    assert {path.name for path in store.spool.iterdir()} == set(named)
    for payload in named.values():
        text = read_payload(payload, store.spool)
        assert len(text) == payload.size_bytes and json.loads(text)


def files_of(job: Job) -> list[Spooled]:
    return [payload for payload in (job.input, job.output) if isinstance(payload, Spooled)]
