"""Files that mean harm, through a real worker: each fails its own job with a sentence, and the worker works on."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.up import Up, until
from tests.declared.client import Client
from tests.worker.api.hostile_server import GOOD, Server, png

APP = """
import os
from zeroidle import Audio, File, Image, endpoint

OPEN = {"private_urls": True, "file_limit": "1MB", "file_timeout": "1s"}


@endpoint(**OPEN)
def take(data: File) -> int:
    return data.size_bytes


@endpoint(**OPEN)
def hear(data: Audio) -> int:
    return data.size_bytes


@endpoint(**OPEN)
def see(data: Image) -> int:
    return data.size_bytes


@endpoint
def closed(data: File) -> int:
    return data.size_bytes


@endpoint(concurrency=4, private_urls=True)
async def busy(data: File = None, n: int = 0) -> int:
    return n


@endpoint
def outside(data: File) -> int:
    # No test may need the internet: here the address of the test's own server counts as one out there.
    return data.size_bytes


def pretend():
    from zeroidle_worker.api import fetch

    real = fetch.is_public
    fetch.is_public = lambda address: address == "127.0.0.1" or real(address)


if "outside" in os.environ.get("PRETEND", ""):
    pretend()
"""

TOML = '[endpoint.outside]\nenv = { PRETEND = "outside" }\n'


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A plane that serves the file. Its workers keep their temporary files in `tmp`."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "tmp").mkdir()
    files = {"app.py": APP, "zeroidle.toml": TOML}
    up = Up(folder, "app.py", "--idle", "60s", "--max-workers", "1", files=files, TMPDIR=str(folder / "tmp"))
    try:
        yield up
        up.end()
    finally:
        up.kill()


def refused(plane: Up, name: str, value: Any) -> str:
    """The error of a job that must fail; a good one after it must be done by the same worker."""
    client = Client(plane.url, name)
    job = client.runsync(data=value)
    assert job["status"] == "FAILED", job
    error: str = job["error"]
    assert "Traceback" not in error and error.startswith("data "), error
    return error


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("endless", "has more than 1048576 bytes"),
        ("huge", "has 1099511627776 bytes; at most 1048576 are taken"),
        ("short", "broke off after 10 of 100 bytes"),
        ("drip", "took longer than 1 s"),
        ("drip-headers", "took longer than 1 s"),
        ("drip-chunk", "took longer than 1 s"),
        ("silent", "took longer than 1 s"),
        ("loop", "is redirected more than 5 times"),
        ("missing", "was answered with status 404"),
        ("empty", "is empty"),
        ("redirect/file!///etc/passwd", "must begin with http:// or https://"),
        ("redirect/http!//no-such-host.invalid/x", "names a host that is not found: no-such-host.invalid"),
    ],
)
def test_a_bad_download(plane: Up, files: Server, path: str, words: str) -> None:
    assert words in refused(plane, "take", f"{files.url}/{path}")
    assert Client(plane.url, "take").output(data=f"{files.url}/good.wav") == len(GOOD)
    assert list((plane.folder / "tmp").glob("fetched-*")) == []


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("hear", "text.wav", "is a file of no known audio format; it must be sound"),
        ("hear", "bomb.png", "is image/png; it must be sound"),
        ("see", "good.wav", "is audio/wav; it must be a picture"),
        ("see", "bomb.png", "has 60000 x 60000 pixels; at most 100000000 are taken"),
        ("see", "zeros.gz", "is application/gzip; it must be a picture"),
    ],
)
def test_wrong_content(plane: Up, files: Server, name: str, path: str, words: str) -> None:
    assert words in refused(plane, name, f"{files.url}/{path}")


def test_a_picture_that_is_a_bomb_is_refused_in_every_form(plane: Up) -> None:
    text = base64.b64encode(png(100_000, 100_000)).decode()
    for value in (text, f"data:image/png;base64,{text}", {"data": text, "media_type": "image/png"}):
        assert "has 100000 x 100000 pixels" in refused(plane, "see", value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0",
     "example.com@127.0.0.1", "169.254.169.254", "10.0.0.1", "[fd00::1]"],
)  # fmt: skip
def test_an_address_inside_is_not_asked_however_it_is_written(plane: Up, files: Server, host: str) -> None:
    asked = len(files.asked)
    error = refused(plane, "closed", f"http://{host}:{files.server_port}/good.wav")
    assert "names an address inside a private network, which is not allowed" in error or "not found" in error
    assert len(files.asked) == asked


def test_a_name_that_leads_to_an_address_inside(plane: Up, files: Server) -> None:
    """The machine's own name and localhost are names of private addresses, as a hostile DNS entry would be."""
    names = ["localhost"]
    try:
        if not socket.gethostbyname(socket.gethostname()).startswith("127."):
            names.append(socket.gethostname())
    except OSError:
        pass
    for name in names:
        error = refused(plane, "closed", f"http://{name}:{files.server_port}/good.wav")
        assert f"private network, which is not allowed: {name}" in error.replace(name.lower(), name)


def test_a_redirect_from_outside_to_an_address_inside(plane: Up, files: Server) -> None:
    client = Client(plane.url, "outside")
    assert client.output(data=f"{files.url}/good.wav") == len(GOOD)  # the first address is allowed
    for inside in ("127.0.0.2", "localhost6.invalid", "[::1]", "10.0.0.1"):
        error = refused(plane, "outside", f"{files.url}/redirect/http!//{inside.replace(':', '!')}!80/x")
        assert ("private network" in error and inside.strip("[]") in error) or "not found" in error


def test_a_slow_download_does_not_hold_up_other_jobs_and_ends_with_its_job(plane: Up, files: Server) -> None:
    client = Client(plane.url, "busy")
    assert client.output(n=1) == 1
    files.dripped.clear()
    slow = client.run(data=f"{files.url}/drip")
    assert files.dripped.wait(30)
    assert client.output(n=2) == 2  # by the same worker, which has one at most
    assert client.status(slow)["status"] == "IN_PROGRESS"
    assert client.post(f"cancel/{slow}").body["status"] == "CANCELLED"
    until(lambda: not list((plane.folder / "tmp").glob("fetched-*")), "the download has stopped")


def test_a_body_that_is_no_file_at_all(plane: Up) -> None:
    client = Client(plane.url, "take")
    for value in (5, [], {}, {"url": 5}, None, {"data": "aGk=", "other": 1}, ""):
        answer = client.post("run", {"input": {"data": value}})
        if answer.status == 200:  # an object without either is only found out by the worker
            assert value == {}
            assert "data is " in client.ended(answer.body["id"])["error"]
        else:
            assert answer.status == 400 and "input.data" in answer.body["error"], answer
    assert "neither a URL nor base64" in refused(plane, "take", "%%%")
    assert "neither a URL nor base64" in refused(plane, "take", "A" * 1_000_001)
