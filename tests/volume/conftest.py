"""A hub on loopback, content for it, and volumes."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zeroidle.volume.options import Options
from zeroidle.volume.store import Volume

MIB = 1024 * 1024
SERVER = Path(__file__).with_name("hub_server.py")
#: Waits short enough for tests.
QUICK = Options(
    stall_s=0.5, ttl_s=2.0, beat_s=0.2, poll_s=0.02, retries=30, retry_first_s=0.01, retry_longest_s=0.05,
    reserve_bytes=0, segment_bytes=256 * 1024, segment_most_bytes=MIB, buffer_bytes=64 * 1024,
)  # fmt: skip


@dataclass
class Hub:
    """A running hub and the folder of its files."""

    url: str
    cdn: str
    root: Path

    def call(self, path: str, body: object = None) -> Any:
        """Speaks to its controls."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=10) as answer:
            return json.load(answer)

    def faults(self, **given: object) -> None:
        """Sets the faults from now on."""
        self.call("/_faults", given)

    @property
    def stats(self) -> Any:
        """What was sent so far."""
        return self.call("/_stats")

    @property
    def sent_bytes(self) -> int:
        """All bytes of all bodies."""
        return sum(self.stats["sent"].values())

    def repo(self, name: str, files: dict[str, bytes], refs: tuple[str, ...] = ("main",), gated: bool = False) -> str:
        """Adds a commit with these files to a repository and moves the refs to it. Returns the commit."""
        listing = sorted((k, hashlib.sha1(v).hexdigest()) for k, v in files.items())
        commit = hashlib.sha1(json.dumps(listing).encode()).hexdigest()
        folder = self.root / "models" / name
        for path, data in files.items():
            target = folder / commit / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        notes = folder / "refs.json"
        known = json.loads(notes.read_text()) if notes.exists() else {"refs": {}}
        notes.write_text(json.dumps({"refs": {**known["refs"], **dict.fromkeys(refs, commit)}, "gated": gated}))
        return commit

    def web(self, path: str, data: bytes) -> str:
        """Adds a plain file. Returns its address."""
        target = self.root / "web" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return f"{self.url}/web/{path}"


def serve(root: Path, host: str = "127.0.0.1") -> Iterator[Hub]:
    """Starts a hub and ends it."""
    with subprocess.Popen(
        [sys.executable, str(SERVER), str(root), host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        yield Hub(ports["hub"], ports["cdn"], root)
        process.kill()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with no faults; HF_ENDPOINT points to it."""
    for found in serve(tmp_path / "hub"):
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        yield found


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    """An empty volume."""
    found = Volume(tmp_path / "volume", QUICK)
    yield found
    found.close()


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes without a pattern, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def model(size: int = 3 * MIB, seed: int = 0) -> dict[str, bytes]:
    """The files of a small model: a large one, small ones, a folder, an empty one."""
    return {
        "config.json": b'{"model_type": "tiny"}',
        "model.safetensors": noise(size, seed),
        "tokenizer/vocab.txt": noise(1000, seed + 1),
        "onnx/model.onnx": noise(150_000, seed + 2),
        "empty.txt": b"",
    }


def wait_for(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Waits until it holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.01)
