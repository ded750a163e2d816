"""Verify and repair, evict, carry elsewhere, take in what is there: nothing is lost, nothing wrong is kept."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from tests.volume.conftest import MIB, QUICK, Hub, model, noise
from tests.volume.test_pull import check
from zeroidle.errors import ConfigError, DamagedError, SourceError, VolumeError
from zeroidle.volume.adopt import adopt, survey
from zeroidle.volume.archive import export, import_
from zeroidle.volume.evict import gc
from zeroidle.volume.progress import Progress
from zeroidle.volume.pull import pull
from zeroidle.volume.repair import repair
from zeroidle.volume.sizes import parse_size
from zeroidle.volume.store import Tree, Volume
from zeroidle.volume.usage import usage
from zeroidle.volume.uses import hold, live
from zeroidle.volume.verify import verify
from zeroidle.volume.weights import Weights


def damage(path: Path, at: int) -> None:
    """Changes one byte, as a bad disk does: the length and the time stay."""
    status = path.stat()
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def blob_of(volume: Volume, tree: Tree, name: str) -> Path:
    """The content of one file."""
    (file,) = (f for f in tree.manifest.files if f.path == name)
    return volume.layout.blob(str(file.sha256))


def test_what_is_right_is_found_right(hub: Hub, volume: Volume) -> None:
    hub.repo("acme/tiny", model())
    pull(volume, Weights("hf:acme/tiny"))
    report = verify(volume, volume.markers(), Progress())
    assert report.right and report.blobs == 5 and report.size_bytes == sum(map(len, model().values()))


@pytest.mark.parametrize("links", ["hard", "symbolic"])
def test_only_the_broken_stretch_is_fetched_again(hub: Hub, volume: Volume, links: str) -> None:
    files = {"big.bin": noise(50 * MIB, 1), "small.bin": noise(MIB, 2)}
    hub.repo("acme/big", files)
    volume.links = links  # type: ignore[assignment]
    tree = pull(volume, Weights("hf:acme/big"))
    before = hub.sent_bytes
    damage(blob_of(volume, tree, "big.bin"), 20 * MIB)
    report = verify(volume, volume.markers(), Progress())
    assert [b.names for b in report.broken] == [("hf:acme/big big.bin",)]
    assert repair(volume, report, volume.markers(), Progress()) == 16 * MIB
    assert hub.sent_bytes - before == 16 * MIB
    check(tree.path, files)
    assert verify(volume, volume.markers(), Progress()).right


def test_damage_after_the_last_mark_costs_the_tail_only(hub: Hub, volume: Volume) -> None:
    files = {"big.bin": noise(20 * MIB, 1)}
    hub.repo("acme/big", files)
    tree = pull(volume, Weights("hf:acme/big"))
    damage(blob_of(volume, tree, "big.bin"), 19 * MIB)
    report = verify(volume, volume.markers(), Progress())
    assert repair(volume, report, volume.markers(), Progress()) == 4 * MIB
    check(tree.path, files)


def test_missing_and_shortened_files_and_names_are_mended(hub: Hub, volume: Volume) -> None:
    files = model()
    hub.repo("acme/tiny", files)
    tree = pull(volume, Weights("hf:acme/tiny"))
    blob_of(volume, tree, "config.json").unlink()
    os.truncate(blob_of(volume, tree, "model.safetensors"), 1000)
    (tree.path / "tokenizer" / "vocab.txt").unlink()
    assert volume.ready(Weights("hf:acme/tiny")) is None
    report = verify(volume, volume.markers(), Progress())
    assert len(report.broken) == 2 and len(report.unlinked) == 1
    repair(volume, report, volume.markers(), Progress())
    check(tree.path, files)
    assert verify(volume, volume.markers(), Progress()).right
    assert volume.ready(Weights("hf:acme/tiny")) is not None


def test_a_shared_content_is_mended_for_all(hub: Hub, volume: Volume) -> None:
    data = noise(2 * MIB)
    hub.repo("acme/one", {"a.bin": data})
    hub.repo("acme/two", {"b.bin": data})
    one, two = pull(volume, Weights("hf:acme/one")), pull(volume, Weights("hf:acme/two"))
    assert hub.sent_bytes == len(data)
    damage(blob_of(volume, one, "a.bin"), 5)
    repair(volume, verify(volume, volume.markers(), Progress()), volume.markers(), Progress())
    check(one.path, {"a.bin": data})
    check(two.path, {"b.bin": data})


def test_sharing_is_reported(hub: Hub, volume: Volume) -> None:
    shared, own = noise(2 * MIB, 1), noise(MIB, 2)
    hub.repo("acme/one", {"a.bin": shared, "own.bin": own})
    hub.repo("acme/two", {"b.bin": shared})
    for name in ("one", "two"):
        pull(volume, Weights(f"hf:acme/{name}"))
    found = usage(volume)
    assert found.blobs_bytes == 3 * MIB and found.saved_bytes == 2 * MIB and found.orphan_bytes == 0
    sizes = {t.marker.manifest.source: (t.size_bytes, t.own_bytes, t.shared_bytes) for t in found.trees}
    assert sizes == {"hf:acme/one": (3 * MIB, MIB, 2 * MIB), "hf:acme/two": (2 * MIB, 0, 2 * MIB)}


def test_what_was_not_used_for_long_is_evicted_first(hub: Hub, volume: Volume) -> None:
    for index, name in enumerate(("old", "new", "used")):
        hub.repo(f"acme/{name}", {"a.bin": noise(MIB, index)})
        tree = pull(volume, Weights(f"hf:acme/{name}"))
        age_s = {"old": 3000, "new": 100, "used": 9000}[name]
        last = volume.layout.uses / tree.manifest.key / "last"
        os.utime(last, (last.stat().st_mtime - age_s,) * 2)
        if name == "used":
            use = hold(volume.layout, tree.manifest.key, volume.owner, volume.beater)
            os.utime(last, (last.stat().st_mtime - age_s,) * 2)
    dry = gc(volume, 2 * MIB, dry_run=True)
    assert [m.manifest.source for m in dry.trees] == ["hf:acme/old"] and len(volume.markers()) == 3
    found = gc(volume, 2 * MIB)
    assert [m.manifest.source for m in found.trees] == ["hf:acme/old"]
    assert found.freed_bytes == MIB and found.left_bytes == 2 * MIB
    assert [m.manifest.source for m in found.in_use] == ["hf:acme/used"]
    assert not (volume.layout.hub / "models--acme--old").exists()
    use.release()
    assert gc(volume, 0).left_bytes == 0


def test_large_trees_weigh_more_than_small_ones(hub: Hub, volume: Volume) -> None:
    hub.repo("acme/large", {"a.bin": noise(8 * MIB, 1)})
    hub.repo("acme/small", {"a.bin": noise(MIB, 2)})
    for name, age_s in (("large", 1000), ("small", 2000)):
        tree = pull(volume, Weights(f"hf:acme/{name}"))
        last = volume.layout.uses / tree.manifest.key / "last"
        os.utime(last, (last.stat().st_mtime - age_s,) * 2)
    assert [m.manifest.source for m in gc(volume, 8 * MIB).trees] == ["hf:acme/large"]


def test_contents_that_another_tree_has_stay(hub: Hub, volume: Volume) -> None:
    shared = noise(2 * MIB, 1)
    hub.repo("acme/one", {"a.bin": shared, "own.bin": noise(MIB, 2)})
    hub.repo("acme/two", {"b.bin": shared})
    pull(volume, Weights("hf:acme/one"))
    two = pull(volume, Weights("hf:acme/two"))
    found = gc(volume, 2 * MIB)
    assert [m.manifest.source for m in found.trees] == ["hf:acme/one"] and found.freed_bytes == MIB
    check(two.path, {"b.bin": shared})
    assert verify(volume, volume.markers(), Progress()).right


def test_evicting_one_selection_leaves_the_other(hub: Hub, volume: Volume) -> None:
    files = model()
    hub.repo("acme/tiny", files)
    pull(volume, Weights("hf:acme/tiny"))
    part = pull(volume, Weights("hf:acme/tiny", allow=["*.json"]))
    gc(volume, 1000)
    check(part.path, {"config.json": files["config.json"]})
    assert [m.manifest.allow for m in volume.markers()] == [("*.json",)]
    assert verify(volume, volume.markers(), Progress()).right


def test_a_use_on_another_host_counts_while_its_heart_beats(hub: Hub, volume: Volume) -> None:
    hub.repo("acme/tiny", model())
    tree = pull(volume, Weights("hf:acme/tiny"))
    other = Volume(volume.layout.root, QUICK)
    far = type(volume.owner)("0123456789abcdef", "another-boot/pid:[1]", 1, "1")
    use = hold(other.layout, tree.manifest.key, far, other.beater)
    assert live(volume.layout, tree.manifest.key, 2.0) == [far]
    other.close()  # its heart stops
    assert live(volume.layout, tree.manifest.key, 0.5) == []
    use.release()


def test_leftovers_are_swept_and_downloads_that_could_go_on_are_not(hub: Hub, volume: Volume) -> None:
    from zeroidle.volume import markers
    from zeroidle.volume.pull import resolve

    hub.repo("acme/tiny", model())
    stray = volume.layout.blob("ab" * 32)
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"nobody's")
    manifest = resolve(volume, Weights("hf:acme/tiny"))
    markers.want(volume.layout, manifest)
    part = volume.layout.parts / manifest.lease_key / "00000001" / "x.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(noise(1000))
    found = gc(volume)
    assert found.orphan_bytes == len(b"nobody's") and not stray.exists() and part.exists()
    assert gc(volume, parts=True).parts_bytes > 0 and not part.exists()


def test_a_volume_is_carried_by_a_tar_file(hub: Hub, volume: Volume, tmp_path: Path) -> None:
    files = model()
    hub.repo("acme/tiny", files)
    pull(volume, Weights("hf:acme/tiny"))
    data = io.BytesIO()
    export(volume, volume.markers(), data, Progress())
    before = hub.sent_bytes
    other = Volume(tmp_path / "other", QUICK)
    data.seek(0)
    import_(other, data, Progress())
    check(pull(other, Weights("hf:acme/tiny")).path, files)
    assert hub.sent_bytes == before
    other.close()


def test_a_damaged_tar_file_is_refused(hub: Hub, volume: Volume, tmp_path: Path) -> None:
    hub.repo("acme/tiny", model())
    pull(volume, Weights("hf:acme/tiny"))
    data = io.BytesIO()
    export(volume, volume.markers(), data, Progress())
    raw = bytearray(data.getvalue())
    raw[len(raw) // 2] ^= 1
    for broken in (bytes(raw), data.getvalue()[: len(raw) // 2], b"", b"no tar at all" * 100):
        other = Volume(tmp_path / f"other{len(broken)}-{broken[:1]!r}", QUICK)
        with pytest.raises((DamagedError, VolumeError)):
            import_(other, io.BytesIO(broken), Progress())
        assert other.markers() == []
        other.close()


def cache_of(hub: Hub, tmp_path: Path, files: dict[str, bytes]) -> Path:
    """A cache that Hugging Face's own client has filled."""
    hub.repo("acme/tiny", files)
    snapshot_download("acme/tiny", cache_dir=tmp_path / "old" / "hub", endpoint=hub.url)
    return tmp_path / "old"


@pytest.mark.parametrize("below", ["", "hub", "hub/models--acme--tiny"])
def test_a_hugging_face_cache_is_adopted_without_a_copy(hub: Hub, volume: Volume, tmp_path: Path, below: str) -> None:
    files = model()
    old = cache_of(hub, tmp_path, files)
    before = hub.sent_bytes
    result = adopt(volume, survey(old / below), Progress())
    assert result.problems == [] and result.copied_bytes == 0
    assert result.linked_bytes == sum(map(len, files.values()))
    found = pull(volume, Weights("hf:acme/tiny"))
    check(found.path, files)
    # The list is checked against the hub, and nothing is fetched.
    assert pull(volume, Weights("hf:acme/tiny"), upgrade=True).path == found.path
    assert hub.sent_bytes == before
    shutil.rmtree(old)
    assert verify(volume, volume.markers(), Progress()).right


def test_a_half_download_is_not_taken_for_a_model(hub: Hub, volume: Volume, tmp_path: Path) -> None:
    files = model()
    old = cache_of(hub, tmp_path, files)
    (large,) = (p for p in (old / "hub").glob("*/blobs/*") if p.stat().st_size == 3 * MIB)
    os.truncate(large, MIB)
    result = adopt(volume, survey(old), Progress())
    assert result.manifests == [] and "half download" in result.problems[0]
    before = hub.sent_bytes
    check(pull(volume, Weights("hf:acme/tiny")).path, files)
    assert hub.sent_bytes - before < 3 * MIB + 2000  # the other large file needed no transfer


def test_a_plain_folder_is_adopted_under_a_name(hub: Hub, volume: Volume, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    files = {"config.json": b"{}", "sub/model.bin": noise(MIB)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    adopt(volume, survey(folder, "hf:acme/local"), Progress())
    check(pull(volume, Weights("hf:acme/local")).path, files)
    path = snapshot_download("acme/local", cache_dir=volume.layout.hub, local_files_only=True)
    check(Path(path), files)
    with pytest.raises(SourceError, match="no files"):
        survey(tmp_path_empty(tmp_path))


def tmp_path_empty(tmp_path: Path) -> Path:
    """A folder without files."""
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.mark.parametrize(("text", "size"), [("500MB", 500_000_000), ("64 GiB", 64 << 30), ("1.5k", 1500), ("7", 7)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "many", "-1", "1XB", "1e3"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_size(text)


def test_after_a_power_cut_what_was_not_flushed_is_hashed_before_use(hub: Hub, volume: Volume) -> None:
    import msgspec

    from zeroidle.volume import markers

    files = {"a.bin": noise(2 * MIB, 1), "b.bin": noise(MIB, 2), "small.txt": b"small"}
    hub.repo("acme/tiny", files)
    tree = pull(volume, Weights("hf:acme/tiny"))
    (marker,) = volume.markers()
    assert marker.durable
    # As the disk is after a cut before the flush: the marker is of another boot, and one content is empty.
    path = volume.layout.marker(tree.manifest.key)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(marker, durable=False, boot="another")))
    os.truncate(blob_of(volume, tree, "b.bin"), 0)
    with open(blob_of(volume, tree, "b.bin"), "r+b") as file:
        file.truncate(MIB)
    assert volume.ready(Weights("hf:acme/tiny")) is None
    before = hub.sent_bytes
    check(pull(volume, Weights("hf:acme/tiny")).path, files)
    assert hub.sent_bytes - before == MIB
    assert [m.durable for m in markers.all_of(volume.layout)] == [True]
    assert verify(volume, volume.markers(), Progress()).right


@pytest.mark.parametrize("links", ["hard", "symbolic"])
def test_a_loader_that_rewrites_a_configuration_harms_nobody(hub: Hub, volume: Volume, links: str) -> None:
    files = {"config.yaml": b"bpemodel: exp/bpe.model\n", "model.pth": noise(2 * MIB)}
    hub.repo("acme/espnet", files)
    volume.links = links  # type: ignore[assignment]
    weights = Weights("hf:acme/espnet")
    tree = pull(volume, weights)
    (tree.path / "config.yaml").write_text(f"bpemodel: {tree.path}/exp/bpe.model\n")
    assert volume.ready(weights) is not None
    assert pull(volume, weights).fetched_bytes == 0
    report = verify(volume, volume.markers(), Progress())
    assert report.right and report.changed == [str(tree.path / "config.yaml")]
    assert repair(volume, report, volume.markers(), Progress()) == 0
    check(tree.path, files)
    (tree.path / "config.yaml").write_text("")
    assert volume.ready(weights) is None  # emptied is not rewritten
    check(pull(volume, weights).path, files)
