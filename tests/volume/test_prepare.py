"""The plane's side: a worker starts when its weights are there, and what is missing is said meanwhile."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from tests.volume.conftest import MIB, Hub, model
from zeroidle.endpoint import Endpoint
from zeroidle.volume import lockfile, prepare
from zeroidle.volume.prepare import Preparation, Status
from zeroidle.volume.pull import pull
from zeroidle.volume.store import Volume
from zeroidle.volume.uses import live
from zeroidle.volume.weights import Weights

WORKER = Path(prepare.__file__).parents[2] / "zeroidle_worker"


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs an async test."""

    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(asyncio.wait_for(test(**fixtures), 60))

    return run


async def until(preparation: Preparation, condition: Callable[[Status], bool]) -> Status:
    """Waits for a status of the endpoint. The test's own deadline ends it."""
    while True:
        status = preparation.status("speak")
        if status is not None and condition(status):
            return status
        await asyncio.sleep(0.01)


def endpoint(root: Path, *weights: str, env: dict[str, str] | None = None) -> Endpoint:
    """An endpoint with weights on a volume below its folder."""
    return Endpoint("speak", root / "app.py", root, sys.executable, weights=weights, volume="vol", env=env or {})


@on_a_loop
async def test_a_cold_endpoint_is_held_until_its_weights_are_there(hub: Hub, tmp_path: Path) -> None:
    files = model(4 * MIB)
    hub.repo("acme/tiny", files)
    hub.faults(bytes_per_s=MIB)
    changes: list[str] = []
    preparation = Preparation(lambda name: changes.append(preparation.status(name).state))  # type: ignore[union-attr]
    mine = endpoint(tmp_path, "hf:acme/tiny")
    waiting = asyncio.create_task(preparation.ready(mine))
    second = asyncio.create_task(preparation.ready(mine))
    sentences = set()
    while not waiting.done():
        status = preparation.status("speak")
        if status is not None and status.state == "fetching" and status.total_bytes:
            sentences.add(status.sentence.split(":")[1].strip().split(" ")[0] + " fetched")
        await asyncio.sleep(0.01)
    status = await waiting
    assert (await second) == status
    assert status.state == "ready" and status.fetched_bytes == sum(map(len, files.values()))
    assert sentences and changes == ["checking", "fetching", "ready"]
    phase = preparation.phase("speak")
    assert phase is not None and phase.name == "weights" and phase.note is not None
    assert "MB at" in phase.note and phase.end is not None and phase.end > phase.start
    env = preparation.environment(mine)
    volume = Volume(tmp_path / "vol")
    assert env["HF_HOME"] == str(tmp_path / "vol" / "hf") and env["HF_HUB_OFFLINE"] == "1"
    path = Path(json.loads(env["ZEROIDLE_WEIGHTS"])["hf:acme/tiny"])
    assert (path / "config.json").read_bytes() == files["config.json"]
    (key,) = (m.manifest.key for m in volume.markers())
    assert live(volume.layout, key, 0.0)
    preparation.release("speak")
    assert not live(volume.layout, key, 0.0)
    warm = await preparation.ready(mine)
    assert warm.fetched_bytes == 0 and hub.sent_bytes == sum(map(len, files.values()))
    assert preparation.phase("speak").note == "already there"  # type: ignore[union-attr]
    await preparation.close()


@on_a_loop
async def test_what_cannot_be_had_is_said_and_tried_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_RETRY_FIRST_S", 0.2)
    preparation = Preparation()
    waiting = asyncio.create_task(preparation.ready(endpoint(tmp_path, "hf:acme/late")))
    status = await until(preparation, lambda status: status.state == "failed")
    assert "shows no repository acme/late" in status.sentence and "Next try" in status.sentence
    assert not waiting.done()
    hub.repo("acme/late", model())
    assert (await waiting).state == "ready"
    await preparation.close()


@on_a_loop
async def test_the_lock_file_decides_the_revision(hub: Hub, tmp_path: Path) -> None:
    old = hub.repo("acme/tiny", model(seed=1))
    volume = Volume(tmp_path / "other")
    manifest = pull(volume, Weights("hf:acme/tiny")).manifest
    lockfile.write(tmp_path / "zeroidle.lock", [manifest])
    hub.repo("acme/tiny", model(seed=1) | {"config.json": b"{}"})
    preparation = Preparation()
    mine = endpoint(tmp_path, "hf:acme/tiny")
    await preparation.ready(mine)
    assert json.loads(preparation.environment(mine)["ZEROIDLE_WEIGHTS"])["hf:acme/tiny"].endswith(old)
    await preparation.close()


@on_a_loop
async def test_closing_ends_a_download_and_leaves_no_process(hub: Hub, tmp_path: Path) -> None:

    hub.repo("acme/tiny", model(8 * MIB))
    hub.faults(bytes_per_s=100_000)
    preparation = Preparation()
    waiting = asyncio.create_task(preparation.ready(endpoint(tmp_path, "hf:acme/tiny")))
    await until(preparation, lambda status: status.fetched_bytes > 0)
    children = [p for p in psutil.Process().children(recursive=True) if _runs(p, "pull")]
    assert len(children) == 1
    await preparation.close()
    assert not children[0].is_running()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_an_endpoint_without_weights_keeps_the_users_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZEROIDLE_VOLUME", raising=False)
    plain = Endpoint("plain", tmp_path / "app.py", tmp_path, sys.executable)
    assert Preparation().environment(plain) == {}
    assert not Preparation.needs(plain)


def test_settings_that_nothing_reads_are_reported(tmp_path: Path) -> None:
    env = {"MFA_ROOT_DIRECTORY": "/runpod-volume/mfa", "HF_HOME": "/x", "ESPNET_MODEL_ZOO_CACHE_DIR": "/y"}
    first, second = Preparation.report(endpoint(tmp_path, env=env))
    assert "ESPNET_MODEL_ZOO_CACHE_DIR does nothing" in first
    assert "set MFA_ROOT_DIR instead" in second


def test_a_live_worker_protects_its_weights(hub: Hub, volume: Volume) -> None:
    from zeroidle.volume.evict import gc

    hub.repo("acme/tiny", model())
    tree = pull(volume, Weights("hf:acme/tiny"))
    uses = json.dumps([str(volume.layout.uses / tree.manifest.key)])
    program = (
        f"import sys; sys.path.insert(0, {str(WORKER.parent)!r})\n"
        "from zeroidle_worker.weights import hold\nprint(len(hold()), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"ZEROIDLE_WEIGHTS_USES": uses},
    ) as worker:  # fmt: skip
        assert worker.stdout is not None and worker.stdout.readline() == "1\n"
        found = gc(volume, 0)
        assert [m.manifest.source for m in found.in_use] == ["hf:acme/tiny"] and not found.trees
        assert volume.ready(Weights("hf:acme/tiny")) is not None
        worker.kill()
        worker.wait()
    assert [m.manifest.source for m in gc(volume, 0).trees] == ["hf:acme/tiny"]
    assert volume.ready(Weights("hf:acme/tiny")) is None
    assert [p for p in volume.layout.blobs.rglob("*") if p.is_file()] == []


@on_a_loop
async def test_a_relative_folder_is_the_endpoints_own(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.txt").write_text("a")
    preparation = Preparation()
    mine = endpoint(tmp_path, "file:model")
    assert (await preparation.ready(mine)).state == "ready"
    folders = json.loads(preparation.environment(mine)["ZEROIDLE_WEIGHTS"])
    assert (Path(folders["file:model"]) / "a.txt").read_text() == "a"
    await preparation.close()


def _runs(process: psutil.Process, word: str) -> bool:
    """Whether a process lives and has the word among its arguments."""
    try:
        return word in process.cmdline()
    except psutil.Error:  # it has ended
        return False
