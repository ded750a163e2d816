"""The process that writes: reads batches from a socket, commits each, and says that it is durable, or why it is not.

It has a Python of its own, so that a commit neither takes the plane's event loop the interpreter nor waits for it. It
ends when the plane does: the socket then has an end.
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from zeroidle.errors import StoreFull
from zeroidle.store.batch import Batch, BatchWriter
from zeroidle.store.database import connect, explain, prepare, read_queries
from zeroidle.store.spool import Spool

#: Before each batch stands its size, in so many bytes, the highest first.
_SIZE_BYTES: Final = 8
#: Marshal's format without references between objects, which cost more to look for than they save.
_FORMAT: Final = 2

#: Ctrl-C and a supervisor's stop reach the whole process group; the plane still has to commit what ends until then.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_MAX_FD: Final = 1 << 20


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """What came of a batch: no error, or its sentence and whether the disk is full."""

    error: str | None = None
    full: bool = False


def packed(batch: Batch) -> bytes:
    """A batch as the process reads it."""
    data = marshal.dumps(msgspec.structs.astuple(batch), _FORMAT)
    return len(data).to_bytes(_SIZE_BYTES, "big") + data


def fork(path: Path, spool: Path, keep: list[int]) -> tuple[int, socket.socket]:
    """Starts the process as a fork, in milliseconds and on shared memory: its number and the plane's end of the
    socket. Its first answer says whether the file could be opened. `keep` are descriptors that it holds until it ends.

    No thread may be inside SQLite, and nothing here may have the file open: SQLite takes the locks of the process
    that it began in for its own. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns when there are other threads; the child uses nothing that they may have locked.
            warnings.simplefilter("ignore", DeprecationWarning)
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
        _serve(path, Spool(spool), theirs)
        code = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def spawn(path: Path, spool: Path, keep: list[int]) -> tuple[int, socket.socket]:
    """The same as a new interpreter, when the file is open here. Raises OSError."""
    ours, theirs = socket.socketpair()
    try:
        fds = [theirs.fileno(), *keep]
        argv = [sys.executable, "-m", "zeroidle.store.committer", str(path), str(spool), *map(str, fds)]
        process = subprocess.Popen(argv, pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    process.returncode = 0  # who called waits for it
    return process.pid, ours


def _stand_alone(keep: set[int]) -> None:
    """Lets go of all that belongs to the plane."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
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


def _serve(path: Path, spool: Spool, plane: socket.socket) -> None:
    try:
        prepare(path)
        db = connect(path, writer=True)
    except Exception as exc:
        _answer(plane, exc, path)
        return
    try:
        writer = BatchWriter(db, read_queries())
        _answer(plane, None, path)
        with plane.makefile("rb") as source:
            while (data := _read(source)) is not None:
                error: Exception | None = None
                batch = None
                try:
                    batch = Batch(*marshal.loads(data))
                    writer.commit(batch)
                except Exception as exc:
                    error = exc
                _answer(plane, error, path)
                if error is None and batch is not None and batch.files:
                    spool.remove(batch.files)
    finally:
        db.close()


def _read(source: BinaryIO) -> bytes | None:
    """One batch; None when the plane is gone or has said that there is no more."""
    size = source.read(_SIZE_BYTES)
    if len(size) < _SIZE_BYTES:
        return None
    size_bytes = int.from_bytes(size, "big")
    data = source.read(size_bytes)
    return data if len(data) == size_bytes else None


def _answer(plane: socket.socket, exc: Exception | None, path: Path) -> None:
    error = None if exc is None else explain(exc, path)
    answer = Answer() if error is None else Answer(error.message, isinstance(error, StoreFull))
    with suppress(OSError):  # the plane is gone; the next read tells
        plane.sendall(msgspec.json.encode(answer) + b"\n")


def _main(path: str, spool: str, plane: str, *keep: str) -> None:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _serve(Path(path), Spool(Path(spool)), socket.socket(fileno=int(plane)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
