"""File, Audio and Image: what a caller sends by URL, data URL, base64 or upload, and what a handler gives back."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import re
from typing import Any, BinaryIO, ClassVar, Optional, Tuple, Type, TypeVar, Union

from zeroidle_worker.api import sniff
from zeroidle_worker.api.errors import InputError
from zeroidle_worker.api.scalars import Load, Schema, decode_base64, shown

F = TypeVar("F", bound="File")
Source = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", BinaryIO]

#: An image with more pixels is refused before anybody decodes it (a zip bomb has a small file and a huge picture).
MAX_PIXELS = 100_000_000


class File:
    """A file. As a parameter's type it takes a URL, a data URL, base64 text or an upload; as a result it gives one.

    `File(data, "audio/wav")` takes bytes, a path or an open binary file. `media_type` is found from the bytes or the
    name when it is not given.
    """

    #: What the content must be: the first part of a media type, or "" for anything.
    family: ClassVar[str] = ""

    def __init__(self, data: Source, media_type: Optional[str] = None, name: Optional[str] = None) -> None:
        self._bytes: Optional[builtins.bytes] = None
        self._path: Optional[str] = None
        if isinstance(data, (bytes, bytearray, memoryview)):
            self._bytes = bytes(data)
        elif isinstance(data, (str, os.PathLike)):
            self._path = os.path.abspath(os.fspath(data))
            if not os.path.isfile(self._path):
                raise FileNotFoundError("There is no file %s." % self._path)
            name = name or os.path.basename(self._path)
        elif hasattr(data, "read"):
            self._bytes = bytes(data.read())
        else:
            raise TypeError("%s takes bytes, a path or an open file, not %s." % (type(self).__name__, shown(data)))
        self.media_type = media_type or sniff.media_type(self.head()) or _guessed(name) or "application/octet-stream"
        self.name = os.path.basename(name) if name else self._default_name()

    def _default_name(self) -> str:
        # Not mimetypes: it knows audio/wav only on some systems.
        known = {"audio/wav": ".wav", "audio/mpeg": ".mp3", "audio/flac": ".flac", "audio/ogg": ".ogg",
                 "image/png": ".png", "image/jpeg": ".jpg", "video/mp4": ".mp4"}  # fmt: skip
        suffix = known.get(self.media_type)
        if suffix is None:
            import mimetypes

            suffix = mimetypes.guess_extension(self.media_type) or ""
        return (self.family or "file") + suffix

    @property
    def size_bytes(self) -> int:
        """The length of the content."""
        return len(self._bytes) if self._bytes is not None else os.path.getsize(self.path)

    @property
    def path(self) -> str:
        """A path with the content; bytes are written to a temporary file that goes with this object."""
        if self._path is None:
            import tempfile
            import weakref

            handle, self._path = tempfile.mkstemp(prefix="zeroidle-", suffix=os.path.splitext(self.name)[1])
            with os.fdopen(handle, "wb") as file:
                file.write(self._bytes or b"")
            weakref.finalize(self, _remove, self._path)
        return self._path

    def bytes(self) -> builtins.bytes:
        """The whole content."""
        if self._bytes is not None:
            return self._bytes
        with open(self.path, "rb") as file:
            return file.read()

    def open(self) -> BinaryIO:
        """The content as a binary file to read."""
        return io.BytesIO(self._bytes) if self._bytes is not None else open(self.path, "rb")

    def head(self) -> builtins.bytes:
        """The first bytes, enough to tell what it is."""
        with self.open() as file:
            return file.read(sniff.HEAD_BYTES)

    def __repr__(self) -> str:
        return "%s(%r, %s, %d bytes)" % (type(self).__name__, self.name, self.media_type, self.size_bytes)

    @classmethod
    def __zeroidle_kind__(cls) -> Tuple[Schema, Load]:
        form: Schema = {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "object",
                    "properties": {key: {"type": "string"} for key in ("url", "data", "name", "media_type")},
                    "additionalProperties": False,
                },
            ],
            "description": "A URL, a data URL, base64 text, or an object with `url` or `data` (base64).",
            "x-file": cls.family or "any",
        }
        return form, cls._load

    @classmethod
    def __zeroidle_output__(cls) -> Schema:
        text = {"type": "string"}
        members = {
            "url": {**text, "format": "uri"},
            "name": text,
            "media_type": text,
            "size_bytes": {"type": "integer"},
        }
        return {"type": "object", "properties": members, "required": list(members), "x-file": cls.family or "any"}

    @classmethod
    def _load(cls: Type[F], value: Any, path: str) -> F:
        name = declared = None
        if isinstance(value, dict):
            name, declared = value.get("name"), value.get("media_type")
            value = value.get("url") or value.get("data")
        if not isinstance(value, str) or not value:
            raise InputError(path, "is %s; it must be a URL, a data URL or base64 text." % shown(value))
        file = cls._read(value, path, name, declared)
        file._check(path)
        return file

    @classmethod
    def _read(cls: Type[F], value: str, path: str, name: Optional[str], declared: Optional[str]) -> F:
        self = cls.__new__(cls)
        if re.match(r"https?://", value, re.IGNORECASE):
            import weakref

            from zeroidle_worker.api.fetch import FetchError, fetch  # which costs more to import than all the rest

            try:
                got = fetch(value)
            except FetchError as exc:
                raise InputError(path, "%s: the URL %s." % (shown(value, 120), exc)) from exc
            File.__init__(self, got.path, declared, name or got.name)
            weakref.finalize(self, _remove, got.path)
            return self
        if value.startswith("data:"):
            head, comma, body = value.partition(",")
            if not comma:
                raise InputError(path, "is a data URL without a comma.")
            declared = declared or head[5:].split(";")[0] or None
            from urllib.parse import unquote_to_bytes

            data = _decode(body, path) if head.endswith(";base64") else unquote_to_bytes(body)
        else:
            data = _decode(value, path)
        File.__init__(self, data, declared, name)
        return self

    def _check(self, path: str) -> None:
        if not self.size_bytes:
            raise InputError(path, "is empty.")
        if not self.family:
            return
        found = sniff.media_type(self.head())
        also = {"audio": ("video/mp4", "video/webm", "video/ogg", "video/quicktime")}.get(self.family, ())
        if found is None or not (found.startswith(self.family + "/") or found in also):
            what = found or "a file of no known %s format" % self.family
            raise InputError(path, "is %s; it must be %s." % (what, _NOUN.get(self.family, self.family)))


class Audio(File):
    """A sound file. `Audio(samples, sample_rate)` makes a WAV of numbers from -1 to 1 or of 16-bit integers."""

    family = "audio"

    def __init__(
        self, data: Any, sample_rate: Optional[int] = None, media_type: Optional[str] = None, name: Optional[str] = None
    ) -> None:
        if sample_rate is not None:
            data, media_type = _wav(data, sample_rate), "audio/wav"
        super().__init__(data, media_type, name)


class Image(File):
    """A picture. `Image(picture)` takes a PIL image too and makes a PNG of it."""

    family = "image"

    def __init__(self, data: Any, media_type: Optional[str] = None, name: Optional[str] = None) -> None:
        if hasattr(data, "save") and hasattr(data, "getbbox"):
            buffer = io.BytesIO()
            data.save(buffer, "PNG")
            data, media_type = buffer.getvalue(), "image/png"
        super().__init__(data, media_type, name)

    def _check(self, path: str) -> None:
        super()._check(path)
        with self.open() as file:
            size = sniff.image_size(self.head(), file)
        if size is None:
            raise InputError(path, "is a picture whose size is not in its header.")
        if size[0] * size[1] > MAX_PIXELS or min(size) < 1:
            raise InputError(path, "has %d x %d pixels; at most %d are taken." % (*size, MAX_PIXELS))


_NOUN = {"audio": "sound (wav, flac, ogg, mp3, m4a, webm)", "image": "a picture (png, jpeg, webp, gif, bmp, tiff)"}


def _guessed(name: Optional[str]) -> Optional[str]:
    if not name:
        return None
    import mimetypes

    return mimetypes.guess_type(name)[0]


def _decode(text: str, path: str) -> bytes:
    try:
        return decode_base64("".join(text.split()))
    except ValueError as exc:
        raise InputError(path, "is %s, which is neither a URL nor base64 text." % shown(text, 40)) from exc


def _remove(path: str) -> None:
    # A path that is gone was moved by the handler: then it is the handler's.
    with contextlib.suppress(OSError):
        os.unlink(path)


def _wav(samples: Any, sample_rate: int) -> bytes:
    """16-bit WAV bytes of a list, an array or a tensor; two dimensions are (samples, channels)."""
    for step in ("detach", "cpu", "numpy"):  # a torch tensor
        if hasattr(samples, step):
            samples = getattr(samples, step)()
    channels = 1
    if hasattr(samples, "ndim"):
        if samples.ndim == 2:
            if samples.shape[0] < samples.shape[1] and samples.shape[0] <= 8:
                samples = samples.T
            channels = samples.shape[1]
        if samples.dtype.kind == "f":
            samples = (samples.clip(-1, 1) * 32767).round()
        data = samples.astype("<i2").tobytes()
    else:
        import array
        import sys

        flat = list(samples)
        if any(isinstance(v, float) for v in flat):
            flat = [round(max(-1.0, min(1.0, v)) * 32767) for v in flat]
        values = array.array("h", flat)
        if sys.byteorder == "big":
            values.byteswap()
        data = values.tobytes()
    import wave

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(data)
    return buffer.getvalue()
