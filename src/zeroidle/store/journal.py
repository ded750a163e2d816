"""The way to the process that writes: hands it batches in order and tells when each is durable, or why it is not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from zeroidle.errors import StoreError, StoreFull
from zeroidle.store.batch import Batch
from zeroidle.store.committer import Answer, packed, spawn, start
from zeroidle.store.group import Done

log = logging.getLogger(__name__)

_READ_BYTES = 65_536
#: After the writing process died, another one is started at once, then again and again after longer and longer times.
_AGAIN_S, _AGAIN_MAX_S = 0.1, 5.0

_decode = msgspec.json.Decoder(Answer).decode


class _Flying(Struct, eq=False):
    """A batch that was submitted. `sent`: a process may have read it."""

    number: int
    data: bytes
    done: Done
    sent: bool = False


class Journal:
    """Starts the writing process and speaks to it, one batch at a time. All methods are called on one loop.

    When the process dies with a batch, the next one says which batch the file has seen last: this one, then it is
    durable, or the one before, then it is sent again. Until that is known, whoever waits goes on waiting.
    """

    def __init__(self, path: Path, spool: Path) -> None:
        self._path = path
        self._spool = spool
        self._keep: list[int] = []
        self.pid = 0
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop
        self._opening: asyncio.Future[None] | None = None  # of `start`
        self._ready = False  # the process has opened the file
        self._ending = False
        self._number = 0
        self._flying: _Flying | None = None
        self._unsent = memoryview(b"")
        self._answer = b""
        self._deaths = 0
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, keep: list[int]) -> None:
        """Starts the process, which makes or opens the file and holds the descriptors `keep`. Raises StoreError."""
        self._loop = asyncio.get_running_loop()
        self._keep = keep
        self._opening = self._loop.create_future()
        try:
            self._begin(start)
            await self._opening
        except BaseException as exc:
            await self.stop(at_once=True)
            if isinstance(exc, OSError):
                raise StoreError(f"No process can be started that writes the job store: {exc.strerror}.") from exc
            raise
        finally:
            self._opening = None

    def submit(self, batch: Batch, done: Done) -> None:
        """Writes a batch; `done` is called on the loop. The one before must have been answered. Raises ValueError
        when it holds what cannot be written; then `done` is not called."""
        data = packed(self._number + 1, batch)
        self._number += 1
        self._flying = _Flying(self._number, data, done)
        if self._ready:
            self._send(self._flying)

    def end(self) -> None:
        """From now on a batch whose process died fails when the next one cannot be had: nobody can wait for ever."""
        self._ending = True

    async def stop(self, at_once: bool = False) -> None:
        """Ends the process; it has closed the file then."""
        if self._timer is not None:
            self._timer.cancel()
        ours, self._socket, self._ready = self._socket, None, False
        if ours is not None:
            self._forget(ours)
            if at_once:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            await asyncio.to_thread(_exit_code, self.pid)

    # The process

    def _begin(self, how: Callable[[Path, Path, list[int]], tuple[int, socket.socket]]) -> None:
        self.pid, ours = how(self._path, self._spool, self._keep)
        ours.setblocking(False)
        self._socket = ours
        self._loop.add_reader(ours, self._read, ours)

    def _forget(self, ours: socket.socket) -> None:
        self._loop.remove_reader(ours)
        if self._unsent:
            self._loop.remove_writer(ours)
        self._unsent, self._answer = memoryview(b""), b""
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)  # a process that was forked meanwhile may have a copy
        ours.close()

    def _died(self, ours: socket.socket) -> None:
        """Its end of the socket is closed."""
        self._socket, was_ready, self._ready = None, self._ready, False
        self._forget(ours)
        code = _exit_code(self.pid)  # it has ended, or is about to
        if self._opening is not None:
            if not self._opening.done():
                self._opening.set_exception(StoreError(f"The process that writes the job store ended ({code})."))
            return
        log.error("store.writer_ended exit=%d", code)
        if not was_ready:
            self._no_writer(StoreError("The process that writes the job store cannot be started; see the plane's log."))
        self._later()

    def _later(self) -> None:
        delay_s = min(_AGAIN_S * 2 ** min(self._deaths, 16), _AGAIN_MAX_S) if self._deaths else 0.0
        self._deaths += 1
        self._timer = self._loop.call_later(delay_s, self._again)

    def _again(self) -> None:
        try:
            self._begin(spawn)
        except Exception as exc:
            log.error("store.no_writer error=%s", exc)
            self._no_writer(StoreError(f"No process can be started that writes the job store: {exc}."))
            self._later()

    def _no_writer(self, error: StoreError) -> None:
        """What no process has read fails; what one may have committed waits for the process that can tell."""
        flying = self._flying
        if flying is not None and (self._ending or not flying.sent):
            self._settle(error)

    # The socket

    def _send(self, flying: _Flying) -> None:
        self._unsent = memoryview(flying.data)
        self._send_more(first=True)

    def _send_more(self, first: bool = False) -> None:
        ours = self._socket
        assert ours is not None
        try:
            sent = ours.send(self._unsent)
            if self._flying is not None:
                self._flying.sent = True
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            sent = len(self._unsent)  # it has died, which the reader is told
        self._unsent = self._unsent[sent:]
        if first and self._unsent:
            self._loop.add_writer(ours, self._send_more)
        elif not first and not self._unsent:
            self._loop.remove_writer(ours)

    def _read(self, ours: socket.socket) -> None:
        try:
            data = ours.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._died(ours)
            return
        self._answer += data
        if not data.endswith(b"\n"):
            return
        answer, self._answer = _decode(self._answer), b""
        error = None if answer.error is None else (StoreFull if answer.full else StoreError)(answer.error)
        if not self._ready:
            self._greeted(answer.last, error)
        elif self._flying is not None:
            self._deaths = 0
            self._settle(error)

    def _settle(self, error: StoreError | None) -> None:
        flying, self._flying = self._flying, None
        assert flying is not None
        flying.done(error)

    def _greeted(self, last: int, error: StoreError | None) -> None:
        """The process has opened the file, or could not, and ends then."""
        if error is not None:
            if self._opening is not None and not self._opening.done():
                self._opening.set_exception(error)
            elif self._opening is None:
                log.error("store.not_opened error=%s", error)
                self._no_writer(error)
            return
        self._ready = True
        if self._opening is not None:
            self._number = last
            if not self._opening.done():
                self._opening.set_result(None)
            return
        log.warning("store.writes_again")
        flying = self._flying
        if flying is None:
            return
        if flying.sent and flying.number == last:
            self._settle(None)
        else:
            self._send(flying)


def _exit_code(pid: int) -> int:
    """Waits for the end of a process; -1 when somebody else has done so."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return -1
