"""Making what was published survive a power cut."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor

from zeroidle.volume.layout import Layout, sync_folder
from zeroidle.volume.manifest import Manifest
from zeroidle.volume.tree import COPIED_BELOW_BYTES


def flush(layout: Layout, manifest: Manifest) -> None:
    """Flushes every blob of a tree, its small copies and the folders of its names to the disk."""
    tree = layout.tree(manifest)
    blobs = {layout.blob(str(file.sha256)) for file in manifest.files}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_flush_file, blobs))
        copies = [tree / file.path for file in manifest.files if (file.size or 0) < COPIED_BELOW_BYTES]
        list(pool.map(_flush_file, copies))
    folders = {blob.parent for blob in blobs} | {layout.blobs, tree, tree.parent}
    folders |= {(tree / file.path).parent for file in manifest.files}
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            sync_folder(folder)


def _flush_file(path: os.PathLike[str]) -> None:
    with contextlib.suppress(FileNotFoundError):  # evicted since
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
