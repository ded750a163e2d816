"""S3 by a real S3 server, Zenodo by its routes, and what a refusal says."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.volume.conftest import MIB, Hub, noise
from tests.volume.test_pull import check
from zeroidle.errors import DamagedError, SourceError
from zeroidle.volume.pull import pull
from zeroidle.volume.store import Volume
from zeroidle.volume.weights import Weights

FILES = {"config.json": b"{}", "weights/model.bin": noise(3 * MIB), "with space+plus.txt": b"x"}
AWS = {
    "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "not-shown-anywhere", "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}  # fmt: skip


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """moto's S3 server, in a process of its own, with a bucket that holds FILES below `models/tiny`."""
    pytest.importorskip("moto")
    program = (
        "from moto.server import ThreadedMotoServer as S; import sys; s = S('127.0.0.1', 0, verbose=False);"
        "s.start(); print(s.get_host_and_port()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=os.environ | AWS,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        import boto3

        client = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id="key", aws_secret_access_key="x", region_name="us-east-1"
        )
        client.create_bucket(Bucket="weights")
        for name, data in FILES.items():
            client.put_object(Bucket="weights", Key=f"models/tiny/{name}", Body=data)
        client.put_object(Bucket="weights", Key="models/other.bin", Body=b"other")
        yield url
        server.kill()


@pytest.fixture
def s3(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment by which S3 clients find it."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    return s3_url


def test_a_prefix_of_a_bucket(s3: str, volume: Volume) -> None:
    check(pull(volume, Weights("s3://weights/models/tiny")).path, FILES)
    for path in volume.layout.root.rglob("*"):
        assert not path.is_file() or b"not-shown-anywhere" not in path.read_bytes()


def test_one_object(s3: str, volume: Volume) -> None:
    assert pull(volume, Weights("s3://weights/models/other.bin")).file_path.read_bytes() == b"other"


def test_an_object_that_changes_is_another_revision(s3: str, volume: Volume) -> None:
    import boto3

    client = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="key", aws_secret_access_key="x", region_name="us-east-1"
    )
    client.put_object(Bucket="weights", Key="moving/a.bin", Body=noise(MIB, 1))
    weights = Weights("s3://weights/moving")
    first = pull(volume, weights)
    client.put_object(Bucket="weights", Key="moving/a.bin", Body=noise(MIB, 2))
    assert pull(volume, weights).manifest.revision == first.manifest.revision
    second = pull(volume, weights, upgrade=True)
    assert second.manifest.revision != first.manifest.revision
    check(second.path, {"a.bin": noise(MIB, 2)})
    check(first.path, {"a.bin": noise(MIB, 1)})


def test_a_bucket_that_is_not_there(s3: str, volume: Volume) -> None:
    with pytest.raises(SourceError) as found:
        pull(volume, Weights("s3://no-such-bucket/x"))
    assert "AWS_ACCESS_KEY_ID" in found.value.message and "not-shown-anywhere" not in found.value.message


def zenodo_record(hub: Hub, number: str, files: dict[str, bytes], checksum: str | None = None) -> None:
    """A record as Zenodo's API answers it: what it says of its files, and the files by their links."""
    entries = []
    for name, data in files.items():
        url = hub.web(f"records/{number}/{name}", data)
        digest = checksum or f"md5:{hashlib.md5(data).hexdigest()}"
        entries.append({"id": name, "key": name, "size": len(data), "checksum": digest, "links": {"self": url}})
    record = {"id": int(number), "conceptrecid": "1", "files": entries, "metadata": {"title": "weights"}}
    target = hub.root / "web" / "api" / "records" / number
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record))


def test_a_zenodo_record(hub: Hub, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"model.zip": noise(2 * MIB), "README.md": b"read me"}
    zenodo_record(hub, "1234567", files)
    monkeypatch.setenv("ZEROIDLE_ZENODO_URL", f"{hub.url}/web")
    found = pull(volume, Weights("zenodo:1234567"))
    check(found.path, files)
    assert found.manifest.revision == "1234567"
    assert all(file.sha256 and file.check for file in found.manifest.files)


def test_zenodos_own_checksum_is_checked(hub: Hub, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    zenodo_record(hub, "7", {"model.zip": noise(MIB)}, checksum="md5:" + "0" * 32)
    monkeypatch.setenv("ZEROIDLE_ZENODO_URL", f"{hub.url}/web")
    with pytest.raises(DamagedError, match="md5 is"):
        pull(volume, Weights("zenodo:7"))
    assert volume.markers() == []


def test_a_record_that_is_not_there(hub: Hub, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROIDLE_ZENODO_URL", f"{hub.url}/web")
    with pytest.raises(SourceError, match="Zenodo record 8"):
        pull(volume, Weights("zenodo:8"))
