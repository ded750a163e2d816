"""Batches: jobs per second of a handler with a fixed cost per call, by the size of its batches.

    python benchmarks/batching.py [-n 5] [--cost-ms 20] [--jobs 400]

Every run submits its jobs over HTTP with `connections` clients that wait for each answer, checks each result and that
the handler made no more calls than the batch size allows, and is repeated with the sizes interleaved. Beside the rate
stands what the cost alone would allow: size / cost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from zeroidle.cli.temporary import temporary_plane

APP = """
import time
from zeroidle import endpoint

calls = 0

@endpoint(name="work", batch=(1, 0))
def work(n: list[int]) -> list[list[int]]:
    global calls
    calls += 1
    time.sleep(COST_S)
    return [[one + 1, calls] for one in n]
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--cost-ms", type=float, default=20.0)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--json", type=Path, help="also write every value into this file")
    args = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {size: [] for size in args.sizes}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        handler = Path(name) / "app.py"
        handler.write_text(APP.replace("COST_S", str(args.cost_ms / 1000)))
        options = ["--idle", "10m", "--max-workers", "1"]
        urls = {
            size: stack.enter_context(
                temporary_plane([str(handler)], [*options, "--set", f"work.batch={size}:{args.cost_ms / 4:g}ms"])
            ).url
            for size in args.sizes
        }
        for round_number in range(args.n + 1):  # the first one warms up
            for size, url in urls.items():
                # Few enough calls that the smallest batches end in time, enough that the ends do not matter.
                jobs = max(4 * size, min(args.jobs, 20 * size))
                value = asyncio.run(measure(url, size, jobs))
                if round_number:
                    found[size].append(value)
    report(found, args.cost_ms, args.n)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


async def measure(url: str, size: int, jobs: int) -> tuple[float, float]:
    """Jobs per second and jobs per call, with twice as many clients as a batch has members."""
    numbers = iter(range(jobs))
    calls: set[int] = set()
    host, port = url.removeprefix("http://").split(":")

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for n in numbers:
            job = await runsync(reader, writer, b'{"input":{"n":%d}}' % n)
            assert job["status"] == "COMPLETED" and job["output"][0] == n + 1, job
            calls.add(job["output"][1])
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(2 * size)))
    took_s = time.perf_counter() - began
    assert next(numbers, None) is None and len(calls) >= jobs / size, (len(calls), jobs)
    return jobs / took_s, jobs / len(calls)


async def runsync(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> Any:
    """One request on a kept connection: a client library costs more than the plane, and is not what is measured."""
    head = b"POST /v2/work/runsync?wait=60000 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    writer.write(head + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return json.loads(await reader.readexactly(length))


def report(found: dict[int, list[tuple[float, float]]], cost_ms: float, n: int) -> None:
    """One line for each size."""
    print(f"a call costs {cost_ms:g} ms; n = {n} runs of each size; load average {os.getloadavg()[0]:.1f}")
    print(f"{'batch':>6} {'jobs/s median':>14} {'min':>8} {'max':>8} {'ideal':>8} {'of ideal':>9} {'jobs/call':>10}")
    for size, values in found.items():
        rates = [rate for rate, _ in values]
        ideal = size * 1000 / cost_ms
        median = statistics.median(rates)
        filled = statistics.median(per_call for _, per_call in values)
        print(
            f"{size:6} {median:14.0f} {min(rates):8.0f} {max(rates):8.0f} {ideal:8.0f} {median / ideal:9.0%} "
            f"{filled:10.1f}"
        )


if __name__ == "__main__":
    main()
