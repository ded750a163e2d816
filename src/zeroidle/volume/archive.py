"""Trees as one tar file, to carry them to a volume that has no network."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from zeroidle.errors import DamagedError, VolumeError
from zeroidle.volume import markers, tree
from zeroidle.volume.contents import hash_file
from zeroidle.volume.flush import flush
from zeroidle.volume.layout import Layout, claim
from zeroidle.volume.manifest import Manifest, Marker, validated
from zeroidle.volume.progress import Progress
from zeroidle.volume.store import Volume

_INDEX = "zeroidle-volume.json"
_CHUNK = 1024 * 1024


class _Index(msgspec.Struct):
    format: int
    manifests: list[Manifest]


def export(volume: Volume, chosen: Sequence[Marker], out: IO[bytes], progress: Progress) -> int:
    """Writes trees with all their contents, each once. Returns how many bytes. VolumeError when one is incomplete."""
    blobs = {str(f.sha256): f.size or 0 for m in chosen for f in m.manifest.files}
    progress.begin(sum(blobs.values()), len(blobs))
    progress.set(stage="check")
    index = msgspec.json.encode(_Index(1, [marker.manifest for marker in chosen]))
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, _INDEX, len(index), io.BytesIO(index))
        for sha256, size in sorted(blobs.items()):
            path = volume.layout.blob(sha256)
            try:
                with open(path, "rb") as file:
                    _add(tar, f"blobs/{sha256}", size, file)
            except OSError as exc:
                raise VolumeError(
                    f'{path} cannot be exported ({exc.strerror or exc}); run "zeroidle volume verify --repair" first.'
                ) from exc
            progress.fetched(size)
            progress.file_done()
    return sum(blobs.values())


def _add(tar: tarfile.TarFile, name: str, size: int, data: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o444
    tar.addfile(entry, data)


def import_(volume: Volume, data: IO[bytes], progress: Progress) -> list[Manifest]:
    """Takes in what `export` wrote; every content is hashed as it is read. Raises DamagedError or VolumeError; what was
    right up to there is kept for the next try."""
    layout = volume.layout
    try:
        with tarfile.open(fileobj=data, mode="r|") as tar:
            index = _index(tar)
            sizes = {str(f.sha256): f.size or 0 for m in index.manifests for f in m.files}
            progress.begin(sum(sizes.values()), len(sizes))
            progress.set(stage="fetch")
            while (entry := tar.next()) is not None:
                sha256 = entry.name.removeprefix("blobs/")
                source = tar.extractfile(entry)
                if source is None or sha256 not in sizes:
                    raise VolumeError(f"The archive has an entry {entry.name!r} that its index does not name.")
                _take(layout, sha256, source, progress)
    except tarfile.TarError as exc:
        raise DamagedError(f"The archive cannot be read: {exc}; export it again.") from exc
    for manifest in index.manifests:
        _complete(volume, manifest)
    return index.manifests


def _index(tar: tarfile.TarFile) -> _Index:
    first = tar.next()
    data = tar.extractfile(first) if first is not None and first.name == _INDEX else None
    if data is None:
        raise VolumeError('That is no archive of a volume; make one by "zeroidle volume export".')
    try:
        index = msgspec.json.decode(data.read(), type=_Index)
    except msgspec.MsgspecError as exc:
        raise DamagedError(f"The archive's index cannot be read: {exc}; export it again.") from exc
    for manifest in index.manifests:
        for file in validated(manifest).files:
            if not file.sha256:
                raise DamagedError(f"The archive's index has no hash for {file.path!r}; export it again.")
    return index


def _take(layout: Layout, sha256: str, source: IO[bytes], progress: Progress) -> None:
    blob = layout.blob(sha256)
    with _fresh(layout) as name:
        digest = hashlib.sha256()
        with open(name, "wb") as file:
            while data := source.read(_CHUNK):
                digest.update(data)
                file.write(data)
                progress.fetched(len(data))
            os.fchmod(file.fileno(), 0o444)
        if digest.hexdigest() != sha256:
            raise DamagedError(f"The archive is damaged: {sha256[:12]}… has another content; export it again.")
        blob.parent.mkdir(parents=True, exist_ok=True)
        if not claim(name, blob) and hash_file(blob)[0] != sha256:
            os.replace(name, blob)
    progress.file_done()


@contextmanager
def _fresh(layout: Layout) -> Iterator[Path]:
    name = layout.temporary("import")
    try:
        yield name
    finally:
        name.unlink(missing_ok=True)


def _complete(volume: Volume, manifest: Manifest) -> None:
    for file in manifest.files:
        if not volume.layout.blob(str(file.sha256)).exists():
            raise DamagedError(f"The archive lacks {file.path!r} of {manifest.source!r}; export it again.")
    tree.build(volume.layout, volume.links, manifest)
    flush(volume.layout, manifest)
    markers.write(volume.layout, manifest, durable=True)
    if markers.remembered(volume.layout, manifest.weights) is None:
        markers.remember(volume.layout, manifest.weights, manifest)
