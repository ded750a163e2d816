"""The model volume: pulling against curl, verifying against the hash's and the disk's limit, and the warm check.

    python benchmarks/volume.py [--gib 4] [--files 8] [-n 5] [--folder DIR]

A pull is `zeroidle volume pull hf:...` from a hub on loopback, its start, listing and verification included; curl
fetches the same files by the same redirects with as many connections and verifies nothing. Both write to the same
file system, alternately; what is still in the page cache then is flushed outside of both times, and the time of
zeroidle's own flush is shown beside. Every run is checked: curl's files by their size, the volume by its hashes.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zeroidle.volume import markers
from zeroidle.volume.options import Options
from zeroidle.volume.progress import Progress
from zeroidle.volume.pull import pull
from zeroidle.volume.store import Volume
from zeroidle.volume.verify import verify
from zeroidle.volume.weights import Weights

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-c", "import sys; from zeroidle.cli.main import main; sys.exit(main())"]
COMMIT = "a" * 40
MIB = 1024 * 1024


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=4.0, help="size of the model")
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("-n", type=int, default=5, help="repeats")
    parser.add_argument("--folder", type=Path, help="where to work (default: the folder for temporary files)")
    parser.add_argument("--json", type=Path, help="also write every value into this file")
    args = parser.parse_args()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        work = Path(name)
        size = make_model(work / "hub", args.files, int(args.gib * 1024 * MIB))
        with hub(work / "hub") as url:
            subprocess.run(["curl", "-sf", "-o", os.devnull, f"{url}/api/models/bench/big?blobs=true"], check=True)
            for _ in range(args.n):
                add(found, "curl, parallel, MB/s", size / curl(url, work / "curl", args.files) / 1e6)
                total, ready, flush = zeroidle(url, work / "volume", size)
                add(found, "pull, whole command less its flush, MB/s", size / (total - flush) / 1e6)
                add(found, "pull, from the listing to complete and verified, MB/s", size / ready / 1e6)
                add(found, "flush to the disk after that, s", flush)
        measure_verify(found, Volume(work / "volume"), size, args.n)
        measure_warm(found, work, args.n * 10)
    show(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def add(found: dict[str, list[float]], name: str, value: float) -> None:
    """Notes one value."""
    found.setdefault(name, []).append(value)


def show(found: dict[str, list[float]]) -> None:
    """Prints medians, ranges and what they are to each other."""
    print(f"{'':<58} {'median':>8} {'min':>8} {'max':>8} {'n':>4}")
    for name, values in found.items():
        print(f"{name:<58} {statistics.median(values):8.2f} {min(values):8.2f} {max(values):8.2f} {len(values):4}")
    middle = {name: statistics.median(values) for name, values in found.items()}
    pairs = [
        a / b
        for a, b in zip(found["pull, whole command less its flush, MB/s"], found["curl, parallel, MB/s"], strict=True)
    ]
    limit = min(middle["limit of the hash, all cores, MB/s"], middle["limit of reading, all cores, MB/s"])
    print(f"\npull / curl, pair by pair: median {statistics.median(pairs):.2f}, {min(pairs):.2f} to {max(pairs):.2f}")
    print(f"verify / the lower limit: {middle['verify, MB/s'] / limit:.2f}")


def make_model(root: Path, files: int, size: int) -> int:
    """A repository of so many files with random bytes. Returns its size."""
    folder = root / "models" / "bench" / "big"
    (folder / COMMIT).mkdir(parents=True)
    (folder / "refs.json").write_text(json.dumps({"refs": {"main": COMMIT}}))
    each = size // files // MIB * MIB
    for index in range(files):
        with open(folder / COMMIT / f"model-{index}.safetensors", "wb") as file:
            for _ in range(each // MIB):
                file.write(os.urandom(MIB))
    return each * files


@contextmanager
def hub(root: Path) -> Iterator[str]:
    """The tests' hub, as a process."""
    server = ROOT / "tests" / "volume" / "hub_server.py"
    with subprocess.Popen([sys.executable, str(server), str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:  # fmt: skip
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["hub"]
        process.kill()


def curl(url: str, target: Path, files: int) -> float:
    """Seconds that curl takes for all files at once."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    os.sync()
    parts = [
        word
        for index in range(files)
        for word in ("-o", str(target / str(index)), f"{url}/bench/big/resolve/main/model-{index}.safetensors")
    ]
    begin = time.monotonic()
    subprocess.run(
        ["curl", "-sSfL", "--no-progress-meter", "--parallel", "--parallel-max", "8", *parts], check=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.monotonic() - begin
    each = {path.stat().st_size for path in target.iterdir()}
    assert len(each) == 1 and len(list(target.iterdir())) == files, "curl did not fetch everything"
    shutil.rmtree(target)
    return seconds


def zeroidle(url: str, root: Path, size: int) -> tuple[float, float, float]:
    """Seconds of the whole command, of the pull in it until all was visible, and of the flush."""
    shutil.rmtree(root, ignore_errors=True)
    os.sync()
    env = os.environ | {"HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"}
    begin = time.monotonic()
    done = subprocess.run(
        [*COMMAND, "volume", "pull", "hf:bench/big", "--volume", str(root), "--json"], check=True,
        stdout=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    seconds = time.monotonic() - begin
    (found,) = json.loads(done.stdout)
    assert found["fetched_bytes"] == size, "not everything was fetched"
    return seconds, found["seconds"], found["flush_seconds"]


def measure_verify(found: dict[str, list[float]], volume: Volume, size: int, repeats: int) -> None:
    """Verifies, and beside it what reading and hashing alone can do with the same bytes."""
    paths = [path for path in volume.layout.blobs.rglob("*") if path.is_file()]
    for _ in range(repeats):
        add(found, "limit of reading, all cores, MB/s", size / timed(lambda: every(read, paths)) / 1e6)
        add(found, "limit of the hash, all cores, MB/s", size / timed(lambda: every(hash_memory, paths)) / 1e6)
        begin = time.monotonic()
        report = verify(volume, volume.markers(), Progress())
        add(found, "verify, MB/s", size / (time.monotonic() - begin) / 1e6)
        assert report.right and report.size_bytes == size, "the volume is not right"


def timed(work: Callable[[], None]) -> float:
    """Seconds of a call."""
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def every(work: Callable[[Path], None], paths: list[Path]) -> None:
    """Calls it for each path, as many at once as there are cores."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(work, paths))


def read(path: Path) -> None:
    """Reads a file."""
    buffer = bytearray(MIB)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def hash_memory(path: Path) -> None:
    """Hashes as many bytes as a file has, from memory."""
    digest, block = hashlib.sha256(), bytes(MIB)
    for _ in range(path.stat().st_size // MIB):
        digest.update(block)


def measure_warm(found: dict[str, list[float]], work: Path, repeats: int) -> None:
    """What a start costs more when all of 1,000 files are there."""
    folder = work / "many"
    folder.mkdir()
    for index in range(1000):
        (folder / f"{index:04d}.bin").write_bytes(index.to_bytes(4, "big") * 16)
    volume = Volume(work / "warm", Options())
    weights = Weights(f"file:{folder}")
    assert len(pull(volume, weights).manifest.files) == 1000
    for _ in range(repeats):
        begin = time.perf_counter()
        tree = volume.ready(weights)
        add(found, "warm check of 1,000 files, ms", (time.perf_counter() - begin) * 1e3)
        assert tree is not None and markers.find(volume.layout, tree.manifest.key) is not None
    volume.close()


if __name__ == "__main__":
    main()
