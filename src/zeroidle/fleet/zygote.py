"""The plane's side of the fork servers: one per interpreter, environment and list of imports."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

log = logging.getLogger(__name__)

#: Importing a large library from a cold disk takes up to half a minute; a worker would take as long.
READY_TIMEOUT_S = 120.0
FORK_TIMEOUT_S = 10.0
_MAX_PACKET = 1 << 20
_THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")}
#: With it torch counts GPUs without making a CUDA context, which would not survive a fork.
_NVML = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}


class NoFork(Exception):
    """This worker cannot be forked; the text says why, and it is spawned instead."""


class Key(Struct, frozen=True):
    """What must be equal for two workers to come from one fork server."""

    python: str
    env: tuple[tuple[str, str], ...]
    imports: str
    root: Path


class Zygote:
    """One fork server. `fork` until it raises NoFork; `close` ends it, but not its children."""

    def __init__(self, on_gone: Callable[[], None]) -> None:
        self.pid = 0
        self.living = 0
        self.last_used = 0.0
        self._on_gone = on_gone
        self._sock: socket.socket
        self._process: subprocess.Popen[bytes]
        self._ready: asyncio.Future[None]
        self._forks: dict[int, asyncio.Future[int]] = {}
        self._codes: dict[int, asyncio.Future[int | None]] = {}
        self._ids = itertools.count()
        self._why_gone = ""

    def start(self, entry: Path, imports: Path, python: str, env: dict[str, str], root: Path, log_path: Path) -> None:
        """Starts the process; it imports while others go on. Raises NoFork."""
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (self._sock, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MAX_PACKET)
        self._sock.setblocking(False)
        full_env = env | _THREADS | _NVML | {
            "ZEROIDLE_ZYGOTE_FD": str(theirs.fileno()),
            "ZEROIDLE_ZYGOTE_LIST": str(imports),
        }  # fmt: skip
        try:
            with open(log_path, "ab") as output:
                self._process = subprocess.Popen(
                    [python, str(entry)], env=full_env, cwd=root, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=output, start_new_session=True, pass_fds=(theirs.fileno(),),
                )  # fmt: skip
        except OSError as exc:
            self._sock.close()
            raise NoFork(f"the fork server does not start: {exc}") from exc
        finally:
            theirs.close()
        self.pid = self._process.pid
        self.last_used = loop.time()
        loop.add_reader(self._sock, self._read)

    async def fork(self, env: dict[str, str], cwd: Path, log_fd: int, parent_fd: int) -> int:
        """The number of a new worker process, which has everything imported. Raises NoFork."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), READY_TIMEOUT_S)
        except TimeoutError:
            self.close()
            raise NoFork(f"the imports took longer than {READY_TIMEOUT_S:.0f} s in the fork server") from None
        number = next(self._ids)
        future: asyncio.Future[int] = loop.create_future()
        packet = json.dumps({"fork": number, "env": env, "cwd": str(cwd)}).encode()
        try:
            socket.send_fds(self._sock, [packet], [log_fd, parent_fd])
        except OSError as exc:
            raise NoFork(f"the fork server does not take the order: {exc}") from exc
        self._forks[number] = future
        try:
            pid = await asyncio.wait_for(future, FORK_TIMEOUT_S)
        except TimeoutError:
            self.close()
            raise NoFork(f"the fork server did not answer within {FORK_TIMEOUT_S:.0f} s") from None
        finally:
            self._forks.pop(number, None)
        self.living += 1
        self.last_used = loop.time()
        return pid

    async def exit_code(self, pid: int) -> int | None:
        """How a child ended, once it has; None when the fork server ended before it could tell."""
        if self._why_gone:
            return None
        return await self._code(pid)

    def reap(self, pid: int) -> None:
        """Gives the number of an ended child back to the system."""
        self._codes.pop(pid, None)
        self.living -= 1
        self.last_used = asyncio.get_running_loop().time()
        if not self._why_gone:
            with contextlib.suppress(OSError):
                self._sock.send(json.dumps({"reap": pid}).encode())

    def close(self) -> None:
        """Ends the fork server; workers that came from it live on."""
        self._end("it was ended")

    def _code(self, pid: int) -> asyncio.Future[int | None]:
        if pid not in self._codes:
            self._codes[pid] = asyncio.get_running_loop().create_future()
        return self._codes[pid]

    def _read(self) -> None:
        try:
            data = self._sock.recv(_MAX_PACKET)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end("")
            return
        self._handle(json.loads(data))

    def _handle(self, packet: dict[str, Any]) -> None:
        if "ready" in packet:
            log.info("zygote.ready pid=%d modules=%d", self.pid, packet["ready"])
            if not self._ready.done():
                self._ready.set_result(None)
        elif "unfit" in packet:
            self._end(packet["unfit"])
        elif "forked" in packet:
            future = self._forks.get(packet["forked"])
            if future is not None and not future.done():
                future.set_result(packet["pid"])
        elif "refused" in packet:
            future = self._forks.get(packet["refused"])
            if future is not None and not future.done():
                future.set_exception(NoFork(packet["reason"]))
        elif "exited" in packet:
            code = self._code(packet["exited"])
            if not code.done():
                code.set_result(packet["code"])

    def _end(self, reason: str) -> None:
        """The process has ended or is to end: everybody who waits is told."""
        if self._why_gone:
            return
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        if reason:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
        ending = self._ending()
        self._why_gone = reason or f"the fork server ended{ending}; its log says more"
        error = NoFork(self._why_gone)
        waiting: list[asyncio.Future[Any]] = [self._ready, *self._forks.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # read here: there may be nobody who waits
        for pending in self._codes.values():
            if not pending.done():
                pending.set_result(None)
        self._on_gone()

    def _ending(self) -> str:
        """How the process ended; its socket was closed by that, or it was killed, so it takes microseconds."""
        try:
            code = self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            return ""
        with contextlib.suppress(ValueError):
            return f" (exit {code})" if code >= 0 else f" ({signal.Signals(-code).name})"
        return f" (signal {-code})"


def fork_environment(env: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """What of a worker's environment its libraries may have read at import: all but what is the worker's own."""
    return tuple(
        sorted((k, v) for k, v in env.items() if not k.startswith(("RUNPOD_", "ZEROIDLE_")) or k == "ZEROIDLE_PLANE")
    )
