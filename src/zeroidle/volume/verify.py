"""Computing every hash again, and mending what is broken, and only that."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from zeroidle.volume import markers, tree
from zeroidle.volume.contents import hash_file
from zeroidle.volume.layout import same_file
from zeroidle.volume.manifest import Marker
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
    """What a verification found. `unlinked` are names of trees that do not lead to their content, `changed` are small
    files of trees that a program has rewritten: that is its right, and the content that is shared is not touched."""

    blobs: int = 0
    size_bytes: int = 0
    broken: list[Broken] = field(default_factory=list)
    unlinked: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

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
    for marker in chosen:
        _look_at_names(volume, marker, bad, report)
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


def _look_at_names(volume: Volume, marker: Marker, bad: set[str], report: Report) -> None:
    base = volume.layout.tree(marker.manifest)
    for file in marker.manifest.files:
        name = base / file.path
        if str(file.sha256) in bad or same_file(name, volume.layout.blob(str(file.sha256))):
            continue
        try:  # a copy
            right = tree.copied(file, volume.links) and hash_file(name)[0] == file.sha256
        except OSError:
            report.unlinked.append(str(name))
            continue
        small = (file.size or 0) < tree.COPIED_BELOW_BYTES
        if not right:
            (report.changed if small and name.stat().st_size else report.unlinked).append(str(name))


def relink(volume: Volume, chosen: Sequence[Marker]) -> None:
    """Makes the names of trees anew."""
    for marker in chosen:
        tree.build(volume.layout, volume.links, marker.manifest, restore=True)


def confirm(volume: Volume, chosen: Sequence[Marker]) -> None:
    """Notes of trees that were found right that they can be relied on, also after another boot."""
    for marker in chosen:
        if not marker.durable:
            markers.write(volume.layout, marker.manifest, durable=True, made_at=marker.made_at)
