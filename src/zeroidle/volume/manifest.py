"""The exact files of a source at one revision, and the marker that says they are all on the volume."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import PurePosixPath

import msgspec

from zeroidle.errors import SourceError
from zeroidle.volume.weights import Source, Weights

FORMAT = 1


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of a source. `size` is in bytes, None when the server does not say.

    `sha256` is known from the start for large files of the hub and for pinned ones, and otherwise after the first
    download. `check` is another digest that the source promises: "git-sha1:HEX" or "md5:HEX". `etag` is the
    source's own version of the file, `url` where it is when the name does not say.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    check: str | None = None
    etag: str | None = None
    url: str | None = None

    @property
    def key(self) -> str:
        """A file name for the content of this file, before and while it is fetched."""
        if self.sha256:
            return self.sha256
        text = json.dumps([self.check] if self.check else [self.url, self.path, self.size, self.etag])
        return "x" + hashlib.sha256(text.encode()).hexdigest()[:40]


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A source at one revision that does not move. `source` is the string that was asked for, `files` are those that
    its patterns take, by name."""

    source: str
    revision: str
    files: tuple[File, ...]
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    @property
    def weights(self) -> Weights:
        """The request that this answers."""
        return Weights(self.source, self.allow, self.deny)

    @property
    def key(self) -> str:
        """Names this tree on the volume: the same source, revision and patterns."""
        parsed = self.weights.parsed
        text = json.dumps([parsed.kind, parsed.name, self.revision, self.allow, self.deny])
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def lease_key(self) -> str:
        """Names the download: subsets of one revision share it, so that a shared file is fetched once."""
        parsed = self.weights.parsed
        return hashlib.sha256(json.dumps([parsed.kind, parsed.name, self.revision]).encode()).hexdigest()[:24]

    @property
    def size_bytes(self) -> int:
        """The sum of the sizes that are known."""
        return sum(file.size or 0 for file in self.files)


class Marker(msgspec.Struct, frozen=True, omit_defaults=True):
    """Says that every file of a tree lies on the volume, verified.

    `durable` tells that the bytes were flushed to the disk; until then only the boot `boot` may trust them.
    `times` are Unix seconds.
    """

    format: int
    manifest: Manifest
    made_at: float
    durable: bool = False
    boot: str = ""


def safe_path(path: str) -> str:
    """The path of a file inside a tree, when it stays inside; SourceError otherwise."""
    pure = PurePosixPath(path)
    bad = not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or "\n" in path
    if bad or str(pure) != path:
        raise SourceError(f"The source lists a file named {path!r}, which would leave its folder; it was not fetched.")
    return path


_HEX = re.compile(r"[0-9a-f]{64}")
_CHECK = re.compile(r"git-sha1:[0-9a-f]{40}|md5:[0-9a-f]{32}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def validated(manifest: Manifest) -> Manifest:
    """The manifest, when nothing in it can lead out of the volume; it comes from a server, a lock file or an archive.
    Raises SourceError, or ConfigError for its source."""
    _ = manifest.weights
    if _REVISION.fullmatch(manifest.revision) is None:
        raise SourceError(f"{manifest.source!r} has the revision {manifest.revision!r}, which is none.")
    for file in manifest.files:
        safe_path(file.path)
        if file.sha256 is not None and _HEX.fullmatch(file.sha256) is None:
            raise SourceError(f"The sha256 of {file.path!r} is {file.sha256!r}; it must be 64 hexadecimal digits.")
        if file.check is not None and _CHECK.fullmatch(file.check) is None:
            raise SourceError(f"The digest of {file.path!r} is {file.check!r}, which is none that is known.")
    return manifest


def select(weights: Weights, revision: str, files: list[File]) -> Manifest:
    """The manifest of the wanted files. Raises SourceError when the patterns leave none."""
    chosen = sorted((f for f in files if weights.takes(f.path)), key=lambda f: f.path)
    if not chosen:
        patterns = f" that match allow={list(weights.allow)} deny={list(weights.deny)}" if files else ""
        raise SourceError(f"{weights.source!r} at {revision} has no files{patterns}; it has {len(files)} in all.")
    return validated(Manifest(weights.source, revision, tuple(chosen), weights.allow, weights.deny))


def slug_of(source: Source) -> str:
    """The folder of a source below `models/`."""
    return f"{source.kind}/{source.slug}"
