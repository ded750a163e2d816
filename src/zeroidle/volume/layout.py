"""Where everything lies on the volume, the same on every mount."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zeroidle.errors import VolumeError
from zeroidle.volume.manifest import Manifest, slug_of

VOLUME_ENV = "ZEROIDLE_VOLUME"

#: Where providers mount their persistent storage: RunPod serverless, RunPod and Vast.ai pods, and a common choice.
MOUNTS = ("/runpod-volume", "/workspace", "/data")

LinkMode = Literal["hard", "symbolic", "copy"]

#: What a file system answers that has no (such) links.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of a volume. Only `models/` and `hf/` are for loaders; the rest is the volume's own."""

    root: Path

    @property
    def blobs(self) -> Path:
        """Every file's content once, by hash; complete, verified, never changed."""
        return self.root / "blobs" / "sha256"

    @property
    def hub(self) -> Path:
        """The same files in the layout of Hugging Face's cache."""
        return self.root / "hf" / "hub"

    @property
    def parts(self) -> Path:
        """Downloads that have not ended, by lease and fence."""
        return self.root / "parts"

    @property
    def leases(self) -> Path:
        """Who fetches what."""
        return self.root / "state" / "leases"

    @property
    def uses(self) -> Path:
        """Who reads what."""
        return self.root / "state" / "uses"

    @property
    def trees(self) -> Path:
        """The markers of complete trees."""
        return self.root / "state" / "trees"

    @property
    def wants(self) -> Path:
        """Manifests of trees that are being fetched, so that nobody evicts their files meanwhile."""
        return self.root / "state" / "wants"

    @property
    def refs(self) -> Path:
        """What a moving revision was resolved to."""
        return self.root / "state" / "refs"

    @property
    def marks(self) -> Path:
        """Prefix digests of large blobs, by which a repair finds the broken stretch."""
        return self.root / "state" / "marks"

    @property
    def tmp(self) -> Path:
        """Files that are being written and get their name by rename or link."""
        return self.root / "tmp"

    def blob(self, sha256: str) -> Path:
        """Where the content of that hash lies, or will."""
        return self.blobs / sha256[:2] / sha256

    def mark(self, sha256: str) -> Path:
        """Where the prefix digests of that blob lie."""
        return self.marks / sha256[:2] / sha256

    def tree(self, manifest: Manifest) -> Path:
        """The folder that loaders are given; for a model of the hub it is the snapshot in its cache."""
        parsed = manifest.weights.parsed
        if parsed.kind == "hf":
            return self.hub / f"models--{parsed.slug}" / "snapshots" / manifest.revision
        return self.root / "models" / slug_of(manifest.weights.parsed) / manifest.revision

    def marker(self, tree_key: str) -> Path:
        """The marker of a complete tree."""
        return self.trees / f"{tree_key}.json"

    def temporary(self, label: str) -> Path:
        """A fresh name in `tmp`."""
        return self.tmp / f"{label}.{os.getpid()}.{secrets.token_hex(6)}"


def find_root(given: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the volume: what is given, else ZEROIDLE_VOLUME, else `zeroidle` on the first provider mount
    that there is, else the user's cache folder."""
    env = os.environ if environ is None else environ
    if given or env.get(VOLUME_ENV):
        return Path(given or env[VOLUME_ENV]).expanduser().absolute()
    for mount in MOUNTS:
        if os.path.ismount(mount) and os.access(mount, os.W_OK):
            return Path(mount) / "zeroidle"
    cache = env.get("XDG_CACHE_HOME") or os.path.join(env.get("HOME", "/tmp"), ".cache")
    return Path(cache) / "zeroidle" / "volume"


def make(root: Path) -> tuple[Layout, LinkMode]:
    """Makes the folders that are missing and says how files are linked here. VolumeError when it cannot be written."""
    layout = Layout(root)
    note = root / "volume.json"
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(note.read_bytes())
        if known.get("format") != 1:
            raise VolumeError(
                f"The volume {root} has format {known.get('format')}, this version knows 1; use a newer zeroidle."
            )
        return layout, known["links"]
    try:
        for folder in (layout.blobs, layout.hub, layout.parts, layout.leases, layout.uses, layout.trees):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (layout.wants, layout.refs, layout.marks, layout.tmp):
            folder.mkdir(parents=True, exist_ok=True)
        links = _probe_links(layout)
        replace(note, json.dumps({"format": 1, "links": links, "made_at": time.time()}).encode(), layout)
    except OSError as exc:
        raise VolumeError(
            f"The volume {root} cannot be written ({exc.strerror}); mount it, or choose another by --volume."
        ) from exc
    return layout, links


def _probe_links(layout: Layout) -> LinkMode:
    target, name = layout.temporary("probe"), layout.temporary("probe")
    target.touch()
    try:
        for mode, link in (("hard", os.link), ("symbolic", os.symlink)):
            try:
                link(target, name)
            except OSError as exc:
                if exc.errno not in NO_LINKS:
                    raise
            else:
                name.unlink()
                return "hard" if mode == "hard" else "symbolic"
        return "copy"
    finally:
        target.unlink()


def replace(path: Path, data: bytes, layout: Layout, durable: bool = False) -> None:
    """Writes a small file so that a reader sees the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = layout.temporary("write")
    with open(name, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(name, path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable, where the file system can."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(fd)


def look_anew(folder: Path) -> None:
    """Makes a network file system forget that a name was not in a folder: opening the folder asks its server."""
    with contextlib.suppress(OSError):
        os.listdir(folder)


def claim(existing: Path, name: Path) -> bool:
    """Gives a finished file a second name that nobody has; False when somebody has it.

    A network file system may report failure for a link that it made (the answer was lost), so the count of names
    decides. Without hard links the file is renamed unless the name is there.
    """
    try:
        os.link(existing, name)
        return True
    except FileExistsError:
        return same_file(existing, name)
    except OSError as exc:
        if exc.errno not in NO_LINKS:
            raise
    if name.exists():
        return False
    os.rename(existing, name)
    return True


def same_file(first: Path, second: Path) -> bool:
    """Whether two names are of one file; False when one is missing."""
    with contextlib.suppress(OSError):
        return os.path.samefile(first, second)
    return False


def walk_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every regular file below a folder with its own (not followed) status; missing ones are passed over."""
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base, name)
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                    yield path, status
