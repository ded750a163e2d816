"""The engine beside its peers: rate, latency, durability, start, memory and idle cost, all in one run.

    python benchmarks/engine.py [-n 5] [--json FILE] [--only NAME ...] [--seconds 4] [--jobs 10000] [--idle-s 30]

Every round measures each server once, one after another, so that a change of the machine's mood meets all of them.
Every answer is checked; a run with a wrong one has no figures. The peers live in .cache/bench/venv, made at the first
run. `wrk` is used when it is installed (scripts/apt wrk), else a client of our own, which needs more of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import time
from collections import defaultdict
from pathlib import Path

from engine_parts import machine, measures, one_at_a_time, servers
from engine_parts.report import print_table, print_targets
from engine_parts.servers import Server

Found = dict[str, list[float]]

_SETTLE_S = 1.0
_ZERO_S = 20.0
_PICK_UPS = 60
_GAP_S = (0.02, 0.12)
_SDK_SECONDS = 8
_BATCH, _BATCHES = 2000, 4
_TURNS, _TURN_S = 5, 2
_SDK_PICK_UPS = 20


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="of load, each (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=10_000, help="durable jobs per round (default: %(default)s)")
    parser.add_argument("--batch-jobs", type=int, default=40_000, help="the same by /batch (default: %(default)s)")
    parser.add_argument("--idle-s", type=float, default=30.0, help="how long the idle plane is watched")
    parser.add_argument("--only", nargs="+", choices=sorted(MEASURED), default=list(MEASURED))
    parser.add_argument("--json", type=Path, help="also write every value into this file")
    args = parser.parse_args()
    found: Found = defaultdict(list)
    servers.peers_python()
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    for number in range(args.n):
        for name in args.only:
            print(f"round {number + 1} of {args.n}: {name}", flush=True)
            MEASURED[name](found, args)
        found["machine: fdatasync of 4 KiB, ms"].append(machine.sync_ms(servers.CACHE))
        found["machine: a fixed loop, ms of CPU"].append(machine.loop_ms())
    facts = about(began)
    print(f"\n{facts}\n")
    print_table(found)
    print_targets(found)
    if args.json:
        args.json.write_text(json.dumps({"about": facts, "values": found}, indent=1))


def about(began: str) -> str:
    """The machine, in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.processor())
    client = "wrk" if shutil.which("wrk") else "own client"
    return f"{began}, {os.cpu_count()} cores ({model}), Python {platform.python_version()}, client: {client}"


def measure_plane(found: Found, args: argparse.Namespace) -> None:
    """Ours: start, memory, calls, durable jobs, pick-up."""
    with servers.plane() as server:
        _start_and_memory(found, server)
        _calls(found, server, args.seconds)
        picked = measures.pick_up(server, _PICK_UPS, _GAP_S)
        found["zeroidle: idle pick-up p50, ms"].append(statistics.median(picked))
        figures = measures.durable(server, args.jobs, 64)
        found["zeroidle: durable jobs/s over HTTP"].append(figures["jobs_per_s"])
        found["zeroidle: durable submits/s over HTTP"].append(figures["submits_per_s"])
        found["zeroidle: CPU us per durable job"].append(figures["cpu_us"])
        found["zeroidle: CPU us of the client per durable job"].append(figures["client_cpu_us"])
        found["machine: cores used by others"].append(figures["others_cores"])
        figures = measures.batches(server, args.batch_jobs, _BATCH, _BATCHES)
        found["zeroidle: durable jobs/s over HTTP, by /batch"].append(figures["jobs_per_s"])
        found["zeroidle: CPU us per durable job by /batch"].append(figures["cpu_us"])
        found["zeroidle: CPU us of the client per job by /batch"].append(figures["client_cpu_us"])


def measure_sdk_loop(found: Found, args: argparse.Namespace) -> None:
    """The SDK's own worker loop: alone, with one job for each take as RunPod hands them out; then on our plane, which
    hands it lists. The same handler file, `sdk` set to real."""
    python = servers.peers_python()
    found["sdk loop alone: jobs/s of an unmodified handler"].append(one_at_a_time.jobs_per_s(python, _SDK_SECONDS))
    with servers.plane("--sdk", "real", "--python", str(python)) as server:
        _start_and_memory(found, server, "sdk loop")
        figures = measures.load(server, 8, _SDK_SECONDS)
        found["sdk loop on our plane: jobs/s of an unmodified handler"].append(figures["per_s"])
        picked = measures.pick_up(server, _SDK_PICK_UPS, (1.2, 1.4))
        found["sdk loop: idle pick-up p50, ms"].append(statistics.median(picked))


def measure_litserve(found: Found, args: argparse.Namespace) -> None:
    """LitServe."""
    with servers.litserve() as server:
        _start_and_memory(found, server)
        _calls(found, server, args.seconds)


def measure_sdk_server(found: Found, args: argparse.Namespace) -> None:
    """RunPod's local server."""
    with servers.sdk_server() as server:
        _start_and_memory(found, server)
        _calls(found, server, args.seconds)


def measure_side_by_side(found: Found, args: argparse.Namespace) -> None:
    """Ours, LitServe and RunPod's local server, all up, loaded in turn for a moment each: the machine's mood, which
    changes from minute to minute, is the same for all three."""
    with servers.plane() as ours, servers.litserve() as litserve, servers.sdk_server() as sdk_server:
        peers = (ours, litserve, sdk_server)
        for server in peers:
            measures.load(server, 32, 1)  # warms up
        for _ in range(_TURNS):
            rates = [measures.load(server, 32, _TURN_S)["per_s"] for server in peers]
            for server, rate in zip(peers, rates, strict=True):
                found[f"in turn: {server.name} calls/s"].append(rate)
            for server, rate in zip(peers[1:], rates[1:], strict=True):
                found[f"in turn: zeroidle / {server.name}"].append(rates[0] / rate)


def measure_idle(found: Found, args: argparse.Namespace) -> None:
    """Ours at zero workers: how much of a core it uses while nobody calls."""
    with servers.plane("--idle", "0s") as server:
        end = time.monotonic() + _ZERO_S
        while any(servers.ask(server, "GET", "/v2/add/health")["workers"].values()):
            if time.monotonic() > end:
                raise measures.WorkNotDone(f"The plane has workers {_ZERO_S:g} s after its only job.")
            time.sleep(0.1)
        time.sleep(_SETTLE_S)
        found["zeroidle: PSS at zero workers, MiB"].append(machine.pss_mib(server.pid))
        with machine.used_by(server.pid) as used:
            time.sleep(args.idle_s)
        found["zeroidle: % of a core at zero workers"].append(100 * used.tree_s / used.wall_s)


def _start_and_memory(found: Found, server: Server, name: str = "") -> None:
    name = name or server.name
    found[f"{name}: start to first answer, s"].append(server.started_s)
    time.sleep(_SETTLE_S)
    found[f"{name}: PSS idle with one worker, MiB"].append(machine.pss_mib(server.pid))
    found[f"{name}: processes"].append(len(machine.tree(server.pid)))


def _calls(found: Found, server: Server, seconds: int) -> None:
    measures.load(server, 8, 1)  # warms up
    for connections in (1, 32):
        figures = measures.load(server, connections, seconds)
        what = f"{server.name}: c={connections}"
        found[f"{what} calls/s"].append(figures["per_s"])
        found[f"{what} p50, ms"].append(figures["p50_ms"])
        found[f"{what} p99, ms"].append(figures["p99_ms"])
        found[f"{what} CPU us per call"].append(figures["cpu_us"])
        found["machine: cores used by others"].append(figures["others_cores"])


MEASURED = {
    "zeroidle": measure_plane,
    "litserve": measure_litserve,
    "sdk-server": measure_sdk_server,
    "sdk-loop": measure_sdk_loop,
    "side-by-side": measure_side_by_side,
    "idle": measure_idle,
}

if __name__ == "__main__":
    main()
