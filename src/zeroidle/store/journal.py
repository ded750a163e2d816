"""The way to the process that writes: hands it batches in order and tells when each is durable, or why it is not."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from zeroidle.errors import StoreError, StoreFull
from zeroidle.store.batch import Batch
from zeroidle.store.committer import Answer, fork, packed, spawn
from zeroidle.store.group import Done

log = logging.getLogger(__name__)

_READ_BYTES = 65_536
#: After the writing process died, another one is started at once, then again and again after longer and longer times.
_AGAIN_S, _AGAIN_MAX_S = 0.1, 5.0

_decode = msgspec.json.Decoder(Answer).decode


class Journal:
    """Starts the writing process and speaks to it, one batch at a time. All methods are called on one loop.

    When the process dies with a batch, nobody knows whether that was committed. So the next one gets the batch again,
    in a form that does no harm if it was, and whoever waits goes on waiting.
    """

    def __init__(self, path: Path, spool: Path) -> None:
        self._path = path
        self._spool = spool
        self._keep: list[int] = []
        self.pid = 0
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop
        self._opened: asyncio.Future[None] | None = None  # until the process has opened the file
        self._flying: tuple[Batch, Done] | None = None
        self._unsent = memoryview(b"")
        self._answer = b""
        self._deaths = 0
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, keep: list[int]) -> None:
        """Starts the process, which makes or opens the file and holds the descriptors `keep`. Raises StoreError."""
        self._loop = asyncio.get_running_loop()
        self._keep = keep
        self._opened = self._loop.create_future()
        try:
            self._begin(fork)
            await self._opened
        except BaseException as exc:
            self._opened = None
            await self.stop()
            if isinstance(exc, OSError):
                raise StoreError(f"No process can be started that writes the job store: {exc.strerror}.") from exc
            raise

    def submit(self, batch: Batch, done: Done) -> None:
        """Writes a batch; `done` is called on the loop. The one before must have been answered."""
        self._flying = batch, done
        if self._opened is None and self._socket is not None:
            self._send(batch)

    async def stop(self) -> None:
        """Ends the process; it has closed the file then."""
        if self._timer is not None:
            self._timer.cancel()
        ours, self._socket = self._socket, None
        if ours is not None:
            self._forget(ours)
            await asyncio.to_thread(os.waitpid, self.pid, 0)

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
        ours.close()

    def _died(self, ours: socket.socket) -> None:
        """Its end of the socket is closed."""
        self._socket = None
        self._forget(ours)
        _, status = os.waitpid(self.pid, 0)  # it has ended, or is about to
        code = os.waitstatus_to_exitcode(status)
        if self._opened is not None and self._deaths == 0:
            if not self._opened.done():
                self._opened.set_exception(StoreError(f"The process that writes the job store ended ({code})."))
            return
        if self._opened is None and self._flying is not None:
            self._flying[0].again = True  # it was sent, so it may be in the file
        self._opened = self._loop.create_future()
        delay_s = min(_AGAIN_S * 2 ** min(self._deaths, 16), _AGAIN_MAX_S) if self._deaths else 0.0
        self._deaths += 1
        log.error("store.writer_ended exit=%d again_in_s=%.1f", code, delay_s)
        self._timer = self._loop.call_later(delay_s, self._again)

    def _again(self) -> None:
        try:
            self._begin(spawn)
        except OSError as exc:
            log.error("store.no_writer error=%s", exc)
            self._timer = self._loop.call_later(_AGAIN_MAX_S, self._again)

    # The socket

    def _send(self, batch: Batch) -> None:
        self._unsent = memoryview(packed(batch))
        self._send_more(first=True)

    def _send_more(self, first: bool = False) -> None:
        ours = self._socket
        assert ours is not None
        try:
            sent = ours.send(self._unsent)
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
        if self._opened is not None:
            self._greeted(error)
        elif self._flying is not None:
            self._deaths = 0
            (_, done), self._flying = self._flying, None
            done(error)

    def _greeted(self, error: StoreError | None) -> None:
        """The process has opened the file, or could not, and ends then."""
        opened = self._opened
        assert opened is not None
        if error is not None:
            if self._deaths == 0:
                opened.set_exception(error)
            else:
                log.error("store.not_opened error=%s", error)
            return
        self._opened = None
        if not opened.done():
            opened.set_result(None)
        if self._deaths:
            log.warning("store.writes_again")
        if self._flying is not None:
            self._send(self._flying[0])
