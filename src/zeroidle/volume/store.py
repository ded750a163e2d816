"""The model volume: its folder, who we are on it, and what it holds. Everything else works on one of these."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zeroidle.volume import markers, tree
from zeroidle.volume.beat import Beater, Watch
from zeroidle.volume.layout import Layout, LinkMode, make
from zeroidle.volume.manifest import Manifest, Marker
from zeroidle.volume.options import Options, options_from
from zeroidle.volume.owner import Owner, owner_of
from zeroidle.volume.weights import Weights

Resolver = Callable[[Weights], Manifest]


@dataclass(frozen=True, slots=True)
class Tree:
    """Weights that are complete on the volume. `path` is the folder for loaders; `fetched_bytes` and `seconds` are
    what it took now until they were complete, verified and visible, 0 for a warm one; `flush_s` how long after that
    the disk took to have everything."""

    weights: Weights
    manifest: Manifest
    path: Path
    fetched_bytes: int = 0
    seconds: float = 0.0
    flush_s: float = 0.0

    @property
    def file_path(self) -> Path:
        """The file itself when the source is a single one, else the folder."""
        return self.path / self.manifest.files[0].path if len(self.manifest.files) == 1 else self.path


class Volume:
    """A volume at `root`, made when it is not there. Raises VolumeError when it cannot be written.

    `lock` maps requests to what they are pinned to (from zeroidle.lock).
    """

    def __init__(self, root: Path, options: Options | None = None, lock: Mapping[Weights, Manifest] | None = None):
        self.options = options or options_from()
        self.lock = dict(lock or {})
        self.layout: Layout
        self.links: LinkMode
        self.layout, self.links = make(root)
        self.owner: Owner = owner_of()
        self.beater = Beater(self.options.beat_s)
        self.watch = Watch()
        self.cancel = threading.Event()

    def pinned(self, weights: Weights) -> Manifest | None:
        """What a request stands for without asking the network: by the lock file, else by the volume's memory."""
        return self.lock.get(weights) or markers.remembered(self.layout, weights)

    def ready(self, weights: Weights) -> Tree | None:
        """The tree of a request, if it is complete; without network, without reading content."""
        manifest = self.pinned(weights)
        return None if manifest is None else self.holds(weights, manifest)

    def holds(self, weights: Weights, manifest: Manifest) -> Tree | None:
        """The tree of a manifest, if it is complete."""
        marker = markers.find(self.layout, manifest.key)
        if marker is None or tree.missing(self.layout, marker.manifest) is not None:
            return None
        return Tree(weights, marker.manifest, self.layout.tree(manifest))

    def markers(self) -> list[Marker]:
        """All complete trees."""
        return markers.all_of(self.layout)

    def close(self) -> None:
        """Ends the heartbeats."""
        self.beater.close()
