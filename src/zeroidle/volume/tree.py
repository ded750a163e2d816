"""The names under which loaders find files: Hugging Face's cache layout, torch's and MFA's folders, plain trees."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from zeroidle.volume.layout import NO_LINKS, Layout, LinkMode, replace, same_file
from zeroidle.volume.manifest import File, Manifest
from zeroidle.volume.part import reflink

_MFA = re.compile(r"mfa-models/releases/download/(acoustic|dictionary|g2p|language_model|tokenizer|ivector)-[^/]+/")
_COMMIT = re.compile(r"[0-9a-f]{40}")

#: Smaller files are copied into a tree instead of linked: some loaders rewrite configurations where they lie (ESPnet
#: puts absolute paths into them), and the content that everybody shares must not change with them.
COPIED_BELOW_BYTES = 1024 * 1024


class BlobMissing(Exception):
    """A blob that was there has been evicted meanwhile."""


def hub_repo(layout: Layout, name: str) -> Path:
    """A model repository in Hugging Face's cache."""
    return layout.hub / f"models--{name.replace('/', '--')}"


def build(layout: Layout, links: LinkMode, manifest: Manifest, restore: bool = False) -> Path:
    """Gives every file of a complete manifest its names. Returns the folder. BlobMissing when one was evicted. A copied
    file that is there already stays as it is, unless `restore` is set."""
    tree = layout.tree(manifest)
    if manifest.weights.parsed.kind == "hf":
        _build_hub(layout, links, manifest, tree, restore)
    else:
        _build_plain(layout, links, manifest, tree, restore)
        for name, blob in _extra_names(layout, manifest):
            _link(blob, name, links, layout)
    return tree


def copied(file: File, links: LinkMode) -> bool:
    """Whether a file of a tree is a copy of its content."""
    return links == "copy" or (file.size or 0) < COPIED_BELOW_BYTES


def _mode(file: File, links: LinkMode) -> LinkMode:
    return "copy" if copied(file, links) else links


def _build_plain(layout: Layout, links: LinkMode, manifest: Manifest, tree: Path, restore: bool) -> None:
    # A new tree appears at once; one that is there (another selection of the same revision) is added to.
    target = layout.temporary("tree") if not tree.exists() else tree
    for file in manifest.files:
        final = tree / file.path
        blob = layout.blob(str(file.sha256))
        _link(blob, target / file.path, _mode(file, links), layout, seen_as=final, restore=restore)
    _settle(target, tree, lambda: _build_plain(layout, links, manifest, tree, restore))


def _build_hub(layout: Layout, links: LinkMode, manifest: Manifest, tree: Path, restore: bool) -> None:
    repo = hub_repo(layout, manifest.weights.parsed.name)
    target = layout.temporary("tree") if not tree.exists() else tree
    for file in manifest.files:
        blob = layout.blob(str(file.sha256))
        if links == "copy":
            _link(blob, target / file.path, links, layout, restore=restore)
            continue
        etag = repo / "blobs" / _etag(file)
        _link(blob, etag, _mode(file, links), layout, restore=restore)
        _symlink(etag, target / file.path, seen_as=tree / file.path)
    _settle(target, tree, lambda: _build_hub(layout, links, manifest, tree, restore))
    _write_refs(layout, manifest, repo)


def _settle(target: Path, tree: Path, again: Callable[[], None]) -> None:
    if target == tree:
        return
    tree.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(target, tree)
    except OSError:
        if not tree.is_dir():
            raise
        shutil.rmtree(target)
        again()  # somebody else was first: add to theirs


def _etag(file: File) -> str:
    """The name that Hugging Face's client gives the content: SHA-256 of large files, git's SHA-1 of small ones."""
    if file.check and file.check.startswith("git-sha1:"):
        return file.check.removeprefix("git-sha1:")
    return str(file.sha256)


def _write_refs(layout: Layout, manifest: Manifest, repo: Path) -> None:
    asked = manifest.weights.parsed.revision or "main"
    commit = manifest.revision.encode()
    if not _COMMIT.fullmatch(asked):
        replace(repo / "refs" / asked, commit, layout)
    # Loaders that name no revision ask for main, also when the endpoint pins a commit.
    if not (repo / "refs" / "main").exists():
        replace(repo / "refs" / "main", commit, layout)


def _extra_names(layout: Layout, manifest: Manifest) -> list[tuple[Path, Path]]:
    """Names outside of the tree under which a library looks for a file that came from its usual address."""
    found = []
    if manifest.weights.parsed.kind == "https":
        for file in manifest.files:
            blob = layout.blob(str(file.sha256))
            mfa = _MFA.search(manifest.source)
            if mfa is not None:
                found.append((layout.root / "mfa" / "pretrained_models" / mfa[1] / file.path, blob))
            elif file.path.endswith((".pt", ".pth")):
                found.append((layout.root / "torch" / "hub" / "checkpoints" / file.path, blob))
    return found


def _link(
    blob: Path, name: Path, links: LinkMode, layout: Layout, seen_as: Path | None = None, restore: bool = True
) -> None:
    if links == "symbolic":
        if not blob.exists():
            raise BlobMissing(blob.name)
        _symlink(blob, name, seen_as or name)
        return
    if same_file(blob, name) and links != "copy":
        return
    if links == "copy" and not restore and _usable_copy(blob, name):
        return
    name.parent.mkdir(parents=True, exist_ok=True)
    fresh = layout.temporary("link")
    try:
        if links == "copy" or not _hard(blob, fresh):
            _copy(blob, fresh)
        os.replace(fresh, name)  # a name of an older or broken content is taken over at once
    except FileNotFoundError as exc:
        raise BlobMissing(blob.name) from exc
    finally:
        # rename does nothing when both are the same file already
        fresh.unlink(missing_ok=True)


def _usable_copy(blob: Path, name: Path) -> bool:
    """Whether a copy is there, perhaps rewritten by a loader; an empty one of something is none."""
    try:
        return name.is_file() and not same_file(blob, name) and (name.stat().st_size > 0) == (blob.stat().st_size > 0)
    except FileNotFoundError:
        return False


def _hard(blob: Path, name: Path) -> bool:
    try:
        os.link(blob, name)
    except OSError as exc:
        if exc.errno not in NO_LINKS:
            raise
        return False
    return True


def _copy(blob: Path, name: Path) -> None:
    with open(blob, "rb") as old, open(name, "wb") as new:
        if not reflink(old.fileno(), new.fileno()):
            shutil.copyfileobj(old, new, 8 * 1024 * 1024)


def _symlink(target: Path, name: Path, seen_as: Path) -> None:
    """A relative link, so that the volume may be mounted anywhere. `seen_as` is where the name will be in the end."""
    text = os.path.relpath(target, seen_as.parent)
    with contextlib.suppress(OSError):
        if os.readlink(name) == text:
            return
    name.parent.mkdir(parents=True, exist_ok=True)
    fresh = name.with_name(f".{name.name[:80]}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    os.symlink(text, fresh)
    os.replace(fresh, name)


def missing(layout: Layout, manifest: Manifest) -> str | None:
    """The first file of a tree that is not there with its size, by its name for loaders; None when all are. Reads no
    content: for every start of a worker."""
    look, regular = os.stat, stat.S_IFREG
    try:
        base = os.open(layout.tree(manifest), os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return manifest.files[0].path
    try:
        for file in manifest.files:
            try:
                status = look(file.path, dir_fd=base)  # relative: the way to the folder is walked once
            except OSError:
                return file.path
            size = status.st_size
            if size != file.size and (not size or (file.size or 0) >= COPIED_BELOW_BYTES):
                return file.path  # a small one may have been rewritten by its loader, but not emptied
            if stat.S_IFMT(status.st_mode) != regular:
                return file.path
    finally:
        os.close(base)
    return None


def remove(layout: Layout, manifest: Manifest, kept: list[Manifest]) -> None:
    """Takes away the names of a tree, but those that another kept tree has too. The blobs stay."""
    parsed = manifest.weights.parsed
    same = [m for m in kept if (m.weights.parsed.kind, m.weights.parsed.name) == (parsed.kind, parsed.name)]
    tree = layout.tree(manifest)
    stay = {file.path for m in same if m.revision == manifest.revision for file in m.files}
    if not stay:
        _remove_folder(layout, tree)
    else:
        for file in manifest.files:
            if file.path not in stay:
                (tree / file.path).unlink(missing_ok=True)
    if parsed.kind == "hf":
        _remove_hub_names(layout, manifest, same)
    still = {name for m in kept for name, _ in _extra_names(layout, m)}
    for name, _ in _extra_names(layout, manifest):
        if name not in still:
            name.unlink(missing_ok=True)


def _remove_hub_names(layout: Layout, manifest: Manifest, same: list[Manifest]) -> None:
    repo = hub_repo(layout, manifest.weights.parsed.name)
    stay = {_etag(file) for m in same for file in m.files}
    for file in manifest.files:
        if _etag(file) not in stay:
            (repo / "blobs" / _etag(file)).unlink(missing_ok=True)
    revisions = {m.revision.encode() for m in same}
    for ref in list((repo / "refs").rglob("*")) if (repo / "refs").is_dir() else []:
        with contextlib.suppress(OSError):
            if ref.is_file() and ref.read_bytes().strip() not in revisions:
                ref.unlink()
    if not same:
        _remove_folder(layout, repo)


def _remove_folder(layout: Layout, folder: Path) -> None:
    """Away at once under its name, then bit by bit."""
    trash = layout.temporary("trash")
    try:
        os.rename(folder, trash)
    except FileNotFoundError:
        return
    shutil.rmtree(trash, ignore_errors=True)
