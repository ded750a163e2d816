"""Taking in models that lie in a folder already: hashed, linked where that is possible, and checked against their
own names, so that a half download is not taken for a model."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from zeroidle.errors import SourceError
from zeroidle.volume import markers, tree
from zeroidle.volume.contents import hash_file
from zeroidle.volume.flush import flush
from zeroidle.volume.layout import NO_LINKS, Layout, claim, replace
from zeroidle.volume.manifest import File, Manifest, safe_path
from zeroidle.volume.part import reflink
from zeroidle.volume.progress import Progress
from zeroidle.volume.store import Volume
from zeroidle.volume.weights import Weights

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(slots=True)
class Adopted:
    """What was taken in. `problems` are files that were left out, each with why; a source with one is not complete
    and was not taken in, but its right files need not be fetched again. Sizes in bytes."""

    manifests: list[Manifest] = field(default_factory=list)
    linked_bytes: int = 0
    copied_bytes: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """A source as it lies in a folder: what to call it, its revision, and its files."""

    weights: Weights
    revision: str | None
    files: list[tuple[str, Path]]


def survey(folder: Path, source: str | None = None) -> list[Found]:
    """What a folder holds: the snapshots of a Hugging Face cache (the cache, its HF_HOME, or one model of it), or else
    a plain folder of model files. `source` says what to call a plain one. SourceError when there is nothing."""
    root = folder.absolute()
    if not root.is_dir():
        raise SourceError(f"There is no folder {folder} to adopt.")
    hub = root / "hub" if (root / "hub").is_dir() else root
    repos = [root] if root.name.startswith("models--") else sorted(hub.glob("models--*"))
    found = [snapshot for repo in repos for snapshot in _snapshots(repo)]
    if found and source is not None:
        raise SourceError(f"{folder} is a Hugging Face cache, which says itself what it holds; leave --as out.")
    if found:
        return found
    if repos:
        raise SourceError(f"The Hugging Face cache {folder} has no snapshot with files in it.")
    files = [(p.relative_to(root).as_posix(), p) for p in _files(root)]
    if not files:
        raise SourceError(f"The folder {folder} has no files to adopt.")
    weights = Weights(source or f"file:{root}")
    asked = weights.parsed.revision or ""
    return [Found(weights, asked if _SHA1.fullmatch(asked) else None, files)]


def _snapshots(repo: Path) -> list[Found]:
    name = repo.name.removeprefix("models--").replace("--", "/", 1)
    refs: dict[str, list[str]] = {}
    for path in sorted((repo / "refs").rglob("*")) if (repo / "refs").is_dir() else []:
        if path.is_file():
            refs.setdefault(path.read_text().strip(), []).append(path.relative_to(repo / "refs").as_posix())
    found = []
    for snapshot in sorted((repo / "snapshots").glob("*")):
        files = [(p.relative_to(snapshot).as_posix(), p) for p in _files(snapshot)]
        names = refs.get(snapshot.name) or [snapshot.name]
        found += [Found(Weights(f"hf:{name}@{ref}"), snapshot.name, files) for ref in names if files]
        if "main" in names and files:  # who names no revision means main
            found.append(Found(Weights(f"hf:{name}"), snapshot.name, files))
    return found


def _files(root: Path) -> list[Path]:
    paths = []
    for base, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in (".git", ".cache"))
        paths += [Path(base, n) for n in sorted(names) if not n.endswith((".incomplete", ".lock", ".part"))]
    return paths


def adopt(volume: Volume, found: list[Found], progress: Progress, copy: bool = False) -> Adopted:
    """Takes in what `survey` found. Files on the volume's own file system are linked (then they become read-only and
    must not be changed in place), others are copied."""
    result = Adopted()
    every = {os.path.realpath(path): path for one in found for _, path in one.files}
    sizes = {real: os.path.getsize(real) for real in every if os.path.exists(real)}
    progress.begin(sum(sizes.values()), len(sizes))
    progress.set(stage="check")
    hashed = _hash_all(sizes, progress)
    taken: set[str] = set()
    for one in found:
        files = []
        for name, path in one.files:
            real = os.path.realpath(path)
            file = _file(name, real, sizes, hashed)
            if isinstance(file, str):
                result.problems.append(f"{path}: {file}")
                continue
            files.append(file)
            if real not in taken:
                taken.add(real)
                _take(volume.layout, real, file, copy, hashed[real][2], result)
        _finish(volume, one, files, result)
    return result


def _hash_all(sizes: dict[str, int], progress: Progress) -> dict[str, tuple[str, str | None, list[bytes]]]:
    def one(real: str) -> tuple[str, str | None, list[bytes]]:
        name = os.path.basename(real)
        check = f"git-sha1:{name}" if _SHA1.fullmatch(name) else None
        found = hash_file(Path(real), check, sizes[real])
        progress.fetched(sizes[real])
        progress.file_done()
        return found

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return dict(zip(sizes, pool.map(one, sizes), strict=True))


def _file(
    name: str, real: str, sizes: dict[str, int], hashed: dict[str, tuple[str, str | None, list[bytes]]]
) -> File | str:
    """The file for a manifest, or what is wrong with it: the hub's cache names contents by their hash."""
    if real not in sizes:
        return "it leads nowhere"
    sha256, fault, _ = hashed[real]
    base = os.path.basename(real)
    if _SHA256.fullmatch(base) and base != sha256:
        return f"it is damaged or a half download: its hash is {sha256[:12]}… instead of {base[:12]}…"
    if fault is not None:
        return f"it is damaged or a half download: {fault}"
    check = f"git-sha1:{base}" if _SHA1.fullmatch(base) else None
    return File(safe_path(name), sizes[real], sha256, check)


def _take(layout: Layout, real: str, file: File, copy: bool, marks: list[bytes], result: Adopted) -> None:
    blob = layout.blob(str(file.sha256))
    size = file.size or 0
    if blob.exists():
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    if marks:
        replace(layout.mark(str(file.sha256)), b"".join(marks), layout)
    if not copy and _link(real, blob):
        os.chmod(blob, 0o444)
        result.linked_bytes += size
        return
    fresh = layout.temporary("adopt")
    try:
        with open(real, "rb") as old, open(fresh, "wb") as new:
            shared = reflink(old.fileno(), new.fileno())
            if not shared:
                shutil.copyfileobj(old, new, 8 * 1024 * 1024)
            os.fchmod(new.fileno(), 0o444)
        if not shared and hash_file(fresh)[0] != file.sha256:
            raise SourceError(f"{real} changed while it was copied; adopt it again when nobody writes to it.")
        claim(fresh, blob)
    finally:
        fresh.unlink(missing_ok=True)
    if shared:
        result.linked_bytes += size
    else:
        result.copied_bytes += size


def _link(real: str, blob: Path) -> bool:
    try:
        os.link(real, blob)
    except FileExistsError:
        return True
    except OSError as exc:
        if exc.errno not in NO_LINKS:
            raise
        return False
    return True


def _finish(volume: Volume, one: Found, files: list[File], result: Adopted) -> None:
    if len(files) != len(one.files):
        return
    files = sorted(files, key=lambda f: f.path)
    revision = one.revision or f"adopted-{_digest(files)}"
    manifest = Manifest(one.weights.source, revision, tuple(files), one.weights.allow, one.weights.deny)
    tree.build(volume.layout, volume.links, manifest)
    flush(volume.layout, manifest)
    markers.write(volume.layout, manifest, durable=True)
    with contextlib.suppress(OSError):
        markers.remember(volume.layout, one.weights, manifest)
    result.manifests.append(manifest)


def _digest(files: list[File]) -> str:
    import hashlib

    return hashlib.sha256(msgspec.json.encode([[f.path, f.sha256] for f in files])).hexdigest()[:16]
