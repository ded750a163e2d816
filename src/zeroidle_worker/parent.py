"""Ends the worker and everything in its process group when the plane is gone, however it went."""

from __future__ import annotations

import fcntl
import os
import select
import signal


def guard(pipe_fd: int) -> None:
    """Watches the read end of a pipe whose write end only the plane holds.

    On Linux the kernel does it: at the last close of the write end it sends SIGKILL to our group (F_SETSIG). That
    works while the handler holds the interpreter's lock for minutes, costs no thread, and needs no cooperation.
    Where the kernel cannot, a thread waits for end-of-file.
    """
    os.set_inheritable(pipe_fd, False)
    if not _kernel_guard(pipe_fd):
        import threading

        threading.Thread(target=_watch, args=(pipe_fd,), name="zeroidle-parent", daemon=True).start()
    if _gone(pipe_fd):  # it went before we were watching
        _kill()


def _kernel_guard(pipe_fd: int) -> bool:
    try:
        # A description of our own: the owner set below belongs to the open file, and the inherited one is shared
        # with the plane and with every other worker.
        own = os.open("/proc/self/fd/%d" % pipe_fd, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpid() if _leads_group() else os.getpid())
        fcntl.fcntl(own, getattr(fcntl, "F_SETSIG", 10), int(signal.SIGKILL))
        fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
    except (OSError, AttributeError):
        os.close(own)
        return False
    return True


def _leads_group() -> bool:
    # Otherwise the group is that of whoever started us by hand, and is not ours to kill.
    return os.getpgrp() == os.getpid()


def _gone(pipe_fd: int) -> bool:
    poller = select.poll()
    poller.register(pipe_fd, 0)
    return bool(poller.poll(0))  # POLLHUP is always reported


def _watch(pipe_fd: int) -> None:
    try:
        while os.read(pipe_fd, 1024):
            pass
    except OSError:
        return  # the handler closed it: nothing to watch any more
    _kill()


def _kill() -> None:
    if _leads_group():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
