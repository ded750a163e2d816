"""Servers that break off, stall, lie and change their minds: every file ends right, or nothing is visible."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.volume.conftest import MIB, QUICK, Hub, model, noise, wait_for
from tests.volume.test_pull import check
from zeroidle.errors import DamagedError, SourceError
from zeroidle.volume.fetch import Cancelled
from zeroidle.volume.progress import Progress
from zeroidle.volume.pull import pull
from zeroidle.volume.store import Volume
from zeroidle.volume.weights import Weights


def nothing_is_visible(volume: Volume) -> None:
    """No blob, no name for loaders, no marker."""
    layout = volume.layout
    seen = [p for folder in (layout.hub, layout.root / "models", layout.trees) for p in folder.rglob("*")]
    assert [p for p in seen if not p.is_dir()] == []


@pytest.mark.parametrize(
    "faults",
    [
        {"reset": {"times": 8}},
        {"stall": {"times": 4}},
        {"short": {"times": 8}},
        {"429": {"times": 8}},
        {"503": {"times": 8}},
        {"etag": {"times": 8}},
        {"sign_uses": 2},
        {
            "reset": {"times": 3},
            "stall": {"times": 3},
            "short": {"times": 3},
            "429": {"times": 3},
            "503": {"times": 3},
            "sign_uses": 3,
            "etag": {"times": 3},
        },
    ],
    ids=lambda f: "+".join(f),
)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_model_survives_a_bad_server(hub: Hub, volume: Volume, faults: dict[str, object], seed: int) -> None:
    files = model(4 * MIB, seed)
    hub.repo("acme/tiny", files)
    hub.faults(**faults, seed=seed)
    progress = Progress()
    check(pull(volume, Weights("hf:acme/tiny"), progress).path, files)
    stats = hub.stats
    assert stats["leaks"] == 0
    # What a broken connection had sent and we had read is kept: only what was under way is sent twice.
    broken = sum(stats["fault_counts"].get(name, 0) for name in ("reset", "stall", "short"))
    assert hub.sent_bytes <= sum(map(len, files.values())) + broken * MIB
    if "sign_uses" not in faults or len(faults) > 1:
        assert sum(stats["fault_counts"].values()) > 0


def test_short_bodies_cost_nothing_twice(hub: Hub, volume: Volume) -> None:
    files = model(4 * MIB)
    hub.repo("acme/tiny", files)
    hub.faults(short={"times": 6})
    check(pull(volume, Weights("hf:acme/tiny")).path, files)
    assert hub.stats["fault_counts"] == {"short": 6}
    assert hub.sent_bytes == sum(map(len, files.values()))


def test_wrong_bytes_are_fetched_again(hub: Hub, volume: Volume) -> None:
    files = model(2 * MIB)
    hub.repo("acme/tiny", files)
    hub.faults(wrong={"times": 2})
    progress = Progress()
    check(pull(volume, Weights("hf:acme/tiny"), progress).path, files)
    assert "sha" in progress.snapshot().problem


def test_a_source_that_stays_wrong_is_refused_and_nothing_is_visible(hub: Hub, volume: Volume) -> None:
    hub.repo("acme/tiny", model(2 * MIB))
    hub.faults(wrong=1.0)
    with pytest.raises(DamagedError, match="fetched 3 times and is wrong"):
        pull(volume, Weights("hf:acme/tiny"))
    nothing_is_visible(volume)
    hub.faults()
    check(pull(volume, Weights("hf:acme/tiny")).path, model(2 * MIB))


def test_a_wrong_promise_is_refused(hub: Hub, volume: Volume) -> None:
    url = hub.web("x.bin", noise(MIB))
    with pytest.raises(DamagedError, match="sha256 is"):
        pull(volume, Weights(f"{url}#sha256={'0' * 64}"))
    nothing_is_visible(volume)


def test_a_file_that_changes_on_the_way_is_begun_anew(hub: Hub, volume: Volume) -> None:
    old, new = noise(4 * MIB, 1), noise(4 * MIB, 2)
    url = hub.web("x.bin", old)
    hub.faults(bytes_per_s=4 * MIB)
    result: list[bytes] = []

    def run() -> None:
        result.append(pull(volume, Weights(url), progress).file_path.read_bytes())

    progress = Progress()
    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: progress.snapshot().fetched_bytes > MIB // 2)
    hub.web("x.bin", new)
    hub.faults(etag_suffix="2")
    thread.join()
    assert result[0] in (new, old)
    assert result[0] == new, "what it began with is no longer there"


def test_a_refusal_that_stays_is_said_and_nothing_is_visible(hub: Hub, volume: Volume) -> None:
    hub.repo("acme/tiny", model())
    weights = Weights("hf:acme/tiny")
    pull_listing_only(hub, volume, weights)
    hub.faults(**{"503": 1.0})
    with pytest.raises(SourceError, match="HTTP 503"):
        pull(volume, weights)
    nothing_is_visible(volume)


def pull_listing_only(hub: Hub, volume: Volume, weights: Weights) -> None:
    """Resolves, so that only the transfer fails afterwards."""
    from zeroidle.volume.pull import resolve

    resolve(volume, weights)


def test_retry_after_is_respected(hub: Hub, volume: Volume) -> None:
    hub.repo("acme/tiny", {"a.bin": noise(200_000)})
    weights = Weights("hf:acme/tiny")
    pull_listing_only(hub, volume, weights)
    hub.faults(**{"429": {"times": 1}}, retry_after=1)
    assert pull(volume, weights).seconds >= 1.0


def test_a_stopped_pull_goes_on_where_it_was(hub: Hub, volume: Volume, tmp_path: Path) -> None:
    files = {"a.bin": noise(8 * MIB), "b.txt": b"b"}
    hub.repo("acme/tiny", files)
    hub.faults(bytes_per_s=2 * MIB)
    progress = Progress()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            pull(volume, Weights("hf:acme/tiny"), progress)
        except Cancelled as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: progress.snapshot().fetched_bytes > MIB)
    volume.cancel.set()
    thread.join()
    assert len(errors) == 1
    nothing_is_visible(volume)
    hub.faults()
    kept = progress.snapshot().fetched_bytes
    other = Volume(volume.layout.root, QUICK)
    again = Progress()
    check(pull(other, Weights("hf:acme/tiny"), again).path, files)
    size = sum(map(len, files.values()))
    assert again.snapshot().fetched_bytes == size - kept
    other.close()


def test_bytes_that_rot_between_two_tries_are_noticed(hub: Hub, volume: Volume) -> None:
    data = noise(40 * MIB)
    hub.repo("acme/big", {"a.bin": data})
    weights = Weights("hf:acme/big")
    hub.faults(bytes_per_s=16 * MIB)
    progress = Progress()

    def run() -> None:
        with pytest.raises(Cancelled):
            pull(volume, weights, progress)

    thread = threading.Thread(target=run)
    thread.start()
    part = volume.layout.parts
    wait_for(lambda: any(b"M 0 " in p.read_bytes() for p in part.glob("*/*/*.journal")))
    volume.cancel.set()
    thread.join()
    (path,) = part.glob("*/*/*.part")
    with open(path, "r+b") as file:
        file.seek(5 * MIB)
        file.write(b"rotten")
    hub.faults()
    other, again = Volume(volume.layout.root, QUICK), Progress()
    assert (pull(other, weights, again).path / "a.bin").read_bytes() == data
    # Of what was there only the stretch of 16 MiB around the rot is fetched again.
    rest = len(data) - progress.snapshot().fetched_bytes
    assert again.snapshot().fetched_bytes == rest + 16 * MIB
    other.close()


def test_a_full_disk_leaves_all_consistent_and_says_what_is_missing(hub: Hub, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mount)], check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        files = {"a.bin": noise(3 * MIB, 1), "b.bin": noise(9 * MIB, 2)}
        hub.repo("acme/big", files)
        # As on a mount that does not say how much of it is ours: the check before is fooled.
        program = (
            "import sys; import zeroidle.volume.space as s; s.free_bytes = lambda p: 1 << 40\n"
            "from zeroidle.cli.main import main\n"
            "sys.exit(main(['volume', 'pull', 'hf:acme/big', '--volume', sys.argv[1]]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(mount / "v")], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1, done.stderr
        assert "became full" in done.stderr and "MB are still missing" in done.stderr
        volume = Volume(mount / "v", QUICK)
        nothing_is_visible(volume)
        subprocess.run(["mount", "-o", "remount,size=30m", str(mount)], check=True)
        progress = Progress()
        check(pull(volume, Weights("hf:acme/big"), progress).path, files)
        assert progress.snapshot().fetched_bytes < 12 * MIB - 3 * MIB
        volume.close()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_hash_is_really_computed_over_what_lies_on_the_disk(hub: Hub, volume: Volume) -> None:
    files = model(4 * MIB)
    hub.repo("acme/tiny", files)
    found = pull(volume, Weights("hf:acme/tiny"))
    for file in found.manifest.files:
        assert hashlib.sha256((found.path / file.path).read_bytes()).hexdigest() == file.sha256
