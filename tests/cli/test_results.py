"""Files in a job's output: what is taken for one, and where it may be written."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from zeroidle.cli.results import Saver

WAV = b"RIFF" + (1000).to_bytes(4, "little") + b"WAVEfmt " + bytes(1000)


def saver(folder: Path) -> Saver:
    return Saver(folder / "out", "http://127.0.0.1:9", None)


def data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def test_files_are_found_wherever_they_are(tmp_path: Path) -> None:
    file = {"url": data_url(b"abc", "text/plain"), "name": "a.txt", "media_type": "text/plain", "size_bytes": 3}
    output = {"list": [file, {"deep": file}], "n": 1, "audio": data_url(WAV, "audio/wav")}
    got = saver(tmp_path).save_all(output)
    out = tmp_path / "out"
    assert got == {
        "list": [file | {"url": str(out / "a.txt")}, {"deep": file | {"url": str(out / "a-1.txt")}}],
        "n": 1,
        "audio": str(out / "audio.wav"),
    }
    assert (out / "audio.wav").read_bytes() == WAV and (out / "a-1.txt").read_bytes() == b"abc"


def test_bare_base64_is_a_file_only_when_its_content_is_known(tmp_path: Path) -> None:
    text, unknown = base64.b64encode(WAV).decode(), base64.b64encode(bytes(2000)).decode()
    got = saver(tmp_path).save_all({"audio_base64": text, "vector": unknown, "word": "QUJD", "long": "word " * 500})
    assert got == {
        "audio_base64": str(tmp_path / "out" / "audio_base64.wav"),
        "vector": unknown, "word": "QUJD", "long": "word " * 500,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd.txt"),
        ("/etc/cron.d/x.txt", "x.txt"),
        ("..\\..\\x.txt", "x.txt"),
        (".bashrc", "bashrc.txt"),
        ("a\x1b[31m\n.txt", "a__31m_.txt"),
        ("", "output.txt"),
        ("x" * 300, "x" * 120 + ".txt"),
    ],
)
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str, safe: str) -> None:
    file = {"url": data_url(b"abc", "text/plain"), "name": name, "media_type": "text/plain"}
    assert saver(tmp_path).save_all(file)["url"] == str(tmp_path / "out" / safe)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [safe]


def test_nothing_is_written_over_and_no_link_is_followed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").symlink_to(tmp_path / "elsewhere")
    file = {"url": data_url(b"abc", "text/plain"), "name": "a.txt", "media_type": "text/plain"}
    assert saver(tmp_path).save_all(file)["url"] == str(out / "a-1.txt")
    assert not (tmp_path / "elsewhere").exists()


def test_a_broken_file_stays_in_the_output(tmp_path: Path) -> None:
    file = {"url": "data:text/plain;base64,%%%", "name": "a", "media_type": "text/plain"}
    other = {"url": "s3://bucket/key", "name": "a", "media_type": "text/plain"}
    assert saver(tmp_path).save_all([file, other]) == [file, other]
