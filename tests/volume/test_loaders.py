"""transformers, faster-whisper and torch find on the volume what they ask for by name, without a network."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.volume.conftest import Hub, noise
from zeroidle.volume.environment import environment, unread
from zeroidle.volume.progress import Progress
from zeroidle.volume.pull import pull
from zeroidle.volume.store import Volume
from zeroidle.volume.verify import verify
from zeroidle.volume.weights import Weights

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache"
PACKAGES = ("torch==2.13.0", "transformers", "faster-whisper", "pandas", "requests", "humanfriendly", "pyyaml")
#: Without what they need for training; the downloader alone is tried.
BARE = ("espnet==202511", "espnet_model_zoo==0.1.7")


@pytest.fixture(scope="module")
def python() -> Path:
    """An environment with the loaders, made once below .cache."""
    CACHE.mkdir(exist_ok=True)
    target = CACHE / "loaders"
    with (CACHE / "loaders.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            make(target)
    return target / "bin" / "python"


def make(target: Path) -> None:
    """Never half made: built under another name and then renamed."""
    draft = target.with_name(f"loaders.draft-{os.getpid()}")
    try:
        subprocess.run([sys.executable, "-m", "venv", str(draft)], check=True, capture_output=True)
        command = [str(draft / "bin/python"), "-m", "pip", "install", "-q"]
        subprocess.run([*command, *PACKAGES], check=True, capture_output=True, text=True)
        subprocess.run([*command, "--no-deps", *BARE], check=True, capture_output=True, text=True)
        draft.rename(target)
    except subprocess.CalledProcessError as exc:
        message = f"the loaders cannot be installed: {str(exc.stderr)[-500:]}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def files_of(folder: Path) -> dict[str, bytes]:
    """What a folder holds."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def run(python: Path, program: str, *arguments: str, env: dict[str, str], offline: bool = False) -> str:
    """Runs a program of this folder and returns its last line."""
    command = [str(python), str(HERE / program), *arguments]
    if offline and os.geteuid() == 0 and shutil.which("unshare"):
        command = ["unshare", "--net", *command]  # not even loopback
    base = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ZEROIDLE_"))}
    done = subprocess.run(command, capture_output=True, text=True, env=base | env, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_loaders_find_their_files_offline(hub: Hub, volume: Volume, python: Path, tmp_path: Path) -> None:
    run(python, "make_checkpoints.py", str(tmp_path / "made"), env={})
    commit = hub.repo("acme/tiny-bert", files_of(tmp_path / "made" / "bert"))
    hub.repo("Systran/faster-whisper-tiny", files_of(tmp_path / "made" / "whisper"))
    saved = subprocess.run(
        [str(python), "-c", "import sys, torch; torch.save({'w': torch.arange(3)}, sys.stdout.buffer)"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    url = hub.web("weights/state.pth", io.BytesIO(saved).getvalue())
    # One is pinned to its commit, and the handler that names no revision must get that one.
    sources = [f"hf:acme/tiny-bert@{commit}", "hf:Systran/faster-whisper-tiny", url]
    trees = [pull(volume, Weights(source)) for source in sources]
    env = environment(volume.layout, trees, {})
    found = json.loads(run(python, "load_checkpoints.py", url, env={**env, "COMMIT": commit}, offline=True))
    assert found["total"] > 0 and found["same"] is True
    assert found["language"] == "en" and found["state"] == [0, 1, 2]


ESPNET = {
    "meta.yaml": b"espnet: '202511'\nfiles:\n  s2t_model_file: exp/m/valid.pth\npython: 3.11\ntimestamp: 1\n"
    b"torch: 2\nyaml_files:\n  s2t_train_config: exp/m/config.yaml\n",
    "exp/m/config.yaml": b"bpemodel: data/bpe.model\n",
    "exp/m/valid.pth": noise(2_000_000),
    "data/bpe.model": noise(300_000),
}


@pytest.mark.slow
def test_espnet_finds_its_files_and_rewrites_its_own_copy_only(hub: Hub, volume: Volume, python: Path) -> None:
    hub.repo("acme/espnet-tiny", ESPNET)
    tree = pull(volume, Weights("hf:acme/espnet-tiny"))
    env = environment(volume.layout, [tree], {})
    code = (
        "import json, os, espnet_model_zoo.downloader as d\n"
        "cache = os.path.join(os.environ['HF_HOME'], 'hub')\n"
        "print(json.dumps(d.ModelDownloader(cachedir=cache).download_and_unpack('acme/espnet-tiny')))\n"
    )
    (volume.layout.root / "espnet_program.py").write_text(code)
    found = json.loads(run(python, str(volume.layout.root / "espnet_program.py"), env=env, offline=True))
    assert Path(found["s2t_model_file"]).read_bytes() == ESPNET["exp/m/valid.pth"]
    # It puts absolute paths into its configuration; the content that everybody shares stays.
    assert str(tree.path) in Path(found["s2t_train_config"]).read_text()
    report = verify(volume, volume.markers(), Progress())
    assert report.right and len(report.changed) == 1
    assert volume.ready(Weights("hf:acme/espnet-tiny")) is not None


@pytest.mark.slow
def test_settings_that_no_package_reads_are_found_by_looking(python: Path) -> None:
    (packages,) = (python.parents[1] / "lib").glob("python3*/site-packages")
    names = ["HF_HOME", "TORCH_HOME", "MFA_ROOT_DIRECTORY", "HF_TRANSFORMERS_CACHE", "HF_CACHE_DIR"]
    assert unread(names, [packages]) == {
        "HF_HOME": True, "TORCH_HOME": True, "MFA_ROOT_DIRECTORY": False, "HF_TRANSFORMERS_CACHE": False,
        "HF_CACHE_DIR": False,
    }  # fmt: skip
