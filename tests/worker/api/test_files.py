"""File, Audio and Image take what callers send, safely, and give handlers bytes and paths."""

from __future__ import annotations

import base64
import gc
import io
import os
import struct
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.api.hostile_server import png, serving
from zeroidle_worker.api.errors import InputError
from zeroidle_worker.api.fetch import Bounds, FetchError, fetch, is_public
from zeroidle_worker.api.files import Audio, File, Image
from zeroidle_worker.api.result import placer, to_json
from zeroidle_worker.api.schema import Types

OPEN = Bounds(max_bytes=1000_000, timeout_s=5.0, allow_private=True)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as server:
        yield server.url


def load(kind: type[File], value: Any) -> Any:
    return Types().of(kind).load(value, "clip")


WAV = Audio([0.0, 0.5, -0.5], 16000).bytes()


@pytest.mark.parametrize(
    "value",
    [
        base64.b64encode(WAV).decode(),
        "data:audio/wav;base64," + base64.b64encode(WAV).decode(),
        {"data": base64.b64encode(WAV).decode(), "name": "a.wav"},
    ],
)
def test_every_inline_form_gives_the_bytes(value: Any) -> None:
    clip = load(Audio, value)
    assert clip.bytes() == WAV and clip.media_type == "audio/wav" and clip.name.endswith(".wav")
    assert Path(clip.path).read_bytes() == WAV


def test_a_url_is_fetched_when_private_addresses_are_allowed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROIDLE_PRIVATE_URLS", "1")
    clip = load(Audio, f"{url}/redirect//good.wav")
    with wave.open(clip.open()) as sound:
        assert sound.getframerate() == 8000
    path = clip.path
    del clip
    gc.collect()
    assert not os.path.exists(path)


@pytest.mark.parametrize("where", ["", "redirect/http!//127.0.0.1!1/x"])
def test_a_private_address_is_refused(url: str, where: str) -> None:
    with pytest.raises(InputError, match=r"clip 'http.*private network"):
        load(Audio, f"{url}/{where}")


def test_a_redirect_to_a_private_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address counts as public here; the one it redirects to must still be checked."""
    monkeypatch.setattr("zeroidle_worker.api.fetch.is_public", lambda ip: ip == "127.0.0.1")
    with pytest.raises(FetchError, match=r"private network.*127\.0\.0\.2"):
        fetch(f"{url}/redirect/http!//127.0.0.2!80/x", Bounds())


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("loop", "redirected more than 5 times"),
        ("short", "broke off|could not be read"),
        ("missing", "status 404"),
        ("huge", "has 1099511627776 bytes; at most 1000000 are taken"),
        ("endless", "more than 1000000 bytes"),
        ("redirect/file!///etc/passwd", "must begin with http"),
    ],
)
def test_a_bad_download_says_why_and_leaves_nothing(url: str, path: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=why):
        fetch(f"{url}/{path}", OPEN, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["drip", "drip-headers", "drip-chunk", "silent"])
def test_a_slow_drip_is_cut_at_the_deadline(url: str, where: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"took longer than 0.3 s"):
        fetch(f"{url}/{where}", OPEN._replace(timeout_s=0.3), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", "64:ff9b::a00:1",
     "2002:7f00:1::", "0.0.0.0", "100.64.0.1", "224.0.0.1", "2001:0:53aa:64c:0:fbff:f5ff:fffe"],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_addresses_outside_are_public() -> None:
    assert is_public("8.8.8.8") and is_public("2606:4700::1111")


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (Audio, base64.b64encode(b"hello, I am text").decode(), "clip is a file of no known audio format"),
        (Audio, base64.b64encode(png(4, 4)).decode(), "clip is image/png; it must be sound"),
        (Image, base64.b64encode(WAV).decode(), "clip is audio/wav; it must be a picture"),
        (Image, base64.b64encode(png(60000, 60000)).decode(), "clip has 60000 x 60000 pixels"),
        (Image, base64.b64encode(png(0, 5)).decode(), "clip has 0 x 5 pixels"),
        (File, "not base64!!", "clip is 'not base64!!', which is neither a URL nor base64"),
        (File, "", "clip is ''"),
        (File, 5, "clip is 5"),
        (File, {"data": ""}, "clip is ''"),
        (File, "data:text/plain", "without a comma"),
    ],
)
def test_wrong_content_names_the_field_and_the_cause(kind: type[File], value: Any, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        load(kind, value)
    assert problem in str(caught.value)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_real_pictures_pass_with_their_size(format: str) -> None:
    pil = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    pil.new("RGB", (33, 21), "red").save(buffer, format)
    from zeroidle_worker.api.sniff import image_size

    assert image_size(buffer.getvalue()) == (33, 21)
    assert load(Image, base64.b64encode(buffer.getvalue()).decode()).media_type == f"image/{format.lower()}"


def test_a_tiff_whose_header_is_at_its_end_passes_with_its_size() -> None:
    def tag(number: int, value: int) -> bytes:
        return struct.pack("<HHII", number, 4, 1, value)

    pixels = bytes(400_000)
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels))
    data = head + pixels + struct.pack("<H", 2) + tag(256, 800) + tag(257, 500) + bytes(4)
    assert load(Image, base64.b64encode(data).decode()).media_type == "image/tiff"
    bomb = head + pixels + struct.pack("<H", 2) + tag(256, 80000) + tag(257, 50000) + bytes(4)
    with pytest.raises(InputError, match="has 80000 x 50000 pixels"):
        load(Image, base64.b64encode(bomb).decode())


def test_samples_become_a_wav() -> None:
    numpy = pytest.importorskip("numpy")
    clip = Audio(numpy.array([[0.5, -0.5], [1.5, -1.5], [0, 0]], dtype="float32"), 22050)
    with wave.open(clip.open()) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (2, 22050, 3)
        frames = numpy.frombuffer(sound.readframes(3), "<i2")
    assert frames.tolist() == [16384, -16384, 32767, -32767, 0, 0]


def test_a_result_travels_inline_or_as_a_file(tmp_path: Path) -> None:
    env = {"ZEROIDLE_FILES": str(tmp_path), "ZEROIDLE_FILES_URL": "http://127.0.0.1:1/files/"}
    small = to_json({"a": [File(b"hi", "text/plain", "../x y.txt")]}, placer("auto", "job1", env))["a"][0]
    assert small["url"] == "data:text/plain;base64,aGk="
    assert (small["name"], small["media_type"], small["size_bytes"]) == ("x y.txt", "text/plain", 2)
    large = to_json(File(b"x" * 2_000_000, name="../b.bin"), placer("auto", "job1", env))
    assert large["url"] == "http://127.0.0.1:1/files/job1/1-b.bin"
    assert (tmp_path / "job1" / "1-b.bin").stat().st_size == 2_000_000


def test_an_input_s_output_schema_says_url() -> None:
    assert Types(output=True).of(Audio).schema["required"] == ["url", "name", "media_type", "size_bytes"]
