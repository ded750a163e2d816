"""Finds the files in a job's output and saves them."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from zeroidle.cli.output import note, size
from zeroidle.errors import Error
from zeroidle_worker.api import sniff

#: A text that is shorter is never taken for a file in base64.
_MIN_BASE64_CHARS = 512
_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]+={0,2}\s*")
_BLOCK_BYTES = 1 << 20
_SUFFIXES = {
    "audio/wav": ".wav", "audio/mpeg": ".mp3", "audio/flac": ".flac", "audio/ogg": ".ogg", "image/png": ".png",
    "image/jpeg": ".jpg", "image/webp": ".webp", "video/mp4": ".mp4", "application/pdf": ".pdf",
}  # fmt: skip


@dataclass(slots=True)
class Saver:
    """Saves into `folder`, never over a file that is there. `key` is sent only to the server at `url`."""

    folder: Path
    url: str
    key: str | None

    def save_all(self, output: Any) -> Any:
        """The output with every file replaced by the path under which it was saved."""
        return self._walk(output, "output")

    def _walk(self, value: Any, name: str) -> Any:
        if isinstance(value, dict):
            if isinstance(value.get("url"), str) and isinstance(value.get("media_type"), str):
                path = self._url(value["url"], str(value.get("name") or name), value["media_type"])
                return value if path is None else value | {"url": path}
            return {key: self._walk(member, key) for key, member in value.items()}
        if isinstance(value, list):
            return [self._walk(member, name) for member in value]
        if isinstance(value, str):
            return self._text(value, name)
        return value

    def _text(self, value: str, name: str) -> str:
        """A data URL, or base64 of a known kind of file, as RunPod handlers give it; other texts stay."""
        if value.startswith("data:") and ";base64," in value[:200]:
            return self._url(value, name, value[5:].split(";")[0]) or value
        if len(value) < _MIN_BASE64_CHARS or not _BASE64.fullmatch(value):
            return value
        try:
            data = base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            return value
        media_type = sniff.media_type(data[: sniff.HEAD_BYTES])
        if media_type is None:
            return value
        return self._write(name, media_type, lambda file: _put(file, data))

    def _url(self, url: str, name: str, media_type: str) -> str | None:
        if url.startswith("data:"):
            head, _, body = url.partition(",")
            try:
                text = "".join(body.split())
                data = base64.b64decode(text, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
            except (binascii.Error, ValueError):
                return None
            return self._write(name, media_type, lambda file: _put(file, data))
        if url.startswith(("http://", "https://")):
            return self._write(name, media_type, lambda file: self._fetch(url, file))
        return None

    def _fetch(self, url: str, file: BinaryIO) -> None:
        request = urllib.request.Request(url)
        if self.key and urlsplit(url).netloc == urlsplit(self.url).netloc:
            # Not passed on when the server sends us elsewhere.
            request.add_unredirected_header("Authorization", f"Bearer {self.key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                while block := answer.read(_BLOCK_BYTES):
                    file.write(block)
        except (urllib.error.URLError, OSError) as exc:
            raise Error(f"The file {url[:200]} cannot be fetched: {getattr(exc, 'reason', exc)}.") from exc

    def _write(self, name: str, media_type: str, fill: Callable[[BinaryIO], None]) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        path, file = _create(self.folder, _file_name(name, media_type))
        try:
            with file:
                fill(file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        note(f"Saved {path} ({media_type}, {size(path.stat().st_size)})")
        return str(path)


def _put(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _file_name(name: str, media_type: str) -> str:
    """The name that the server gave, as a name in our folder and nothing more."""
    base = re.sub(r"[^\w.() -]", "_", re.split(r"[/\\]", name)[-1]).lstrip(". ")[:120] or "output"
    if Path(base).suffix:
        return base
    return base + (_SUFFIXES.get(media_type) or mimetypes.guess_extension(media_type) or ".bin")


def _create(folder: Path, name: str) -> tuple[Path, BinaryIO]:
    """A new file: NAME, or NAME-1, NAME-2 ... when that is there."""
    stem, suffix = os.path.splitext(name)
    for n in range(10_000):
        path = folder / (f"{stem}-{n}{suffix}" if n else name)
        try:
            return path, path.open("xb")
        except FileExistsError:
            continue
        except OSError as exc:
            raise Error(f"{path} cannot be written: {exc.strerror}.") from exc
    raise Error(f"{folder} has too many files named {name}; name another folder: --out DIR")
