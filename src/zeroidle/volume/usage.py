"""What lies on the volume, how large it is, and what is shared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from zeroidle.volume import markers, tree, uses
from zeroidle.volume.layout import walk_files
from zeroidle.volume.manifest import Marker
from zeroidle.volume.store import Volume


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """One tree. `size_bytes` is the sum of its files, `own_bytes` what evicting it frees, `shared_bytes` what other
    trees have too. `used_at` is in Unix seconds; `users` are processes that use it now."""

    marker: Marker
    path: str
    size_bytes: int
    own_bytes: int
    shared_bytes: int
    used_at: float
    users: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """The whole volume in bytes. `blobs_bytes` is what all contents take once, `saved_bytes` what the trees would
    take more if they shared nothing; `orphan_bytes` belong to no tree, `parts_bytes` are unfinished downloads."""

    trees: list[TreeUsage]
    blobs_bytes: int
    saved_bytes: int
    orphan_bytes: int
    parts_bytes: int
    other_bytes: int


def blob_sizes(volume: Volume) -> dict[str, int]:
    """The size of every blob that is there."""
    return {path.name: status.st_size for path, status in walk_files(volume.layout.blobs)}


def contents_of(marker: Marker) -> set[str]:
    """The blobs of a tree."""
    return {str(file.sha256) for file in marker.manifest.files}


def usage(volume: Volume) -> Usage:
    """Adds everything up."""
    layout = volume.layout
    sizes = blob_sizes(volume)
    found = markers.all_of(layout)
    counts = Counter(sha256 for marker in found for sha256 in contents_of(marker))
    trees = [_tree(volume, marker, counts, sizes) for marker in found]
    blobs = sum(sizes.values())
    parts = sum(status.st_blocks * 512 for _, status in walk_files(layout.parts))
    known = (layout.blobs, layout.parts)
    others = {
        (status.st_dev, status.st_ino): status.st_size
        for path, status in walk_files(layout.root)
        if not any(path.is_relative_to(folder) for folder in known) and status.st_nlink == 1
    }
    return Usage(
        trees,
        blobs,
        sum(sizes.get(sha256, 0) * (count - 1) for sha256, count in counts.items()),
        sum(size for sha256, size in sizes.items() if sha256 not in counts),
        parts,
        sum(others.values()),
    )


def _tree(volume: Volume, marker: Marker, counts: Counter[str], sizes: dict[str, int]) -> TreeUsage:
    layout, contents = volume.layout, contents_of(marker)
    size = sum(sizes.get(sha256, 0) for sha256 in contents)
    own = sum(sizes.get(sha256, 0) for sha256 in contents if counts[sha256] == 1)
    absent = tree.missing(layout, marker.manifest)
    return TreeUsage(
        marker,
        str(layout.tree(marker.manifest)),
        size,
        own,
        size - own,
        markers.last_used(layout, marker),
        uses.seen(layout, marker.manifest.key),
        f"{absent} is missing" if absent else None,
    )
