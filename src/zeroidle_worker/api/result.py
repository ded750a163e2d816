"""What a handler gives back, made into JSON: files, dataclasses, models, enums, times and bytes."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import os
import pathlib
import shutil
import uuid
from typing import Any, Callable, Dict

from zeroidle_worker.api.files import File

#: Puts a file where the caller can get it and answers its URL.
Place = Callable[[File], str]

_PLAIN = {str, int, float, bool, type(None)}

#: A file up to this size comes inside the answer as a data URL, unless the endpoint's `files` setting says otherwise.
INLINE_BYTES = 1024 * 1024


def to_json(value: Any, place: Place) -> Any:
    """The JSON form of `value`. What it does not know is left as it is: the encoder says what is wrong with it."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {key: to_json(member, place) for key, member in value.items()}
    if isinstance(value, File):
        return {
            "url": place(value),
            "name": value.name,
            "media_type": value.media_type,
            "size_bytes": value.size_bytes,
        }
    if isinstance(value, enum.Enum):
        return to_json(value.value, place)
    if isinstance(value, (list, tuple, set, frozenset)):
        if kind is list and set(map(type, value)) <= _PLAIN:
            return value  # a long list of numbers is not walked twice
        if hasattr(value, "_asdict"):
            return to_json(value._asdict(), place)
        return [to_json(member, place) for member in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name), place) for f in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    for types, convert in _CONVERT.items():
        if isinstance(value, types):
            return convert(value)
    return value


def _bytes(value: Any) -> str:
    return base64.b64encode(value).decode()


_CONVERT: Dict[Any, Callable[[Any], str]] = {
    (bytes, bytearray, memoryview): _bytes,
    (datetime.datetime, datetime.date, datetime.time): lambda v: v.isoformat(),
    (uuid.UUID, decimal.Decimal, pathlib.PurePath): str,
}


def inline(file: File) -> str:
    """The file as a data URL."""
    return "data:%s;base64,%s" % (file.media_type, _bytes(file.bytes()))


def placer(mode: str, job_id: str, env: Dict[str, str]) -> Place:
    """How files of one job travel: `inline`, `url` (a file that the plane serves), or `auto` by size.

    A new way (object storage) is one more branch here and one more word in the setting `files`.
    """
    folder, base = env.get("ZEROIDLE_FILES"), env.get("ZEROIDLE_FILES_URL")
    count = 0

    def place(file: File) -> str:
        nonlocal count
        if not folder or not base or mode == "inline" or (mode == "auto" and file.size_bytes <= INLINE_BYTES):
            return inline(file)
        count += 1
        own = os.path.join(folder, job_id)
        os.makedirs(own, exist_ok=True)
        name = "%d-%s" % (count, "".join(c if c.isalnum() or c in "._-" else "_" for c in file.name))
        part = os.path.join(own, name + ".part")
        with file.open() as source, open(part, "wb") as target:
            shutil.copyfileobj(source, target, 1024 * 1024)
            target.flush()
            os.fsync(target.fileno())
        os.replace(part, os.path.join(own, name))
        return "%s/%s/%s" % (base.rstrip("/"), job_id, name)

    return place
