"""Cold starts: forked, spawned, and what a bare interpreter takes for the same imports.

    python benchmarks/cold_start.py [-n 20] [--python INTERPRETER_WITH_TORCH]

Without --python an environment with torch (CPU) is made in .cache/torch. Every start is checked: the answer is right,
and the worker came to be in the way that is measured. The kinds are interleaved, so that a change of the machine's
mood meets all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from zeroidle.bench.cold import wait_for_zero
from zeroidle.cli.bench import _Plane
from zeroidle.cli.temporary import temporary_plane

ROOT = Path(__file__).resolve().parent.parent
HANDLERS = {
    "no-op": "import runpod\nrunpod.serverless.start({'handler': lambda job: job['input']['n'] + 1})\n",
    "torch": "import torch, runpod\nrunpod.serverless.start({'handler': lambda job: job['input']['n'] + 1})\n",
    "declared": "from zeroidle import endpoint\n@endpoint\ndef declared(n: int) -> int:\n    return n + 1\n",
}

#: What a worker runs, without the handler: of a RunPod handler, of a file that declares a sync endpoint.
OWN = "import zeroidle_worker.boot, zeroidle_worker.run, zeroidle_worker.run_sync, zeroidle_worker.script\n" + (
    "import zeroidle_worker.runpod_shim, zeroidle_worker.api.names\n"
)
OWN_DECLARED = OWN + "import zeroidle_worker.declared\n"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--python", type=Path)
    parser.add_argument("--json", type=Path, help="also write every value into this file")
    args = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation has its bytecode: compiling is no cold start
    python = args.python or torch_python()
    found = measure(python, args.n)
    print(f"{'milliseconds':<58} {'median':>8} {'min':>8} {'max':>8} {'n':>4}")
    for name, values in found.items():
        print(f"{name:<58} {statistics.median(values):8.1f} {min(values):8.1f} {max(values):8.1f} {len(values):4}")
    ratio = statistics.median(found["torch, zero to ready, spawn"]) / statistics.median(
        found["bare python, import torch"]
    )
    print(f"\nspawn with torch / bare interpreter with the same import: {ratio:.2f}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def torch_python() -> Path:
    """An interpreter with torch, made once."""
    folder = ROOT / ".cache" / "torch"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "torch==2.13.0", "numpy"], check=True)
        (folder / "done").touch()
    return python


def measure(python: Path, n: int) -> dict[str, list[float]]:
    """All series, in milliseconds."""
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        planes = {}
        for kind, text in HANDLERS.items():
            handler = Path(name) / ("handler_of_" + kind.replace("-", "_") + ".py")
            handler.write_text(text)
            for way in ("fork", "spawn"):
                off = ["--set", f"{kind}.fork_server=0s"] if way == "spawn" else []
                options = ["--idle", "0s", "--max-workers", "1", "--python", str(python), *off]
                place = stack.enter_context(temporary_plane([f"{kind}={handler}"], options))
                planes[kind, way] = _Plane(place)
                for _ in range(2):  # notes the imports; waits for the fork server
                    one(planes[kind, way], kind, way, None)
        for _ in range(n):
            for (kind, way), plane in planes.items():
                total_ms, ready_ms = one(plane, kind, way, way == "fork")
                found[f"{kind}, zero to ready, {way}"].append(ready_ms)
                found[f"{kind}, first answer from zero over HTTP, {way}"].append(total_ms)
            found["bare python, import torch"].append(program(python, "import os, torch; os._exit(0)"))
            found["bare python"].append(program(python, "import os; os._exit(0)"))
            found["the worker's own code, import alone"].append(own_import(python, OWN))
            found["the worker's own code with a declared endpoint"].append(own_import(python, OWN_DECLARED))
            found["zeroidle --help"].append(program(Path(sys.executable), None))
    return dict(sorted(found.items()))


def one(plane: Any, endpoint: str, way: str, forked: bool | None) -> tuple[float, float]:
    """One cold start; milliseconds to the answer and from the decision to start until the worker was ready."""
    wait_for_zero(plane, endpoint)
    began = time.perf_counter()
    job = plane.submit(endpoint, {"input": {"n": 41}})
    total_ms = (time.perf_counter() - began) * 1000
    assert job["status"] == "COMPLETED" and job["output"] == 42, job
    phases = plane.ask("jobs", job["id"])["timeline"]["phases"]
    ready_ms = 1000 * sum(phase["seconds"] for phase in phases if phase["name"] in ("capacity", "boot", "import"))
    if forked is not None:
        workers = [worker for worker in plane.ask("endpoints", endpoint)["workers"] if worker["id"] == job["workerId"]]
        assert all(worker["forked"] is forked for worker in workers), (way, workers)
    return total_ms, ready_ms


def program(python: Path, code: str | None) -> float:
    """Milliseconds of a whole process."""
    argv = [python, "-c", code] if code is not None else [python, "-m", "zeroidle", "--help"]
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def own_import(python: Path, imports: str) -> float:
    """Milliseconds that a bare interpreter takes to import what a worker runs. Without `site`, which on some machines
    imports half of it before."""
    program = "import sys, time\nbegan = time.perf_counter()\nsys.path.insert(0, sys.argv[1])\n" + imports
    argv = [python, "-I", "-S", "-c", program + "print((time.perf_counter() - began) * 1000)", ROOT / "src"]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
