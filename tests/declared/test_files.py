"""Files in and out of a real worker: by URL, data URL, base64 and upload; inline and as a URL of the plane."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.up import Up
from tests.declared.client import Client
from tests.worker.api.hostile_server import GOOD, Server

APP = """
import hashlib
from zeroidle import Audio, File, endpoint


def seen(file):
    return {"sha256": hashlib.sha256(file.bytes()).hexdigest(), "name": file.name, "type": file.media_type}


@endpoint(private_urls=True)
def look(clip: Audio, note: str = "") -> dict:
    return seen(clip)


@endpoint(private_urls=True)
async def look_async(clip: Audio, note: str = "") -> dict:
    return seen(clip)


@endpoint(private_urls=True, batch=(4, "20ms"))
def look_batch(clip: list[Audio], note: list[str] = "") -> list[dict]:
    return [seen(one) for one in clip]


@endpoint
def make(size_bytes: int, name: str = "out.bin") -> File:
    return File(bytes(i % 251 for i in range(251)) * (size_bytes // 251 + 1), "application/x-test", name)


@endpoint
async def make_async(size_bytes: int) -> dict:
    return {"files": [File(b"%d" % i * size_bytes, name="%d.bin" % i) for i in range(2)]}


@endpoint
def make_pieces(size_bytes: int):
    for i in range(2):
        yield File(b"%d" % i * size_bytes, name="%d.bin" % i)
"""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A plane that serves the file."""
    up = Up(tmp_path_factory.mktemp("files"), "app.py", "--idle", "60s", "--max-workers", "1", files={"app.py": APP})
    try:
        yield up
        up.end()
    finally:
        up.kill()


def fetched(url: str) -> tuple[int, bytes, Any]:
    """Status, content and headers of a URL."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


TAKE = pytest.mark.parametrize("name", ["look", "look-async", "look-batch"])


@TAKE
@pytest.mark.parametrize("form", ["url", "url object", "redirected url", "data url", "base64", "base64 object"])
def test_a_file_comes_in_every_form(plane: Up, files: Server, name: str, form: str) -> None:
    text = base64.b64encode(GOOD).decode()
    given: Any = {
        "url": f"{files.url}/good.wav",
        "url object": {"url": f"{files.url}/good.wav", "name": "mine.wav"},
        "redirected url": f"{files.url}/redirect//good.wav",
        "data url": f"data:audio/wav;base64,{text}",
        "base64": text,
        "base64 object": {"data": text, "name": "mine.wav"},
    }[form]
    found = Client(plane.url, name).output(clip=given)
    assert found["sha256"] == hashlib.sha256(GOOD).hexdigest()
    assert found["type"] in ("audio/wav", "audio/x-wav")
    expected = {"object": "mine.wav", "url": "good.wav"}.get(form.split()[-1], "audio.wav")
    assert found["name"] == ("audio.wav" if form == "data url" else expected)


@TAKE
@pytest.mark.parametrize("copies", [1, 40_000], ids=["small", "large"])
def test_an_upload_by_curl_is_the_same_file(plane: Up, name: str, copies: int, tmp_path: Path) -> None:
    path = tmp_path / "upload.wav"
    path.write_bytes(GOOD * copies)
    done = subprocess.run(
        ["curl", "-sS", "-F", f"clip=@{path}", "-F", "note=hé", f"{plane.url}/v2/{name}/runsync?wait=60000"],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    job = json.loads(done.stdout)
    assert job["status"] == "COMPLETED", job
    assert job["output"]["sha256"] == hashlib.sha256(GOOD * copies).hexdigest()
    assert job["output"]["name"] == "upload.wav"


def test_a_small_result_comes_inside_the_answer(plane: Up) -> None:
    found = Client(plane.url, "make").output(size_bytes=251 * 10, name="small.bin")
    head, _, body = found["url"].partition(",")
    assert head == "data:application/x-test;base64" and found["name"] == "small.bin"
    assert len(base64.b64decode(body)) == found["size_bytes"] == 251 * 11


def test_a_large_result_is_a_url_that_gives_it(plane: Up) -> None:
    found = Client(plane.url, "make").output(size_bytes=3_000_000)
    assert found["url"].startswith(f"{plane.url}/files/")
    status, content, headers = fetched(found["url"])
    assert status == 200 and content == (bytes(range(251)) * (len(content) // 251)) and len(content) > 3_000_000
    assert len(content) == found["size_bytes"] and headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize("name", ["make-async", "make-pieces"])
@pytest.mark.parametrize("size_bytes", [10, 2_000_000])
def test_several_files_of_one_job(plane: Up, name: str, size_bytes: int) -> None:
    output = Client(plane.url, name).output(size_bytes=size_bytes)
    made = output["files"] if name == "make-async" else output
    assert [one["name"] for one in made] == ["0.bin", "1.bin"]
    for i, one in enumerate(made):
        assert fetched(one["url"])[1] == b"%d" % i * size_bytes
    assert made[0]["url"].startswith("http" if size_bytes > 1_000_000 else "data:")


def test_the_command_line_saves_it_as_it_is(plane: Up, tmp_path: Path) -> None:
    plane.ok("run", "make", "size_bytes=3000000", "--out", str(tmp_path / "got"))
    (saved,) = [path for path in (tmp_path / "got").rglob("*") if path.is_file() and path.stat().st_size > 3_000_000]
    assert saved.read_bytes()[:251] == bytes(range(251))


@pytest.mark.parametrize("path", ["job/1-x.bin", "../zeroidle.db", "%2e%2e/zeroidle.db", "", "a/b/c"])
def test_a_file_that_is_not_there_is_a_404(plane: Up, path: str) -> None:
    status, content, _ = fetched(f"{plane.url}/files/{path}")
    assert status == 404 and b"SQLite" not in content


def test_a_file_of_another_name_in_a_real_job_is_a_404(plane: Up) -> None:
    url = Client(plane.url, "make").output(size_bytes=3_000_000)["url"]
    assert fetched(url + "x")[0] == 404 and fetched(os.path.dirname(url))[0] == 404
