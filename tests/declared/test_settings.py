"""Settings of zeroidle.toml and of flags reach the worker and win over the decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.up import Up
from tests.declared.client import Client
from tests.worker.api.hostile_server import Server

APP = """
import json, os
from zeroidle import File, Weights, endpoint


@endpoint(batch=(2, "10s"))
def sizes(n: list[int]) -> list[int]:
    return [len(n)] * len(n)


@endpoint
def lists(n: list[int]) -> list[int]:
    return [len(n)] * len(n)


@endpoint(files="inline")
def make(size_bytes: int) -> File:
    return File(b"x" * size_bytes)


@endpoint(file_limit="1MB")
def take(data: File) -> int:
    return data.size_bytes


@endpoint
def variables() -> list[str]:
    return sorted(name for name in os.environ if name.startswith("ZEROIDLE_"))
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts a plane of the file with this zeroidle.toml and these flags."""
    started: list[Up] = []

    def begin(toml: str, *flags: str) -> Up:
        files = {"app.py": APP, "zeroidle.toml": toml}
        started.append(Up(tmp_path, "app.py", "--idle", "60s", "--max-workers", "1", *flags, files=files))
        return started[-1]

    yield begin
    for up in started:
        up.kill()


def together(client: Client, count: int) -> list[object]:
    """The outputs of jobs that are submitted at once."""
    ids = [client.run(n=n) for n in range(count)]
    return [client.ended(job_id).get("output") for job_id in ids]


@pytest.mark.parametrize(
    ("toml", "flags", "expected"),
    [
        ("", [], 2),
        ('[endpoint.sizes]\nbatch = [4, "10s"]\n', [], 4),
        ('[endpoint.sizes]\nbatch = [4, "10s"]\n', ["--set", "sizes.batch=8:10s"], 8),
        ("[endpoint.sizes]\nbatch = 0\n", [], 1),
    ],
    ids=["decorator", "toml", "flag", "off"],
)
def test_the_batch(start: Callable[..., Up], toml: str, flags: list[str], expected: int) -> None:
    up = start(toml, *flags)
    assert together(Client(up.url, "sizes"), 8) == [expected] * 8
    up.end()


def test_a_handler_of_lists_is_batched_by_the_file_alone(start: Callable[..., Up]) -> None:
    up = start('[endpoint.lists]\nbatch = [4, "10s"]\n')
    client = Client(up.url, "lists")
    assert together(client, 4) == [4] * 4
    answer = client.post("run", {"input": {"n": [1]}})
    assert answer.status == 400 and "input.n is [1]" in answer.body["error"]
    up.end()


@pytest.mark.parametrize(
    ("toml", "flags", "scheme"),
    [
        ("", [], "data:"),
        ('[endpoint.make]\nfiles = "url"\n', [], "http:"),
        ('[endpoint.make]\nfiles = "url"\n', ["--set", "make.files=inline"], "data:"),
    ],
    ids=["decorator", "toml", "flag"],
)
def test_how_files_travel(start: Callable[..., Up], toml: str, flags: list[str], scheme: str) -> None:
    up = start(toml, *flags)
    assert Client(up.url, "make").output(size_bytes=2_000_000 if scheme == "data:" else 10)["url"].startswith(scheme)
    up.end()


def test_the_bounds_of_a_download(start: Callable[..., Up], files: Server) -> None:
    up = start('[endpoint.take]\nprivate_urls = true\nfile_limit = "1KB"\n', "--set", "take.file_timeout=300ms")
    client = Client(up.url, "take")
    assert client.output(data=f"{files.url}/good.wav") > 40
    assert "has more than 1024 bytes" in client.runsync(data=f"{files.url}/endless")["error"]
    assert "took longer than 0.3 s" in client.runsync(data=f"{files.url}/drip-headers")["error"]
    up.end()
    closed = start("[endpoint.take]\nprivate_urls = true\n", "--set", "take.private_urls=false")
    assert "private network, which is not allowed" in Client(closed.url, "take").runsync(data=files.url)["error"]
    closed.end()


def test_a_handler_does_not_see_what_is_between_plane_and_worker(start: Callable[..., Up]) -> None:
    up = start("")
    seen = Client(up.url, "variables").output()
    assert "ZEROIDLE_FILE_LIMIT_BYTES" in seen and not {"ZEROIDLE_SETTINGS", "ZEROIDLE_WORKER_TOKEN"} & set(seen)
    up.end()
