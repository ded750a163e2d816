"""What is measured of a running server; each checks that the work was done, and raises when it was not."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Coroutine
from typing import Any

from engine_parts import client
from engine_parts.machine import used_by
from engine_parts.servers import BODY, PARTS, Server, ask

#: Some jobs are on their way before anybody asks for the first: a client does not ask within a millisecond.
_LAG_JOBS = 256

#: A client of a batch asks how far it is so often.
_ASK_EVERY_S = 0.05

Figures = dict[str, float]


class WorkNotDone(RuntimeError):
    """An answer was wrong, missing or given twice; a run with errors has no figure."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs a client, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def load(server: Server, connections: int, seconds: int) -> Figures:
    """Closed loop of one small call on every connection: rate, latency, processor time per request of the server."""
    completed = _completed(server)
    with used_by(server.pid) as used:
        if shutil.which("wrk"):
            found = _wrk(server, connections, seconds)
        else:
            found = run(_ask_on(server, connections, seconds))
    if found["wrong"] or found["errors"] or not found["right"]:
        raise WorkNotDone(f"{server.name}: {found}")
    if completed is not None and (more := _completed(server) - completed) < found["right"]:
        raise WorkNotDone(f"{server.name} counts {more} completed jobs, its clients {found['right']}")
    return {
        "per_s": found["right"] / found["seconds"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "cpu_us": used.tree_s / found["right"] * 1e6,
        "others_cores": used.others_cores,
    }


def _wrk(server: Server, connections: int, seconds: int) -> Figures:
    env = dict(os.environ) | ({"BENCH_KEY": server.key} if server.key else {})
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", PARTS / "check.lua", server.url + server.path]
    out = subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout
    found: Figures = json.loads(out.strip().splitlines()[-1])
    return found


async def _ask_on(server: Server, n: int, seconds: int) -> Figures:
    """The same without wrk; this client needs more of the machine."""
    connections = await client.connect(server.url, server.key, n)
    took: list[float] = []
    wrong, began = 0, time.perf_counter()

    async def one(connection: client.Connection) -> None:
        nonlocal wrong
        while (at := time.perf_counter()) - began < seconds:
            wrong += (await connection.ask("POST", server.path, BODY))["output"] != {"n": 2}
            took.append((time.perf_counter() - at) * 1000)

    await asyncio.gather(*map(one, connections))
    elapsed = time.perf_counter() - began
    client.close(connections)
    cut = statistics.quantiles(took, n=100)
    right = len(took) - wrong
    return {"right": right, "wrong": wrong, "errors": 0, "seconds": elapsed, "p50_ms": cut[49], "p99_ms": cut[98]}


def durable(server: Server, jobs: int, connections: int) -> Figures:
    """Submits `jobs` by /run and asks /status of each until it is COMPLETED: every id once, every output right."""
    completed = _completed(server)
    with used_by(server.pid) as used:
        submit_s, total_s = run(_durable(server, jobs, connections))
    if _completed(server) - (completed or 0) != jobs:
        raise WorkNotDone(f"{server.name} counts other than {jobs} completed jobs")
    health = ask(server, "GET", "/v2/add/health")["jobs"]
    if health["failed"] or health["retried"] or health["inQueue"] or health["inProgress"]:
        raise WorkNotDone(f"{server.name}: {health}")
    return {
        "jobs_per_s": jobs / total_s,
        "submits_per_s": jobs / submit_s,
        "cpu_us": used.tree_s / jobs * 1e6,
        "client_cpu_us": used.own_s / jobs * 1e6,
        "others_cores": used.others_cores,
    }


async def _durable(server: Server, jobs: int, n: int) -> tuple[float, float]:
    base = server.path.rpartition("/")[0]
    connections = await client.connect(server.url, server.key, n)
    waiting: collections.deque[tuple[str, int]] = collections.deque()
    numbers, seen, done = iter(range(jobs)), set[str](), set[str]()
    began, submitted_s = time.perf_counter(), 0.0

    async def submit(connection: client.Connection) -> None:
        nonlocal submitted_s
        for number in numbers:
            answer = await connection.ask("POST", f"{base}/run", b'{"input":{"n":%d,"text":"hello"}}' % number)
            if answer["id"] in seen:
                raise WorkNotDone(f"the id {answer['id']} was given twice")
            seen.add(answer["id"])
            waiting.append((answer["id"], number))
        submitted_s = time.perf_counter() - began
        await collect(connection)

    async def collect(connection: client.Connection) -> None:
        while len(done) < jobs:
            if len(waiting) <= (0 if len(seen) == jobs else _LAG_JOBS):
                await asyncio.sleep(0.001)
                continue
            job_id, number = waiting.popleft()
            answer = await connection.ask("GET", f"{base}/status/{job_id}")
            if answer["status"] in ("IN_QUEUE", "IN_PROGRESS"):
                waiting.append((job_id, number))
            elif answer["status"] != "COMPLETED" or answer["output"] != {"n": number + 1} or job_id in done:
                raise WorkNotDone(f"the job {job_id} of {number} ended as {answer}")
            else:
                done.add(job_id)

    half = n // 2
    await asyncio.gather(*map(submit, connections[:half]), *map(collect, connections[half:]))
    client.close(connections)
    return submitted_s, time.perf_counter() - began


def batches(server: Server, jobs: int, size: int, at_once: int) -> Figures:
    """The same by /batch: `at_once` clients, each makes batches of `size` requests, finalizes them, asks until they
    have ended and reads every result: every id once, every output right and in its place."""
    completed = _completed(server) or 0
    with used_by(server.pid) as used:
        total_s = run(_batches(server, jobs // size, size, at_once))
    jobs = jobs // size * size
    if (more := (_completed(server) or 0) - completed) != jobs:
        raise WorkNotDone(f"{server.name} counts {more} completed jobs, not {jobs}")
    return {
        "jobs_per_s": jobs / total_s,
        "cpu_us": used.tree_s / jobs * 1e6,
        "client_cpu_us": used.own_s / jobs * 1e6,
        "others_cores": used.others_cores,
    }


async def _batches(server: Server, batches: int, size: int, at_once: int) -> float:
    base = server.path.rpartition("/")[0] + "/batch"
    connections = await client.connect(server.url, server.key, at_once)
    numbers, seen = iter(range(batches)), set[str]()
    began = time.perf_counter()

    async def work(connection: client.Connection) -> None:
        for number in numbers:
            inputs = range(number * size, (number + 1) * size)
            body = b"[%b]" % b",".join(b'{"input":{"n":%d,"text":"hello"}}' % n for n in inputs)
            path = f"{base}/{(await connection.ask('POST', base, body))['id']}"
            await connection.ask("POST", f"{path}/finalize")
            while "endedAt" not in await connection.ask("GET", path):  # noqa: ASYNC110 - the server does not call us
                await asyncio.sleep(_ASK_EVERY_S)
            found: list[Any] = []
            while len(found) < size:
                page = await connection.ask("GET", f"{path}/requests?limit=1000&offset={len(found)}")
                found += page["requests"]
            outputs = [one["output"]["n"] for one in found if one["status"] == "COMPLETED"]
            if outputs != [n + 1 for n in inputs]:
                raise WorkNotDone(f"the batch {path} has other results than asked for")
            seen.update(one["id"] for one in found)

    await asyncio.gather(*map(work, connections))
    total_s = time.perf_counter() - began
    client.close(connections)
    if len(seen) != batches * size:
        raise WorkNotDone(f"there are {len(seen)} ids of {batches * size} jobs")
    return total_s


def pick_up(server: Server, times: int, gap_s: tuple[float, float]) -> list[float]:
    """Milliseconds from sending a job to an idle worker until its handler began, at random gaps, on one clock."""
    found: list[float] = run(_pick_up(server, times, gap_s))
    return found


async def _pick_up(server: Server, times: int, gap_s: tuple[float, float]) -> list[float]:
    (connection,) = await client.connect(server.url, server.key, 1)
    took: list[float] = []
    for number in range(times):
        await asyncio.sleep(random.uniform(*gap_s))  # fixed gaps would fall into step with who polls
        sent = time.time()
        answer = await connection.ask("POST", server.path, b'{"input":{"n":%d,"when":true}}' % number)
        if answer["output"]["n"] != number + 1:
            raise WorkNotDone(f"{server.name}: {answer}")
        took.append((answer["output"]["at"] - sent) * 1000)
    connection.close()
    return took


def _completed(server: Server) -> int | None:
    """Jobs that the server counts as completed; None when it counts none."""
    if not server.path.startswith("/v2/"):
        return None
    # The metrics are read as well: they are on while everything is measured.
    metrics = _text(server, "/metrics")
    count = int(ask(server, "GET", server.path.rpartition("/")[0] + "/health")["jobs"]["completed"])
    if "zeroidle" not in metrics:
        raise WorkNotDone("the plane gives no metrics")
    return count


def _text(server: Server, path: str) -> str:
    import urllib.request

    request = urllib.request.Request(server.url + path, headers={"authorization": f"Bearer {server.key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
    return text
