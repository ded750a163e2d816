"""The espeak-ng program as warm child processes: one line in, its IPA out, one process per voice."""

from __future__ import annotations

import os
import re
import secrets
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .errors import EngineError, InputError, MissingProgram

#: espeak-ng reads its input by fgets into 1,000 bytes; a longer line would be cut, perhaps inside a character.
MAX_LINE_BYTES = 900
#: What is written before the answers are read; far less than a pipe holds, so a write can never block.
_BURST_BYTES = 8_000
_VOICE_LINE = re.compile(r"\s*\d+\s+(\S+)\s+\S+\s+(\S+)\s+(\S+)\s*(.*)")
_ALIAS = re.compile(r"\((\S+) \d+\)")


@dataclass(frozen=True, slots=True)
class Voice:
    """A language of espeak-ng: its tag, its English name, the voice file and other tags for it."""

    language: str
    name: str
    file: str
    aliases: tuple[str, ...]


def program() -> str:
    """The path of the espeak-ng program. Raises MissingProgram."""
    path = shutil.which("espeak-ng")
    if path is None:
        raise MissingProgram(
            'The program "espeak-ng" is not installed on this worker: run "apt-get install espeak-ng" '
            '(Debian, Ubuntu), "dnf install espeak-ng" (Fedora) or "brew install espeak-ng" (macOS).'
        )
    return path


@lru_cache(maxsize=1)
def version() -> str:
    """The version of espeak-ng, such as "1.51"."""
    found = re.search(r"(\d+\.\d[\w.-]*)", _output("--version"))
    return found.group(1) if found else "unknown"


@lru_cache(maxsize=1)
def voices() -> dict[str, Voice]:
    """All languages of the installed espeak-ng, by tag in lower case."""
    found: dict[str, Voice] = {}
    for line in _output("--voices").splitlines():
        match = _VOICE_LINE.fullmatch(line)
        if match is None:
            continue
        tag, name, file, rest = match.groups()
        if tag.lower() in found:  # two voices under one tag: the file tells them apart
            tag = file.rsplit("/", 1)[-1]
        aliases = tuple(alias.lower() for alias in _ALIAS.findall(rest))
        found[tag.lower()] = Voice(tag.lower(), name.replace("_", " ").strip(), file, aliases)
    return found


def _output(flag: str) -> str:
    done = subprocess.run([program(), flag], capture_output=True, text=True, encoding="utf-8", timeout=20, check=False)
    return done.stdout


class Espeak:
    """One warm espeak-ng process for one voice.

    espeak-ng marks no end of an answer, so each line of text is followed by a line of a secret phoneme string (its
    `[[...]]` input, which callers cannot write: `[` never reaches it). The answer ends where that string comes back.
    """

    def __init__(self, voice: Voice, timeout_s: float = 20.0, *, names: bool = False) -> None:
        """Starts the process; with `names` it prints espeak-ng's own names of phonemes instead of IPA. Raises
        MissingProgram or EngineError."""
        self.voice = voice
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._buffer = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        self._process = subprocess.Popen(
            [program(), "-q", "-x" if names else "--ipa", "--sep=_", "-b", "1", "-v", voice.file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        nonce = "".join(secrets.choice("ptk") for _ in range(24))
        self._fence = f"[[{nonce}]]\n".encode()
        self._mark = b""
        try:
            self._mark = self._handshake()
        except EngineError:
            self.close()
            raise

    def _handshake(self) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        self._write(self._fence * 2)
        first, second = self._line(deadline), self._line(deadline)
        if first != second or len(first) < 24:
            raise EngineError(f'espeak-ng has no usable data for language "{self.voice.language}" on this worker.')
        return first

    def incomplete(self) -> bool:
        """True when espeak-ng said that its dictionary for this language is not installed in full."""
        self._errors.seek(0)
        return b"Full dictionary is not installed" in self._errors.read(4096)

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        """The IPA of each line as clauses; phones are separated by "_", words by blanks.

        A line must hold no line break and no "[", and at most MAX_LINE_BYTES bytes. Raises EngineError when the
        process dies or does not answer in time; it is then of no further use.
        """
        with self._lock:
            answers: list[list[str]] = []
            for burst in _bursts(lines):
                deadline = time.monotonic() + self._timeout_s
                self._write(b"".join(line + b"\n" + self._fence for line in burst))
                answers += [self._answer(deadline) for _ in burst]
            return answers

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _answer(self, deadline: float) -> list[str]:
        clauses = []
        while (line := self._line(deadline)) != self._mark:
            if line.strip():
                clauses.append(line.decode("utf-8", "replace").strip())
        return clauses

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._buffer:
            left_s = deadline - time.monotonic()
            ready, _, _ = select.select([self._process.stdout], [], [], max(left_s, 0.0))
            chunk = os.read(self._process.stdout.fileno(), 65_536) if ready else b""
            if not chunk:
                raise EngineError(self._trouble(timed_out=not ready))
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            while data:
                data = data[self._process.stdin.write(data) or 0 :]
        except BrokenPipeError as exc:
            raise EngineError(self._trouble(timed_out=False)) from exc

    def _trouble(self, *, timed_out: bool) -> str:
        if timed_out:
            return f'espeak-ng did not answer within {self._timeout_s:g} s (language "{self.voice.language}").'
        self._errors.seek(0)
        said = self._errors.read(500).decode("utf-8", "replace").strip().replace("\n", " ") or "no message"
        return f'espeak-ng ended unexpectedly (language "{self.voice.language}"): {said}'


def _bursts(lines: Sequence[str]) -> list[list[bytes]]:
    bursts: list[list[bytes]] = [[]]
    size = 0
    for line in lines:
        data = line.encode("utf-8")
        if len(data) > MAX_LINE_BYTES or "\n" in line or "\r" in line or "[" in line or "\0" in line:
            raise InputError("A line for espeak-ng must be one short line without brackets.")
        if size + len(data) > _BURST_BYTES:
            bursts.append([])
            size = 0
        bursts[-1].append(data)
        size += len(data) + 32
    return [burst for burst in bursts if burst]


class Pool:
    """Warm espeak-ng processes, the least recently used voice given up first."""

    def __init__(self, size: int = 8) -> None:
        self._size = size
        self._warm: OrderedDict[str, Espeak] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, voice: Voice, lines: Sequence[str], *, names: bool = False) -> list[list[str]]:
        """As Espeak.ask, in IPA or by the names of phonemes; a process that died is replaced once."""
        with self._lock:  # one text at a time: an answer takes a millisecond
            try:
                return self._get(voice, names).ask(lines)
            except EngineError:
                self._drop(voice, names)
            try:
                return self._get(voice, names).ask(lines)
            except EngineError:
                self._drop(voice, names)
                raise

    def incomplete(self, voice: Voice) -> bool:
        """True when the dictionary of this language is not installed in full."""
        with self._lock:
            return self._get(voice).incomplete()

    def close(self) -> None:
        """Ends all processes."""
        with self._lock:
            for espeak in self._warm.values():
                espeak.close()
            self._warm.clear()

    def _get(self, voice: Voice, names: bool = False) -> Espeak:
        key = _key(voice, names)
        if key not in self._warm:
            while len(self._warm) >= self._size:
                self._warm.popitem(last=False)[1].close()
            self._warm[key] = Espeak(voice, names=names)
        self._warm.move_to_end(key)
        return self._warm[key]

    def _drop(self, voice: Voice, names: bool) -> None:
        espeak = self._warm.pop(_key(voice, names), None)
        if espeak is not None:
            espeak.close()


def _key(voice: Voice, names: bool) -> str:
    return f"{voice.file} by name" if names else voice.file
