"""The running hash of a file, with prefix digests on the way that tell where a bad stretch lies."""

from __future__ import annotations

import hashlib

MARK_BYTES = 16 * 1024 * 1024
MARK_LENGTH = 16


class Damage(Exception):
    """The bytes up to the next mark are not those that were seen before."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__(f"bytes {start} to {end} have changed")
        self.start = start
        self.end = end


class Digest:
    """SHA-256 over a file in order, and beside it the other digest that a source promises ("git-sha1" or "md5").

    At every `MARK_BYTES` the digest so far is kept as a mark. With the marks of an earlier pass, `update` raises
    Damage at the first stretch that differs and stands again at its start, so that only it need be fetched again.
    """

    def __init__(self, check: str | None = None, size: int | None = None, expected: list[bytes] | None = None) -> None:
        self.at = 0
        self.marks: list[bytes] = []
        self._expected = expected or []
        self._doubt: int | None = None
        self._sha256 = hashlib.sha256()
        self._check = check
        self._other = _other(check, size)
        self._kept = (self._sha256.copy(), self._other and self._other.copy())

    def update(self, data: memoryview) -> None:
        """Takes the bytes that follow. Raises Damage, see above."""
        while len(data):
            step = min(len(data), MARK_BYTES - self.at % MARK_BYTES)
            piece = data[:step]
            self._sha256.update(piece)
            if self._other is not None:
                self._other.update(piece)
            self.at += step
            data = data[step:]
            if self.at % MARK_BYTES == 0:
                self._mark()

    def _mark(self) -> None:
        mark = self._sha256.digest()[:MARK_LENGTH]
        index = len(self.marks)
        if index < len(self._expected) and self._expected[index] != mark:
            if index != self._doubt:
                self._doubt = index
                start, end = self.at - MARK_BYTES, self.at
                self.at = start
                self._sha256, self._other = self._kept[0].copy(), self._kept[1] and self._kept[1].copy()
                raise Damage(start, end)
            # Fetched again and still different: it is the old marks that are wrong, and the whole hash decides.
            self._expected = []
        self.marks.append(mark)
        self._kept = (self._sha256.copy(), self._other and self._other.copy())

    def rewind(self) -> int:
        """Stands again at the last mark; the bytes after it are in doubt. Returns where that is."""
        self.at = len(self.marks) * MARK_BYTES
        self._sha256, self._other = self._kept[0].copy(), self._kept[1] and self._kept[1].copy()
        return self.at

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes so far, in hexadecimal."""
        return self._sha256.hexdigest()

    def fault(self, sha256: str | None) -> str | None:
        """What differs from the promise, as "sha256 is X, expected Y"; None when all is right."""
        if sha256 is not None and self.sha256 != sha256:
            return f"sha256 is {self.sha256}, expected {sha256}"
        if self._other is not None and self._check is not None:
            name, _, wanted = self._check.partition(":")
            if self._other.hexdigest() != wanted:
                return f"{name} is {self._other.hexdigest()}, expected {wanted}"
        return None


def _other(check: str | None, size: int | None) -> hashlib._Hash | None:
    name = check.partition(":")[0] if check else None
    if name == "md5":
        return hashlib.md5(usedforsecurity=False)
    if name == "git-sha1" and size is not None:
        found = hashlib.sha1(usedforsecurity=False)
        found.update(b"blob %d\0" % size)
        return found
    return None
