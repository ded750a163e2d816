"""Pulling from a hub and from plain addresses, when nothing goes wrong."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from tests.volume.conftest import MIB, Hub, model, noise
from tests.volume.hub_server import TOKEN
from zeroidle.errors import ConfigError, SourceError, VolumeFull
from zeroidle.volume.options import Options
from zeroidle.volume.progress import Progress
from zeroidle.volume.pull import pull
from zeroidle.volume.store import Volume
from zeroidle.volume.weights import Weights


def check(path: Path, files: dict[str, bytes]) -> None:
    """A tree has exactly these files."""
    found = {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    assert found == files


def test_the_loopback_hub_is_real_enough_for_the_unmodified_client(hub: Hub, tmp_path: Path) -> None:
    files = model()
    commit = hub.repo("acme/tiny", files, refs=("main", "v1"))
    api = HfApi(endpoint=hub.url)
    assert api.model_info("acme/tiny", files_metadata=True).sha == commit
    assert {f.path for f in api.list_repo_tree("acme/tiny", recursive=True)} >= set(files)
    assert HfApi(endpoint=hub.url).file_exists("acme/tiny", "config.json")
    path = Path(snapshot_download("acme/tiny", revision="v1", cache_dir=tmp_path / "hf", endpoint=hub.url))
    check(path, files)
    one = hf_hub_download("acme/tiny", "model.safetensors", cache_dir=tmp_path / "one", endpoint=hub.url)
    assert Path(one).read_bytes() == files["model.safetensors"]


def test_a_model_is_fetched_once_and_found_by_the_hubs_client(hub: Hub, volume: Volume) -> None:
    files = model()
    commit = hub.repo("acme/tiny", files)
    progress = Progress()
    found = pull(volume, Weights("hf:acme/tiny"), progress)
    assert found.manifest.revision == commit
    check(found.path, files)
    size = sum(map(len, files.values()))
    assert hub.sent_bytes == size
    assert found.fetched_bytes == size
    now = progress.snapshot()
    assert (now.stage, now.done_bytes, now.total_bytes, now.files_done) == ("done", size, size, len(files))
    again = pull(volume, Weights("hf:acme/tiny"))
    assert (again.path, again.fetched_bytes, hub.sent_bytes) == (found.path, 0, size)
    hub_says = snapshot_download("acme/tiny", cache_dir=volume.layout.hub, local_files_only=True)
    assert Path(hub_says) == found.path
    # Online, the client compares etags and finds that it needs nothing.
    assert Path(snapshot_download("acme/tiny", cache_dir=volume.layout.hub, endpoint=hub.url)) == found.path
    assert hub.sent_bytes == size


def test_patterns_choose_files_and_the_rest_comes_later(hub: Hub, volume: Volume) -> None:
    files = model()
    hub.repo("acme/tiny", files)
    part = pull(volume, Weights("hf:acme/tiny", deny=["onnx/*"]))
    check(part.path, {k: v for k, v in files.items() if not k.startswith("onnx/")})
    before = hub.sent_bytes
    whole = pull(volume, Weights("hf:acme/tiny"))
    check(whole.path, files)
    assert hub.sent_bytes - before == len(files["onnx/model.onnx"])


def test_a_moving_revision_moves_only_when_told(hub: Hub, volume: Volume) -> None:
    weights = Weights("hf:acme/tiny@main")
    first = hub.repo("acme/tiny", model(seed=1))
    assert pull(volume, weights).manifest.revision == first
    changed = model(seed=1) | {"config.json": b"{}"}
    second = hub.repo("acme/tiny", changed)
    assert pull(volume, weights).manifest.revision == first
    before = hub.sent_bytes
    moved = pull(volume, weights, upgrade=True)
    assert moved.manifest.revision == second
    check(moved.path, changed)
    assert hub.sent_bytes - before == 2  # only what is new: "{}"


def test_a_gated_model_needs_the_token_which_goes_to_the_hub_only(
    hub: Hub, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repo("acme/secret", model(), gated=True)
    with pytest.raises(SourceError, match="HF_TOKEN"):
        pull(volume, Weights("hf:acme/secret"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    found = pull(volume, Weights("hf:acme/secret"))
    check(found.path, model())
    assert hub.stats["leaks"] == 0
    for path in volume.layout.root.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("hf:acme/none", "no repository"),
        ("hf:acme/tiny@v9", "no revision 'v9'"),
        ("hf:acme/tiny#allow=*.gguf", "no files that match"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(hub: Hub, volume: Volume, source: str, says: str) -> None:
    hub.repo("acme/tiny", model(size=MIB))
    with pytest.raises(SourceError, match=says):
        pull(volume, Weights(source))


def test_a_plain_address_with_and_without_its_hash(hub: Hub, volume: Volume) -> None:
    data = noise(2 * MIB, 5)
    url = hub.web("weights/model.pt", data)
    found = pull(volume, Weights(url))
    assert found.file_path.read_bytes() == data
    sha256 = hashlib.sha256(data).hexdigest()
    pinned = pull(volume, Weights(f"{url}#sha256={sha256}"))
    assert pinned.manifest.revision == sha256
    assert hub.sent_bytes < len(data) + 10  # the second found its content on the volume
    assert (volume.layout.root / "torch/hub/checkpoints/model.pt").read_bytes() == data


def test_mfa_models_are_put_where_mfa_looks(hub: Hub, volume: Volume) -> None:
    data = noise(1000)
    url = hub.web("mfa-models/releases/download/acoustic-english_mfa-v3.1.0/english_mfa.zip", data)
    pull(volume, Weights(url))
    assert (volume.layout.root / "mfa/pretrained_models/acoustic/english_mfa.zip").read_bytes() == data


def test_a_local_folder_is_copied_and_followed(volume: Volume, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(noise(MIB))
    (folder / "sub" / "b.bin").write_bytes(b"b")
    weights = Weights(f"file:{folder}")
    found = pull(volume, weights)
    check(found.path, {"a.bin": noise(MIB), "sub/b.bin": b"b"})
    assert pull(volume, weights).path == found.path
    (folder / "a.bin").write_bytes(noise(MIB, 9))
    check(pull(volume, weights).path, {"a.bin": noise(MIB, 9), "sub/b.bin": b"b"})


def test_two_files_of_one_content_are_fetched_once(hub: Hub, volume: Volume) -> None:
    data = noise(MIB)
    hub.repo("acme/twins", {"a.bin": data, "b.bin": data})
    found = pull(volume, Weights("hf:acme/twins"))
    check(found.path, {"a.bin": data, "b.bin": data})
    assert hub.sent_bytes == MIB


def test_room_is_looked_for_before_the_first_byte(hub: Hub, tmp_path: Path) -> None:
    hub.repo("acme/tiny", model())
    volume = Volume(tmp_path / "v", Options(reserve_bytes=1 << 60))
    with pytest.raises(VolumeFull, match="are missing"):
        pull(volume, Weights("hf:acme/tiny"))
    assert hub.sent_bytes == 0


def test_a_server_without_ranges_or_length_is_read_from_the_start(hub: Hub, volume: Volume) -> None:
    data = noise(2 * MIB)
    for index, faults in enumerate([{"no_ranges": True}, {"no_length": True}, {"no_ranges": True, "no_length": True}]):
        hub.faults(**faults)
        url = hub.web(f"model{index}.bin", noise(2 * MIB, index))
        assert pull(volume, Weights(url)).file_path.read_bytes() == noise(2 * MIB, index)
    assert data == noise(2 * MIB)


def test_the_bandwidth_cap_spreads_the_bytes(hub: Hub, tmp_path: Path) -> None:
    hub.web("slow.bin", noise(MIB))
    volume = Volume(tmp_path / "v", Options(bandwidth=2 * MIB, reserve_bytes=0))
    found = pull(volume, Weights(f"{hub.url}/web/slow.bin"))
    # The bucket holds a quarter of a second: half a MiB may come at once, the rest takes a quarter of a second.
    assert found.seconds >= 0.2


def test_the_volume_may_be_moved(hub: Hub, volume: Volume, tmp_path: Path) -> None:
    hub.repo("acme/tiny", model())
    weights = Weights("hf:acme/tiny")
    pull(volume, weights)
    os.rename(volume.layout.root, tmp_path / "elsewhere")
    moved = Volume(tmp_path / "elsewhere").ready(weights)
    assert moved is not None
    check(moved.path, model())
    assert moved.path.is_relative_to(tmp_path / "elsewhere")


@pytest.mark.parametrize("links", ["symbolic", "copy"])
def test_file_systems_without_hard_links_are_served_too(hub: Hub, volume: Volume, links: str) -> None:
    hub.repo("acme/tiny", model())
    volume.links = links  # type: ignore[assignment]
    check(pull(volume, Weights("hf:acme/tiny")).path, model())
    url = hub.web("x/y.bin", noise(MIB))
    assert pull(volume, Weights(url)).file_path.read_bytes() == noise(MIB)


def test_files_that_would_leave_their_folder_are_refused(hub: Hub, volume: Volume) -> None:
    from zeroidle.volume.manifest import File, select

    for path in ("../evil", "/etc/passwd", "a/../../b", "a\\b", "a//b", ""):
        with pytest.raises(SourceError, match="leave its folder"):
            select(Weights("hf:acme/tiny"), "r", [File(path, 1)])


@pytest.mark.parametrize(
    "text",
    ["hf:", "hf:a/b/c", "hf:a/b@", "hf:../x", "ftp://x/y", "http://example.org/x", "https://u:p@h/x", "zenodo:x",
     "s3://", "https://h/x#sha256=12", "hf:a/b#sha256=" + "a" * 64, "model", "hf:a/b#permit=x"],
)  # fmt: skip
def test_sources_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Weights(text)
