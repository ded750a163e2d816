"""A whole plane and an endpoint with weights: it waits for them without a crash loop, says so, and runs on them."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.up import Up, until
from tests.volume.conftest import MIB, Hub, model

APP = """
import os
from zeroidle import Weights, endpoint

@endpoint(weights=Weights("hf:acme/tiny", deny=["onnx/*"]), volume="vol", idle="60s")
class Size:
    def setup(self, weights):
        self.path = weights.path
    def __call__(self, name: str) -> dict:
        return {"bytes": (self.path / name).stat().st_size, "offline": os.environ.get("HF_HUB_OFFLINE"),
                "onnx": (self.path / "onnx").exists()}
"""


@pytest.fixture
def up(hub: Hub, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def begin() -> Up:
        env = {name: os.environ[name] for name in ("HF_ENDPOINT", "HF_HUB_DISABLE_TELEMETRY")}
        started.append(Up(tmp_path, "app.py", files={"app.py": APP}, **env))
        return started[-1]

    yield begin
    for plane in started:
        plane.kill()


def health(plane: Up) -> Any:
    with urllib.request.urlopen(f"{plane.url}/v2/size/health", timeout=10) as answer:
        return json.load(answer)


def test_an_endpoint_waits_for_its_weights_and_says_so(hub: Hub, up: Callable[..., Up]) -> None:
    hub.repo("acme/tiny", model(3 * MIB))
    hub.faults(bytes_per_s=MIB)
    plane = up()
    job = plane.ok("run", "size", "name=model.safetensors", "--detach").strip()
    waits = until(lambda: health(plane).get("waits"), "health says what it waits for")
    assert "the weights hf:acme/tiny" in waits
    until(lambda: " of " in health(plane).get("waits", ""), "and how far it is")
    assert health(plane)["workers"]["initializing"] == 1
    verdict = plane.data_of("why", "size")
    assert verdict["verdict"]["code"] == "weights", verdict
    assert "being fetched" in plane.ok("why", job)
    assert "being fetched" in plane.ok("ps")
    hub.faults()
    plane.until_status(job, "COMPLETED")
    (phase,) = [p for p in plane.data_of("timeline", job)["phases"] if p["name"] == "weights"]
    assert "/s" in phase["note"] and phase["seconds"] > 0.5
    assert plane.data_of("run", "size", "name=model.safetensors")["output"] == {
        "bytes": 3 * MIB, "offline": "1", "onnx": False,
    }  # fmt: skip
    plane.end()
    sent = hub.sent_bytes
    again = up()
    assert again.data_of("run", "size", "name=config.json")["output"]["bytes"] == 22
    assert hub.sent_bytes == sent
    again.end()


def test_stopping_the_plane_does_not_wait_for_a_download(hub: Hub, up: Callable[..., Up]) -> None:
    hub.repo("acme/tiny", model(3 * MIB))
    hub.faults(bytes_per_s=1000)
    plane = up()
    job = plane.ok("run", "size", "name=config.json", "--detach").strip()
    until(lambda: " of " in health(plane).get("waits", ""), "the download runs")
    plane.end()
    hub.faults()
    again = up()
    again.until_status(job, "COMPLETED")
    again.end()


def test_weights_that_cannot_be_had_are_no_crash_loop(hub: Hub, up: Callable[..., Up]) -> None:
    plane = up()
    job = plane.ok("run", "size", "name=config.json", "--detach").strip()
    until(lambda: "cannot be had" in health(plane).get("waits", ""), "the reason is said")
    assert "acme/tiny" in plane.ok("why", job)
    assert plane.job(job)["status"] == "IN_QUEUE"
    assert [worker["state"] for worker in plane.data_of("ps")["endpoints"][0]["workers"]] == ["starting"]
    plane.end()
