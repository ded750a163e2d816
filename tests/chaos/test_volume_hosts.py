"""Sixteen processes on several hosts want one model while downloaders are killed: one transfer, nothing half visible.

A host is a process namespace with a mount of its own: its processes cannot see those of another, the volume has
another path, and only the heartbeats in the lease files tell who lives.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.volume.conftest import MIB, Hub, noise, wait_for
from tests.volume.conftest import hub as hub  # the fixture
from zeroidle.volume.layout import Layout

FILES = {
    "config.json": b"{}",
    "model-1.safetensors": noise(9 * MIB, 1),
    "model-2.safetensors": noise(7 * MIB, 2),
    "small.txt": noise(1000, 3),
}
SIZE = sum(map(len, FILES.values()))
#: What one killed downloader may have had under way: on each of its 8 streams the pieces of the server (64 KiB) that
#: lay in the buffers of the two sockets.
TAIL = 8 * 4 * 65536


@dataclass
class Host:
    """A namespace that lives as long as its first process, and where the volume is in it."""

    pid: int | None
    volume: Path

    def command(self, program: list[str]) -> list[str]:
        """The command line that runs a program there."""
        if self.pid is None:
            return program
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "--", *program]


@dataclass
class Worker:
    """One `zeroidle volume pull`, and what it last said."""

    process: subprocess.Popen[str]
    says: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.says = json.loads(line)

    @property
    def fetches(self) -> bool:
        """Whether it is the one that downloads, and lives."""
        return self.process.poll() is None and self.says.get("stage") == "fetch"

    def kill(self) -> None:
        """kill -9, at once and without a word."""
        family = psutil.Process(self.process.pid).children(recursive=True) or [psutil.Process(self.process.pid)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def host(shared: Path, mount: Path) -> Iterator[Host]:
    """A namespace in which the shared folder is mounted at another place."""
    mount.mkdir()
    script = f"mount --bind '{shared}' '{mount}' && echo up && exec sleep infinity"
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "up\n":
            reason = "hosts cannot be simulated here: this machine forbids mount namespaces"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        (inner,) = psutil.Process(process.pid).children()
        yield Host(inner.pid, mount / "volume")
        process.kill()


def start(where: Host, source: str, hub_url: str) -> Worker:
    """Starts one worker's pull."""
    env = os.environ | {
        "HF_ENDPOINT": hub_url, "ZEROIDLE_VOLUME_TTL_S": "2", "ZEROIDLE_VOLUME_BEAT_S": "0.2",
        "ZEROIDLE_VOLUME_RETRY_FIRST_S": "0.05",
    }  # fmt: skip
    program = [sys.executable, "-c", "import sys; from zeroidle.cli.main import main; sys.exit(main())"]
    program += ["volume", "pull", source]
    command = where.command([*program, "--progress", "json", "--volume", str(where.volume)])
    return Worker(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env))


class Watcher(threading.Thread):
    """Looks at everything that has a final name, all the time: it must be right at once."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.layout = Layout(root)
        self.wrong: list[str] = []
        self.looked = 0
        self.ended = threading.Event()

    def run(self) -> None:
        seen: set[Path] = set()
        while not self.ended.wait(0.005):
            for path in (*self.layout.blobs.glob("*/*"), *self.layout.hub.glob("*/blobs/*")):
                if path not in seen:
                    seen.add(path)
                    if path.parent.parent == self.layout.blobs:
                        self._hash(path)
            for snapshot in self.layout.hub.glob("*/snapshots/*"):
                self.looked += 1
                for name, data in FILES.items():
                    found = snapshot / name
                    if not found.is_file() or found.stat().st_size != len(data):
                        self.wrong.append(f"{found} is not complete")

    def _hash(self, path: Path) -> None:
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            self.wrong.append(f"{path} is visible with another content")


def all_right(path: Path) -> None:
    """The tree has all files with their content."""
    for name, data in FILES.items():
        assert (path / name).read_bytes() == data


def run(hub: Hub, places: list[Host], root: Path, kills: int, seed: int) -> None:
    """Starts the workers, kills downloaders, and checks what came of it."""
    hub.repo("acme/big", FILES)
    hub.faults(bytes_per_s=MIB)
    chance = random.Random(seed)
    watcher = Watcher(root)
    watcher.start()
    workers = [start(places[index % len(places)], "hf:acme/big", hub.url) for index in range(16)]
    killed = 0
    try:
        while killed < kills:
            goal = SIZE * (killed + chance.random()) / (kills + 1)
            wait_for(lambda: any(w.fetches and w.says.get("done_bytes", 0) >= goal for w in workers), 60)  # type: ignore[operator]  # noqa: B023
            fetching = [w for w in workers if w.fetches]
            assert len(fetching) == 1
            fetching[0].kill()
            workers.remove(fetching[0])
            killed += 1
        for worker in workers:
            assert worker.process.wait(timeout=90) == 0
            worker.thread.join()
            assert worker.says["stage"] == "done"
    finally:
        watcher.ended.set()
        watcher.join()
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
    assert watcher.wrong == []
    assert watcher.looked > 0
    layout = Layout(root)
    (snapshot,) = layout.hub.glob("*/snapshots/*")
    all_right(snapshot)
    assert SIZE <= hub.sent_bytes <= SIZE + kills * TAIL
    assert list(layout.parts.iterdir()) == []


@pytest.mark.parametrize(("kills", "seed"), [(0, 0), (3, 1)])
def test_sixteen_processes_of_one_host_fetch_once(hub: Hub, tmp_path: Path, kills: int, seed: int) -> None:
    root = tmp_path / "volume"
    run(hub, [Host(None, root)], root, kills, seed)


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root for namespaces")
@pytest.mark.parametrize(("kills", "seed"), [(0, 0), (3, 2)])
def test_sixteen_processes_of_four_hosts_fetch_once(hub: Hub, tmp_path: Path, kills: int, seed: int) -> None:
    assert shutil.which("unshare") and shutil.which("nsenter"), "util-linux is missing"
    shared = tmp_path / "shared"
    shared.mkdir()
    with contextlib.ExitStack() as stack:
        places = [Host(None, shared / "volume")]
        places += [stack.enter_context(host(shared, tmp_path / f"mount{n}")) for n in range(3)]
        run(hub, places, shared / "volume", kills, seed)


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root for namespaces")
def test_a_downloader_that_was_asleep_does_no_harm_when_it_wakes(hub: Hub, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    hub.repo("acme/big", FILES)
    hub.faults(bytes_per_s=MIB)
    with host(shared, tmp_path / "mount") as far:
        sleeper = start(far, "hf:acme/big", hub.url)
        wait_for(lambda: sleeper.fetches and int(str(sleeper.says.get("fetched_bytes", 0))) > MIB)
        family = psutil.Process(sleeper.process.pid).children(recursive=True)
        for member in family:
            member.suspend()
        watcher = Watcher(shared / "volume")
        watcher.start()
        other = start(Host(None, shared / "volume"), "hf:acme/big", hub.url)
        wait_for(lambda: other.fetches, 30)
        for member in (*family, psutil.Process(sleeper.process.pid)):  # nsenter stops with its child
            member.resume()
        assert other.process.wait(timeout=60) == 0
        assert sleeper.process.wait(timeout=60) == 0
        watcher.ended.set()
        watcher.join()
    assert watcher.wrong == []
    (snapshot,) = Layout(shared / "volume").hub.glob("*/snapshots/*")
    all_right(snapshot)
    # What the sleeper had already was copied, not fetched again; while both ran, both may have fetched a little.
    assert hub.sent_bytes <= SIZE + 2 * TAIL + 8 * MIB


def test_killed_again_and_again_it_ends_with_one_transfer(hub: Hub, tmp_path: Path) -> None:
    hub.repo("acme/big", FILES)
    hub.faults(bytes_per_s=MIB)
    root = tmp_path / "volume"
    watcher = Watcher(root)
    watcher.start()
    chance = random.Random(5)
    before = 0
    for kill in range(6):
        worker = start(Host(None, root), "hf:acme/big", hub.url)
        goal = before + chance.random() * SIZE / 8
        wait_for(lambda: worker.fetches and float(str(worker.says.get("done_bytes", 0))) >= goal)  # noqa: B023
        before = int(str(worker.says["done_bytes"]))
        worker.kill()
        assert hub.sent_bytes <= SIZE + (kill + 1) * TAIL
    last = start(Host(None, root), "hf:acme/big", hub.url)
    assert last.process.wait(timeout=60) == 0
    watcher.ended.set()
    watcher.join()
    assert watcher.wrong == []
    (snapshot,) = Layout(root).hub.glob("*/snapshots/*")
    all_right(snapshot)
    assert SIZE <= hub.sent_bytes <= SIZE + 6 * TAIL
