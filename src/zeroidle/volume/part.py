"""A file that is being fetched: its bytes at their places, and a journal of which are there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import zlib
from pathlib import Path

from zeroidle.volume.digest import MARK_BYTES, MARK_LENGTH
from zeroidle.volume.owner import this_boot
from zeroidle.volume.ranges import Ranges

_FICLONE = 0x40049409


class Part:
    """One part file, written by one process only. `done` are the ranges that were written, `marks` the prefix digests
    that were seen.

    The journal is lines of text, each with a checksum, so that one cut short by a crash is left out: `B` the boot,
    `R` a range, `M` a mark, `X` everything forgotten. After another boot only the stretch that the marks cover is
    trusted, for what was in memory only may be gone.
    """

    def __init__(self, path: Path, journaled: bool = True) -> None:
        self.path = path
        self.done = Ranges()
        self.marks: list[bytes] = []
        self._lock = threading.Lock()
        self._journaled = journaled
        self._fd = -1
        self._journal = -1
        if journaled:
            self._load()

    def _open(self) -> int:
        """Opened by the first who writes or reads: a source may have more files than a process may hold open."""
        if self._fd < 0:
            with self._lock:
                if self._fd < 0:
                    if self._journaled:
                        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                        self._journal = os.open(journal_of(self.path), flags, 0o644)
                        self._note(f"B {this_boot()}")
                    self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._fd

    def write(self, at: int, data: memoryview) -> None:
        """Writes bytes at their place. OSError (ENOSPC) leaves what was noted before as it was."""
        fd, start = self._open(), at
        while len(data):
            size = os.pwrite(fd, data, at)
            at += size
            data = data[size:]
        self._note(f"R {start} {at}")
        with self._lock:
            self.done.add(start, at)

    def end_from(self, start: int) -> int:
        """How far the bytes are there without a gap."""
        with self._lock:
            return self.done.end_from(start)

    def read(self, at: int, view: memoryview) -> int:
        """Reads back what was written."""
        return os.preadv(self._open(), [view], at)

    def mark(self, marks: list[bytes]) -> None:
        """Notes the prefix digests that are new."""
        self._open()
        for index in range(len(self.marks), len(marks)):
            self._note(f"M {index} {marks[index].hex()}")
            self.marks.append(marks[index])

    def forget(self, start: int, end: int) -> None:
        """Takes a range back, because its bytes are wrong."""
        self._open()
        with self._lock:
            self.done.remove(start, end)
            self._rewrite()

    def reset(self) -> None:
        """Begins anew: nothing of what is there can be used."""
        fd = self._open()
        with self._lock:
            self._note("X")
            os.ftruncate(fd, 0)
            self.done, self.marks = Ranges(), []

    def reset_unless_empty(self) -> None:
        """Begins anew when something is there."""
        if self.done.total:
            self.reset()

    def finish(self, size: int) -> None:
        """Cuts it to its length and closes it: from here on nobody writes into it."""
        fd = self._open()
        if os.fstat(fd).st_size != size:
            os.ftruncate(fd, size)
        os.fchmod(fd, 0o444)
        self.close()

    def close(self) -> None:
        """Closes the files and keeps them, to go on later."""
        for fd in (self._fd, self._journal):
            if fd >= 0:
                os.close(fd)
        self._fd = self._journal = -1

    def _note(self, line: str) -> None:
        if self._journal >= 0:
            os.write(self._journal, _line(line))

    def _load(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            size = self.path.stat().st_size
            done, self.marks, boot = read_journal(journal_of(self.path))
            if boot != this_boot():
                prefix = len(self.marks) * MARK_BYTES
                done = Ranges()
                done.add(0, prefix)
            done.remove(size, 1 << 62)
            self.done = done

    def _rewrite(self) -> None:
        self._note("X")
        for start, end in self.done:
            self._note(f"R {start} {end}")
        for index, mark in enumerate(self.marks):
            self._note(f"M {index} {mark.hex()}")


def _line(text: str) -> bytes:
    return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()


def write_journal(part: Path, size: int, marks: list[bytes]) -> None:
    """Says of a part file that its first `size` bytes are there, and what their marks should be."""
    lines = [f"B {this_boot()}", f"R 0 {size}", *(f"M {index} {mark.hex()}" for index, mark in enumerate(marks))]
    journal_of(part).write_bytes(b"".join(map(_line, lines)))


def journal_of(part: Path) -> Path:
    """The journal beside a part file."""
    return part.with_suffix(".journal")


def read_journal(path: Path) -> tuple[Ranges, list[bytes], str]:
    """The ranges, the marks and the boot that a journal tells of."""
    done, marks, boot = Ranges(), list[bytes](), ""
    for raw in path.read_bytes().split(b"\n"):
        line, _, check = raw.rpartition(b" ")
        if f"{zlib.crc32(line):08x}".encode() != check:
            continue
        kind, *words = line.decode().split(" ")
        if kind == "R":
            done.add(int(words[0]), int(words[1]))
        elif kind == "M" and int(words[0]) == len(marks) and len(words[1]) == 2 * MARK_LENGTH:
            marks.append(bytes.fromhex(words[1]))
        elif kind == "B":
            # What an earlier boot wrote is not made sure by a later one: the first boot that is noted counts.
            boot = boot or words[0]
        elif kind == "X":
            done, marks = Ranges(), []
    return done, marks, boot


def reflink(source: int, target: int) -> bool:
    """Shares the bytes of one open file with another, where the file system can; False where it cannot."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise
        return False
    return True


def copy_part(source: Path, target: Path) -> None:
    """Copies a part file and its journal, which somebody may still be writing: the journal first, so that every range
    it names is in the copy."""
    with contextlib.suppress(FileNotFoundError):
        journal = journal_of(source).read_bytes()
        done, _, _ = read_journal(journal_of(source))
        copied = target.with_suffix(".copying")
        with open(source, "rb") as old, open(copied, "wb") as new:
            if not reflink(old.fileno(), new.fileno()):
                for start, end in done:
                    _copy_range(old.fileno(), new.fileno(), start, end)
        journal_of(target).write_bytes(journal)
        os.replace(copied, target)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        data = os.pread(source, min(end - start, 8 * 1024 * 1024), start)
        if not data:
            return
        os.pwrite(target, data, start)
        start += len(data)
