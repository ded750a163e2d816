"""Computing every hash again, and mending what is broken, and only that."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from zeroidle.volume import markers, tree
from zeroidle.volume.contents import hash_file
from zeroidle.volume.layout import same_file
from zeroidle.volume.manifest import File, Marker
from zeroidle.volume.progress import Progress
from zeroidle.volume.store import Volume


@dataclass(frozen=True, slots=True)
class Broken:
    """A content that is not right: `reason` says how, `names` where it is used."""

    sha256: str
    reason: str
    names: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """What a verification found. `unlinked` are names of trees that do not lead to their content."""

    blobs: int = 0
    size_bytes: int = 0
    broken: list[Broken] = field(default_factory=list)
    unlinked: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether nothing was found."""
        return not self.broken and not self.unlinked


def verify(volume: Volume, chosen: Sequence[Marker], progress: Progress, threads: int | None = None) -> Report:
    """Hashes each content of the chosen trees once, several at a time, and looks at every name."""
    names: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for marker in chosen:
        for file in marker.manifest.files:
            names.setdefault(str(file.sha256), []).append(f"{marker.manifest.source} {file.path}")
            sizes[str(file.sha256)] = file.size or 0
    report = Report(len(names), sum(sizes.values()))
    progress.begin(report.size_bytes, len(names))
    progress.set(stage="check")
    # The largest first, so that the last thread does not end long after the others.
    order = sorted(names, key=lambda sha256: -sizes[sha256])
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        checks = pool.map(_checker(volume, sizes, progress), order)
        for sha256, reason in zip(order, checks, strict=True):
            if reason is not None:
                report.broken.append(Broken(sha256, reason, tuple(names[sha256])))
    bad = {broken.sha256 for broken in report.broken}
    report.unlinked = [name for marker in chosen for name in _unlinked(volume, marker, bad)]
    return report


def _checker(volume: Volume, sizes: dict[str, int], progress: Progress) -> Callable[[str], str | None]:
    def check(sha256: str) -> str | None:
        path = volume.layout.blob(sha256)
        try:
            size = path.stat().st_size
            if size != sizes[sha256]:
                return f"it has {size} bytes instead of {sizes[sha256]}"
            seen, _, _ = hash_file(path)
        except FileNotFoundError:
            return "it is missing"
        except OSError as exc:
            return f"it cannot be read ({exc.strerror})"
        progress.fetched(size)
        progress.file_done()
        return None if seen == sha256 else f"its hash is {seen[:12]}…"

    return check


def _unlinked(volume: Volume, marker: Marker, bad: set[str]) -> list[str]:
    """Names of a tree that do not lead to their content."""
    base = volume.layout.tree(marker.manifest)
    found = []
    for file in marker.manifest.files:
        if str(file.sha256) not in bad and not _leads(volume, base / file.path, file):
            found.append(str(base / file.path))
    return found


def _leads(volume: Volume, name: Path, file: File) -> bool:
    if same_file(name, volume.layout.blob(str(file.sha256))):
        return True
    try:  # a copy, on a file system without links
        return name.stat().st_size == file.size and hash_file(name)[0] == file.sha256
    except OSError:
        return False


def relink(volume: Volume, chosen: Sequence[Marker]) -> None:
    """Makes the names of trees anew."""
    for marker in chosen:
        tree.build(volume.layout, volume.links, marker.manifest)


def confirm(volume: Volume, chosen: Sequence[Marker]) -> None:
    """Notes of trees that were found right that they can be relied on, also after another boot."""
    for marker in chosen:
        if not marker.durable:
            markers.write(volume.layout, marker.manifest, durable=True, made_at=marker.made_at)
