"""The process that writes: reads batches from a socket, commits each, and says that it is durable, or why it is not.

It has a Python of its own, so that a commit neither takes the plane's event loop the interpreter nor waits for it. It
ends when the plane does.
"""

from __future__ import annotations

import gc
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from zeroidle.errors import StoreError, StoreFull
from zeroidle.store.batch import Batch, BatchWriter
from zeroidle.store.database import connect, explain, last_batch, prepare, read_queries
from zeroidle.store.rows import text
from zeroidle.store.spool import Spool

#: Before each batch stand its size and its number, in so many bytes each, the highest first.
_WORD_BYTES: Final = 8
#: Marshal's format without references between objects, which cost more to look for than they save.
_FORMAT: Final = 2

#: Ctrl-C and a supervisor's stop reach the whole process group; the plane still has to commit what ends until then.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_MAX_FD: Final = 1 << 20

#: What a new interpreter runs: the plane's path for imports and none of the working folder, which is the user's.
_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); "
    "from zeroidle.store.committer import main; main(*sys.argv[1:])"
)


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """The number of the last batch that is committed; what came of the one before it, or of the opening of the file:
    no error, or its sentence and whether the disk is full."""

    last: int
    error: str | None = None
    full: bool = False


def packed(number: int, batch: Batch) -> bytes:
    """A batch as the process reads it. Raises ValueError when it holds what is no value of a column."""
    data = marshal.dumps(msgspec.structs.astuple(batch), _FORMAT)
    return len(data).to_bytes(_WORD_BYTES, "big") + number.to_bytes(_WORD_BYTES, "big") + data


def start(path: Path, spool: Path, keep: list[int]) -> tuple[int, socket.socket]:
    """Starts the process: its number and the plane's end of the socket. Its first answer says whether the file, which
    it makes when there is none, could be opened. `keep` are descriptors that it holds until it ends. Raises OSError.

    It is a fork, which takes milliseconds and shares its memory, unless there are other threads: one inside SQLite
    would leave its locks behind. Nothing here may have the file open, because SQLite takes the locks of the process
    that it began in for its own.
    """
    if threading.active_count() > 1:
        return spawn(path, spool, keep, make=True)
    ours, theirs = _pair()
    plane = os.getpid()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads that Python does not know
            pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid:
        theirs.close()
        return pid, ours
    code = 1
    try:
        _stand_alone({theirs.fileno(), *keep})
        _serve(path, Spool(spool), theirs, plane, make=True)
        code = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def spawn(path: Path, spool: Path, keep: list[int], make: bool = False) -> tuple[int, socket.socket]:
    """The same as a new interpreter, also when the file is open here. Without `make` there must be a file."""
    ours, theirs = _pair()
    try:
        fds = [theirs.fileno(), *keep]
        words = [path, spool, int(make), os.getpid(), *fds]
        argv = [sys.executable or "python3", "-P", "-c", _PROGRAM, "\n".join(map(os.path.abspath, sys.path))]
        process = subprocess.Popen(
            [*argv, *map(str, words)], pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    process.returncode = 0  # who called waits for it
    return process.pid, ours


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(True)  # whatever socket.setdefaulttimeout says
    return ours, theirs


def _stand_alone(keep: set[int]) -> None:
    """Lets go of all that belongs to the plane."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) != signal.SIG_IGN:  # Python does not know of handlers that C code has set
            signal.signal(number, signal.SIG_DFL)
    _ignore_wishes()
    gc.disable()
    gc.freeze()  # what was the plane's is never looked at, so its pages stay shared
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, min(os.sysconf("SC_OPEN_MAX"), _MAX_FD))


def _ignore_wishes() -> None:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)


def _serve(path: Path, spool: Spool, socket_: socket.socket, plane: int, make: bool) -> None:
    try:
        if not make and not path.exists():
            raise StoreError(f"The job store {path} is gone; stop the plane and put it back.")
        prepare(path)
        db = connect(path, writer=True)
        last = last_batch(db)
    except Exception as exc:
        _answer(socket_, -1, exc, path)
        return
    try:
        writer = BatchWriter(db, read_queries())
        _answer(socket_, last, None, path)
        with socket_.makefile("rb") as source:
            waiting = _Waiting(socket_, plane)  # `source` holds nothing back: no batch comes before the answer
            while waiting.more() and (found := _read(source)) is not None:
                number, data = found
                error: Exception | None = None
                batch = None
                try:
                    batch = Batch(*marshal.loads(data))
                    writer.commit(number, batch)
                    last = number
                except Exception as exc:
                    error = exc
                _answer(socket_, last, error, path)
                if error is None and batch is not None and batch.files:
                    spool.remove(batch.files)
    finally:
        db.close()


class _Waiting:
    """Waits for batches while the plane lives. The end of the socket alone does not tell when it is gone: a process
    that it forked may have a copy."""

    def __init__(self, socket_: socket.socket, plane: int) -> None:
        self._poll = select.poll()
        self._poll.register(socket_, select.POLLIN)
        self._socket = socket_.fileno()
        self._alive = True
        with suppress(AttributeError, OSError):  # Linux only
            self._poll.register(os.pidfd_open(plane), select.POLLIN)
            self._alive = os.getppid() == plane  # else the number may be another's by now

    def more(self) -> bool:
        """Whether there is something to read; False when the plane is gone."""
        return self._alive and any(fd == self._socket for fd, _ in self._poll.poll())


def _read(source: BinaryIO) -> tuple[int, bytes] | None:
    """Number and data of one batch; None when the plane is gone or has said that there is no more."""
    head = source.read(2 * _WORD_BYTES)
    if len(head) < 2 * _WORD_BYTES:
        return None
    size_bytes = int.from_bytes(head[:_WORD_BYTES], "big")
    data = source.read(size_bytes)
    return (int.from_bytes(head[_WORD_BYTES:], "big"), data) if len(data) == size_bytes else None


def _answer(plane: socket.socket, last: int, exc: Exception | None, path: Path) -> None:
    error = None if exc is None else explain(exc, path)
    answer = Answer(last) if error is None else Answer(last, text(error.message), isinstance(error, StoreFull))
    with suppress(OSError):  # the plane is gone; the next read tells
        plane.sendall(msgspec.json.encode(answer) + b"\n")


def main(path: str, spool: str, make: str, plane: str, fd: str, *keep: str) -> None:
    """What a new interpreter does; the descriptors `keep` are held by being open."""
    _ignore_wishes()
    socket_ = socket.socket(fileno=int(fd))
    socket_.setblocking(True)
    _serve(Path(path), Spool(Path(spool)), socket_, int(plane), make == "1")
