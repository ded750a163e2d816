"""The connection to the plane: frames out from any thread, frames in one reader at a time."""

from __future__ import annotations

import _socket as socket  # the `socket` module around it costs as much to import as half of this program
import _thread
import os
import select
from typing import Callable, List, Optional

from zeroidle_worker import wire

_RECV_BYTES = 64 * 1024  # larger buffers are mapped and unmapped anew at each call
_PATH_MAX = 107  # of a Unix socket's path


class Gone(Exception):
    """The plane closed the connection."""


class Link:
    """Frames to and from the plane.

    What is sent is put into a buffer by `push` and leaves by `flush`, so that several results share one write.
    After a fork the child's copy is closed: only the worker itself speaks.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._send_lock = _thread.allocate_lock()
        self._out: List[bytes] = []
        self._unpacker = wire.Unpacker()
        self._recv_lock = _thread.allocate_lock()
        self.forked = False
        os.register_at_fork(after_in_child=self._after_fork)

    @classmethod
    def connect(cls, path: str, fd: Optional[int] = None) -> Link:
        """Connects to the plane's socket, or takes over the open connection `fd`. Raises OSError."""
        if fd is not None:
            sock = socket.socket(fileno=fd)
            os.set_inheritable(fd, False)
            return cls(sock)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if len(os.fsencode(path)) <= _PATH_MAX:
            sock.connect(path)
            return cls(sock)
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            sock.connect("/proc/self/fd/%d/%s" % (folder, os.path.basename(path)))
        finally:
            os.close(folder)
        return cls(sock)

    def fileno(self) -> int:
        """The descriptor, for whoever waits for frames."""
        return self._sock.fileno()

    @property
    def pending(self) -> bool:
        """Whether something was pushed and not flushed."""
        return bool(self._out)

    def push(self, frame: bytes) -> None:
        """Puts a frame into the buffer."""
        with self._send_lock:
            self._out.append(frame)

    def flush(self) -> None:
        """Writes what is in the buffer. Raises Gone."""
        if not self._out or self.forked:
            return
        with self._send_lock:
            frames, self._out = self._out, []
            try:
                self._sock.sendall(frames[0] if len(frames) == 1 else b"".join(frames))
            except OSError as exc:
                raise Gone("the plane closed the connection: %s" % exc) from exc

    def send(self, frame: bytes) -> None:
        """Writes a frame now, after what was pushed before it. Raises Gone."""
        self.push(frame)
        self.flush()

    def poller(self, other_fd: int) -> select.poll:
        """What waits until something arrives here or on `other_fd`."""
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        poller.register(other_fd, select.POLLIN)
        return poller

    def receive(self, handle: Callable[[wire.Frame], None]) -> None:
        """Gives the frames that have arrived to `handle`, in order; does not wait. Raises Gone at the end of the
        connection. Does nothing while another thread is in here: the frames are handled there."""
        if self.forked or not self._recv_lock.acquire(False):
            return
        try:
            data = self._sock.recv(_RECV_BYTES, socket.MSG_DONTWAIT)
            if not data:
                raise Gone("the plane closed the connection")
            for frame in self._unpacker.feed(data):
                handle(frame)
        except (BlockingIOError, InterruptedError):
            return
        except wire.ProtocolError as exc:
            raise Gone("the plane sent something that is not a frame: %s" % exc) from exc
        except OSError as exc:
            raise Gone("the plane closed the connection: %s" % exc) from exc
        finally:
            self._recv_lock.release()

    def keep_open(self) -> int:
        """Makes the connection outlive an exec of this process; answers its descriptor."""
        self.flush()
        os.set_inheritable(self._sock.fileno(), True)
        return self._sock.fileno()

    def _after_fork(self) -> None:
        self.forked = True
        self._send_lock = _thread.allocate_lock()  # another thread of the parent may have held it
        self._recv_lock = _thread.allocate_lock()
        self._out = []
        self._sock.close()
