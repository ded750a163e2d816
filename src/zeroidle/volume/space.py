"""Is there room for what is about to be fetched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from zeroidle.errors import VolumeFull
from zeroidle.volume.inherit import left_bytes
from zeroidle.volume.manifest import File, Manifest
from zeroidle.volume.store import Volume


def check_space(volume: Volume, manifest: Manifest, known: Mapping[str, File], home: Path) -> None:
    """Raises VolumeFull before the first byte when the rest of a source does not fit."""
    missing = missing_bytes(volume, manifest, known)
    free = free_bytes(home)
    need = missing * (2 if volume.links == "copy" else 1) + volume.options.reserve_bytes
    if missing and need > free:
        raise VolumeFull(
            f"{manifest.source!r} needs {show_bytes(missing)} more, and the volume {volume.layout.root} has "
            f"{show_bytes(free)} free: {show_bytes(need - free)} are missing. Free some "
            f'("zeroidle volume gc --max SIZE"), or use a larger volume.'
        )


def full(volume: Volume, manifest: Manifest, known: Mapping[str, File], home: Path) -> VolumeFull:
    """The error for a disk that became full on the way: a quota, or somebody else's files."""
    missing = missing_bytes(volume, manifest, known)
    return VolumeFull(
        f"The volume {volume.layout.root} became full while {manifest.source!r} was fetched: "
        f"{show_bytes(missing)} are still missing, {show_bytes(free_bytes(home))} are free. Nothing is half visible "
        "and what has arrived is kept; make room and pull again."
    )


def missing_bytes(volume: Volume, manifest: Manifest, known: Mapping[str, File]) -> int:
    """How many bytes are still to be fetched."""
    total = 0
    seen: set[str] = set()
    for file in manifest.files:
        if file.path in known or file.key in seen:
            continue
        seen.add(file.key)
        total += max(0, (file.size or 0) - left_bytes(volume.layout, manifest.lease_key, file.key))
    return total


def free_bytes(folder: Path) -> int:
    """What an ordinary process may still write there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def show_bytes(size: float) -> str:
    """`1.3 GB`; powers of 1000, as providers sell them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
