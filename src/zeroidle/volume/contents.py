"""Which files of a manifest the volume has already, under any name, and can be relied on."""

from __future__ import annotations

import contextlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from zeroidle.volume import markers
from zeroidle.volume.digest import Digest
from zeroidle.volume.filejob import Verified
from zeroidle.volume.inherit import PUBLISHED
from zeroidle.volume.layout import Layout, claim, look_anew, replace
from zeroidle.volume.manifest import File, Manifest
from zeroidle.volume.owner import this_boot
from zeroidle.volume.part import journal_of, reflink, write_journal
from zeroidle.volume.progress import Progress
from zeroidle.volume.store import Volume


class Contents:
    """Blobs as one download sees them. A blob is relied on when a complete tree vouches for it, or when this download
    published it since the machine booted; any other one is hashed first: a crash may have left it empty."""

    def __init__(self, volume: Volume, home: Path, progress: Progress) -> None:
        self._layout = volume.layout
        self._home = home
        self._progress = progress
        self._threads = os.cpu_count() or 1

    def known(self, manifest: Manifest, broken: frozenset[str] = frozenset()) -> dict[str, File]:
        """For each path that need not be fetched its file with its hash; `broken` contents count as missing."""
        sure, by_check = self._vouched()
        doubtful: list[File] = []
        found: dict[str, File] = {}
        for file in manifest.files:
            sha256 = file.sha256 or (by_check.get(file.check, "") if file.check else "")
            if not sha256 or sha256 in broken:
                continue
            size = self._size(sha256)
            if size is None or file.size not in (None, size):
                continue
            full = msgspec.structs.replace(file, sha256=sha256, size=size)
            if sha256 in sure:
                found[file.path] = full
            else:
                doubtful.append(full)
        found.update({file.path: file for file in self._right(doubtful)})
        for file in found.values():
            self._progress.found(file.size or 0)
            self._progress.file_done()
        return found

    def _vouched(self) -> tuple[set[str], dict[str, str]]:
        sure: set[str] = set()
        by_check: dict[str, str] = {}
        for marker in markers.all_of(self._layout):
            for file in marker.manifest.files:
                if file.check and file.sha256:
                    by_check[file.check] = file.sha256
                if file.sha256 and markers.trusted(marker):
                    sure.add(file.sha256)
        for sha256, check in self._published():
            sure.add(sha256)
            if check:
                by_check[check] = sha256
        return sure, by_check

    def _published(self) -> list[tuple[str, str]]:
        found = []
        with contextlib.suppress(OSError):
            for line in (self._home / PUBLISHED).read_text().splitlines():
                words = line.split(" ")
                if len(words) == 4 and words[3] == "." and words[0] == this_boot():
                    found.append((words[1], words[2].removeprefix("-")))
        return found

    def _size(self, sha256: str) -> int | None:
        blob = self._layout.blob(sha256)
        for _ in range(2):
            with contextlib.suppress(OSError):
                return blob.stat().st_size
            look_anew(blob.parent)
        return None

    def _right(self, files: list[File]) -> list[File]:
        with ThreadPoolExecutor(self._threads) as pool:
            sums = pool.map(lambda f: hash_file(self._layout.blob(str(f.sha256)))[0], files)
            return [file for file, sha256 in zip(files, sums, strict=True) if file.sha256 == sha256]

    def seed(self, sha256: str) -> None:
        """Makes a part file of a broken blob, with the marks of when it was right: where they differ it is fetched
        again. One without marks is fetched as a whole."""
        blob, marks = self._layout.blob(sha256), read_marks(self._layout, sha256)
        if not marks or not blob.exists():
            return
        target = self._home / f"{sha256}.part"
        with open(blob, "rb") as old, open(target, "wb") as new:
            if not reflink(old.fileno(), new.fileno()):
                shutil.copyfileobj(old, new, 8 * 1024 * 1024)
        write_journal(target, blob.stat().st_size, marks)

    def publish(self, part: Path, file: File, found: Verified) -> None:
        """Gives a complete part file its name by its content, and forgets its journal."""
        blob = self._layout.blob(found.sha256)
        blob.parent.mkdir(parents=True, exist_ok=True)
        if found.marks:
            replace(self._layout.mark(found.sha256), b"".join(found.marks), self._layout)
        if not claim(part, blob):
            self._renew(part, blob, found)
        line = f"{this_boot()} {found.sha256} {file.check or '-'} .\n"
        fd = os.open(self._home / PUBLISHED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)
        part.unlink(missing_ok=True)
        journal_of(part).unlink(missing_ok=True)

    def _renew(self, part: Path, blob: Path, found: Verified) -> None:
        """Somebody has that blob already; ours takes its place when theirs is not what it should be."""
        with contextlib.suppress(OSError):
            if blob.stat().st_size == found.size and hash_file(blob)[0] == found.sha256:
                return
        os.replace(part, blob)


def hash_file(path: Path, check: str | None = None, size: int | None = None) -> tuple[str, str | None, list[bytes]]:
    """The SHA-256 of a file, what differs from `check` (None when nothing does), and its marks."""
    digest = Digest(check, size)
    buffer = memoryview(bytearray(1024 * 1024))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while (got := os.readv(fd, [buffer])) > 0:
            digest.update(buffer[:got])
    finally:
        os.close(fd)
    return digest.sha256, digest.fault(None), digest.marks


def read_marks(layout: Layout, sha256: str) -> list[bytes]:
    """The prefix digests of a blob; empty when none were kept."""
    try:
        data = layout.mark(sha256).read_bytes()
    except OSError:
        return []
    return [data[i : i + 16] for i in range(0, len(data), 16)]
