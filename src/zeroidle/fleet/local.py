"""Workers as processes of this machine, each in a session of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from zeroidle.endpoint import Endpoint
from zeroidle.errors import WorkerError
from zeroidle.fleet import processes
from zeroidle.fleet.child import Forked, Process, Spawned
from zeroidle.fleet.environment import declared_environment, worker_environment
from zeroidle.fleet.logs import LogFolder
from zeroidle.fleet.oom import OomCounter
from zeroidle.fleet.protocol import Exit, Running
from zeroidle.fleet.zygote import NoFork
from zeroidle.fleet.zygotes import Zygotes

log = logging.getLogger(__name__)

#: How often the size of live logs is looked at, in seconds; only while a worker lives.
LOG_CHECK_S = 5.0

#: The kernel's out-of-memory killer is told to take workers before the plane.
OOM_SCORE_ADJ = 300


class _Child(Struct, eq=False):
    running: Running
    process: Process
    marks: tuple[bytes, ...]
    oom_kills: int | None
    gone: asyncio.Future[None]
    exited: bool = False
    killed: bool = False
    at_end: Callable[[], None] | None = None


class LocalFleet:
    """Implements `fleet.protocol.Fleet` on Linux 5.3 or newer.

    `folder` is the plane's data folder: logs go to `logs/<worker id>.log`, a worker's scratch folder is
    `workers/<worker id>/`. `entry` is the program that a worker runs (by default zeroidle_worker). An exit is
    noticed through a pidfd, so neither a thread nor a timer waits for it. What a worker leaves running is killed
    with it: its session, and processes that left the session but still carry its mark in their environment.
    A process that leaves the session and wipes its environment cannot be found.
    """

    def __init__(
        self, folder: Path, *, entry: Path | None = None, keep_logs: int = 200, max_log_bytes: int = 64 * 1024 * 1024
    ) -> None:
        self._folder = folder.resolve()
        self._scratch = self._folder / "workers"
        self._entry = entry or worker_entry()
        self.zygotes = Zygotes(self._folder, self._entry)
        self._logs = LogFolder(self._folder / "logs", keep_logs, max_log_bytes)
        self._oom = OomCounter()
        self._children: dict[str, _Child] = {}
        self._listeners: list[Callable[[Exit], None]] = []
        self._sweeps: set[asyncio.Task[None]] = set()
        self._log_timer: asyncio.TimerHandle | None = None
        self._closing = False
        # Every worker inherits the read end. The write end is ours alone: it closes when this process ends,
        # however it ends, and the workers read end-of-file.
        self._parent_read, self._parent_write = os.pipe()

    async def start(self, endpoint: Endpoint, worker_id: str, env: dict[str, str]) -> Running:
        """Starts one worker. Raises WorkerError when the interpreter or the handler is not there."""
        python = find_interpreter(endpoint)
        if not endpoint.handler.is_file():
            raise WorkerError(f"The handler {endpoint.handler} of endpoint {endpoint.name} is not a file.")
        if not endpoint.root.is_dir():
            raise WorkerError(f"The folder {endpoint.root} of endpoint {endpoint.name} does not exist.")
        scratch = self._scratch / worker_id
        scratch.mkdir(parents=True, exist_ok=True)
        full_env = (
            worker_environment(os.environ, endpoint.env, env)
            | declared_environment(endpoint)
            | {
                "ZEROIDLE_HANDLER": str(endpoint.handler.resolve()),
                "ZEROIDLE_NAME": endpoint.declared or "",
                "ZEROIDLE_SDK": endpoint.sdk,
                "ZEROIDLE_CONCURRENCY": str(endpoint.concurrency),
                "ZEROIDLE_PARENT_FD": str(self._parent_read),
                "ZEROIDLE_SCRATCH": str(scratch),
                processes.PLANE: str(self._folder),
                processes.WORKER: worker_id,
            }
        )
        path, log_fd = self._logs.open(worker_id)
        try:
            process, note = await self._bear(python, full_env, endpoint, log_fd)
        finally:
            os.close(log_fd)
        forked = isinstance(process, Forked)
        child = self._adopt(process, Running(worker_id, endpoint.name, process.pid, path, forked, note))
        if endpoint.fork_server_idle_s > 0 and not forked:
            child.at_end = partial(self.zygotes.prepare, endpoint, python, full_env)
        return child.running

    async def _bear(self, python: str, env: dict[str, str], endpoint: Endpoint, log_fd: int) -> tuple[Process, str]:
        """A new process, forked where that is possible, and why it is not."""
        note = ""
        if endpoint.fork_server_idle_s > 0:
            try:
                forked = await self.zygotes.fork(endpoint, python, env, log_fd, self._parent_read)
                if forked is not None:
                    return forked, ""
                env = env | {"ZEROIDLE_RECORD": str(self.zygotes.records.path(endpoint, python))}
            except NoFork as exc:
                note = str(exc)
        return self._spawn(python, env, endpoint, log_fd), note

    def _spawn(self, python: str, env: dict[str, str], endpoint: Endpoint, log_fd: int) -> Spawned:
        try:
            # subprocess uses vfork here: 0.3 ms, whatever the size of this process.
            process = subprocess.Popen(
                [python, str(self._entry)], env=env, cwd=endpoint.root, stdin=subprocess.DEVNULL, stdout=log_fd,
                stderr=log_fd, start_new_session=True, pass_fds=(self._parent_read,),
            )  # fmt: skip
        except OSError as exc:
            raise WorkerError(f"The interpreter {python} of endpoint {endpoint.name} does not run: {exc}.") from exc
        return Spawned(process)

    def _adopt(self, process: Process, running: Running) -> _Child:
        """Watches a new process until it ends."""
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(OOM_SCORE_ADJ))
        loop = asyncio.get_running_loop()
        # Both: another plane may have a worker of this name.
        marks = (
            processes.mark(processes.WORKER, running.worker_id), processes.mark(processes.PLANE, str(self._folder)),
        )  # fmt: skip
        child = _Child(running, process, marks, self._oom.read(), loop.create_future())
        self._children[running.worker_id] = child
        loop.add_reader(process.pidfd, self._exited, child)
        if self._log_timer is None:
            self._log_timer = loop.call_later(LOG_CHECK_S, self._check_logs)
        return child

    async def stop(self, worker_id: str, grace_s: float) -> None:
        """SIGTERM to the worker, after `grace_s` SIGKILL to its session; returns when all its processes are gone."""
        child = self._children.get(worker_id)
        if child is None:
            return
        if grace_s > 0 and not child.exited:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.process.pidfd, signal.SIGTERM)
            await asyncio.wait({child.gone}, timeout=grace_s)
        if not child.exited:
            child.killed = True
            # One that was forked just now leads no group yet.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.process.pidfd, signal.SIGKILL)
            _kill_group(child.process.pid)
        await asyncio.shield(child.gone)

    def list(self) -> Sequence[Running]:
        """Workers whose process has not ended."""
        return [child.running for child in self._children.values() if not child.exited]

    def on_exit(self, listener: Callable[[Exit], None]) -> None:
        """Calls `listener` on the loop at each exit, before the last of the worker's own children are gone."""
        self._listeners.append(listener)

    async def close(self) -> None:
        """Kills everything that is left and waits for it."""
        self._closing = True
        await asyncio.gather(*(self.stop(worker_id, 0) for worker_id in list(self._children)))
        if self._sweeps:
            await asyncio.wait(self._sweeps)
        self.zygotes.close()
        if self._log_timer is not None:
            self._log_timer.cancel()
        for fd in (self._parent_read, self._parent_write):
            if fd >= 0:
                os.close(fd)
        self._parent_read = self._parent_write = -1

    async def reap_orphans(self) -> int:
        """Kills workers that an earlier plane of this folder left behind; answers how many processes.

        Call it while holding the store's lock, so that no other plane of this folder lives.
        """
        mark = processes.mark(processes.PLANE, str(self._folder))
        killed = await asyncio.to_thread(processes.kill_marked, mark)
        if killed:
            log.warning("fleet.orphans_reaped processes=%d", killed)
        if self._scratch.is_dir():
            await asyncio.to_thread(shutil.rmtree, self._scratch, True)
        return killed

    def _exited(self, child: _Child) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(child.process.pidfd)
        child.exited = True
        # The zombie is left until the end of the sweep: while it is there its number cannot be given to a stranger,
        # so that killing its session cannot hit one.
        _kill_group(child.process.pid)
        sweep = loop.create_task(self._sweep(child))
        self._sweeps.add(sweep)
        sweep.add_done_callback(self._sweeps.discard)

    async def _sweep(self, child: _Child) -> None:
        worker_id = child.running.worker_id
        code = None
        try:
            code = await child.process.code()
            oom = code == -signal.SIGKILL and not child.killed and self._oom.grew(child.oom_kills)
            for listener in self._listeners:
                listener(Exit(worker_id, code, oom))
            left = await asyncio.to_thread(processes.end_session, child.process.pid, child.marks)
            if left:
                log.error("fleet.cannot_kill worker=%s pids=%s", worker_id, left)
            await asyncio.to_thread(shutil.rmtree, self._scratch / worker_id, True)
        finally:
            child.process.reap()
            self._children.pop(worker_id, None)
            self._logs.ended(worker_id)
            if not child.gone.done():
                child.gone.set_result(None)
            if code == 0 and child.at_end is not None and not self._closing:
                child.at_end()  # the first run is over: the next worker will be forked

    def _check_logs(self) -> None:
        self._log_timer = None
        self._logs.bound()
        if self._children:
            self._log_timer = asyncio.get_running_loop().call_later(LOG_CHECK_S, self._check_logs)


def worker_entry() -> Path:
    """The file that a worker's interpreter runs."""
    spec = importlib.util.find_spec("zeroidle_worker")
    if spec is None or not spec.submodule_search_locations:
        raise WorkerError("The package zeroidle_worker is not installed beside zeroidle; install zeroidle again.")
    return Path(spec.submodule_search_locations[0]) / "__main__.py"


def find_interpreter(endpoint: Endpoint) -> str:
    """The absolute path of the endpoint's interpreter. A bare name is looked up in PATH, a path is relative to the
    endpoint's folder. Raises WorkerError."""
    python = endpoint.python
    found = shutil.which(python if os.sep not in python else str(endpoint.root / python))
    if found is None:
        raise WorkerError(
            f"The interpreter {python} of endpoint {endpoint.name} is not there or cannot be executed; "
            "set `python` to one that exists."
        )
    return str(Path(found).absolute())


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
