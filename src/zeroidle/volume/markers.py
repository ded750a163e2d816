"""Which trees the volume holds, and what each request was last resolved to."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from zeroidle.volume.layout import Layout, look_anew, replace
from zeroidle.volume.manifest import FORMAT, Manifest, Marker
from zeroidle.volume.owner import this_boot
from zeroidle.volume.weights import Weights

_MARKER = msgspec.json.Decoder(Marker)
_MANIFEST = msgspec.json.Decoder(Manifest)


def write(layout: Layout, manifest: Manifest, durable: bool, made_at: float | None = None) -> Marker:
    """Says that a tree is complete. `durable` only after everything it names was flushed to the disk."""
    marker = Marker(FORMAT, manifest, time.time() if made_at is None else made_at, durable, this_boot())
    replace(layout.marker(manifest.key), msgspec.json.encode(marker), layout, durable)
    return marker


def read(path: Path) -> Marker | None:
    """A marker; None when it is not there, or of another format."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        marker = _MARKER.decode(path.read_bytes())
        if marker.format == FORMAT:
            return marker
    return None


def find(layout: Layout, tree_key: str) -> Marker | None:
    """The marker of a tree, if it is complete and what it says can be relied on: after another boot only what was
    flushed."""
    marker = read(layout.marker(tree_key))
    if marker is None:
        look_anew(layout.trees)  # another host may have written it a moment ago
        marker = read(layout.marker(tree_key))
    return marker if marker is not None and trusted(marker) else None


def trusted(marker: Marker) -> bool:
    """Whether the bytes that a marker names are sure to be there; else their hashes must be computed."""
    return marker.durable or marker.boot == this_boot()


def all_of(layout: Layout) -> list[Marker]:
    """All markers, by source."""
    found = [m for path in layout.trees.glob("*.json") if (m := read(path)) is not None]
    return sorted(found, key=lambda m: (m.manifest.source, m.manifest.revision, m.manifest.allow))


def wanted(layout: Layout) -> Iterator[Manifest]:
    """The manifests of downloads that are under way or were cut short."""
    for path in layout.wants.glob("*.json"):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            yield _MANIFEST.decode(path.read_bytes())


def want(layout: Layout, manifest: Manifest) -> None:
    """Notes a download that begins, so that nobody evicts what it has already."""
    replace(layout.wants / f"{manifest.key}.json", msgspec.json.encode(manifest), layout)


def unwant(layout: Layout, manifest: Manifest) -> None:
    """Ends what `want` began."""
    (layout.wants / f"{manifest.key}.json").unlink(missing_ok=True)


def remember(layout: Layout, weights: Weights, manifest: Manifest) -> None:
    """Notes what a request was resolved to, so that a moving revision moves only when it is told to."""
    replace(layout.refs / f"{weights.key}.json", msgspec.json.encode(manifest), layout)


def remembered(layout: Layout, weights: Weights) -> Manifest | None:
    """What a request was last resolved to."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return _MANIFEST.decode((layout.refs / f"{weights.key}.json").read_bytes())
    return None


def touch_used(layout: Layout, tree_key: str) -> None:
    """Notes that a tree is used now, by the clock of the file system."""
    path = layout.uses / tree_key / "last"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.utime(path)
    except FileNotFoundError:
        path.touch()


def last_used(layout: Layout, marker: Marker) -> float:
    """When a tree was last used, in Unix seconds; when it was made if never."""
    with contextlib.suppress(OSError):
        return (layout.uses / marker.manifest.key / "last").stat().st_mtime
    return marker.made_at
