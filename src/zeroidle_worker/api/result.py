"""What a handler gives back, made into JSON: files, dataclasses, models, enums, times and bytes."""

from __future__ import annotations

import binascii
import enum
import os
import sys
from typing import TYPE_CHECKING, Any, Callable, Mapping, Tuple

if TYPE_CHECKING:
    from zeroidle_worker.api.files import File

#: Puts a file where the caller can get it and answers its URL.
Place = Callable[["File"], str]

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
    files = sys.modules.get("zeroidle_worker.api.files")  # a worker that has no files does not pay for them
    if files is not None and isinstance(value, files.File):
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
    if hasattr(kind, "__dataclass_fields__"):
        import dataclasses

        return {f.name: to_json(getattr(value, f.name), place) for f in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _base64(value)
    for module, names, convert in _CONVERT:
        loaded = sys.modules.get(module)  # there is no value of a class whose module was not imported
        if loaded is not None and isinstance(value, tuple(getattr(loaded, name) for name in names)):
            return convert(value)
    return value


def _base64(value: Any) -> str:
    return binascii.b2a_base64(value, newline=False).decode()


_CONVERT: "Tuple[Tuple[str, Tuple[str, ...], Callable[[Any], str]], ...]" = (
    ("datetime", ("datetime", "date", "time"), lambda value: str(value.isoformat())),
    ("uuid", ("UUID",), str),
    ("decimal", ("Decimal",), str),
    ("pathlib", ("PurePath",), str),
)


def inline(file: "File") -> str:
    """The file as a data URL."""
    return "data:%s;base64,%s" % (file.media_type, _base64(file.bytes()))


def placer(mode: str, job_id: str, env: Mapping[str, str]) -> Place:
    """How files of one job travel: `inline`, `url` (a file that the plane serves), or `auto` by size.

    A new way (object storage) is one more branch here and one more word in the setting `files`.
    """
    count = 0

    def place(file: "File") -> str:
        nonlocal count
        folder, base = env.get("ZEROIDLE_FILES"), env.get("ZEROIDLE_FILES_URL")
        if not folder or not base or mode == "inline" or (mode == "auto" and file.size_bytes <= INLINE_BYTES):
            return inline(file)
        import shutil

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
