"""Keeps the fork servers of a fleet: starts them when a worker is wanted, ends them after a time of no use."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from zeroidle.endpoint import Endpoint
from zeroidle.errors import WorkerError
from zeroidle.fleet.child import Forked
from zeroidle.fleet.preload import Records
from zeroidle.fleet.zygote import Key, NoFork, Zygote, fork_environment

log = logging.getLogger(__name__)


class Zygotes:
    """Forks workers where that is possible. `folder` is the plane's data folder, `entry` the worker's program."""

    def __init__(self, folder: Path, entry: Path) -> None:
        self.records = Records(folder / "imports")
        self._entry = entry
        self._log_path = folder / "logs" / "fork-servers.log"
        self._living: dict[Key, Zygote] = {}
        self._idle_s: dict[Key, float] = {}
        self._unfit: dict[Key, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def fork(
        self, endpoint: Endpoint, python: str, env: dict[str, str], log_fd: int, parent_fd: int
    ) -> Forked | None:
        """A new worker, or None when this handler has not run yet. Raises NoFork with the reason."""
        found = self._find(endpoint, python, env)
        if found is None:
            return None
        key, zygote = found
        try:
            child = Forked(zygote, await zygote.fork(env, endpoint.root, log_fd, parent_fd))
        except NoFork as exc:
            # A fork server that could not import once will not the next time: this plane does not try again.
            self._unfit[key] = str(exc)
            log.warning("zygote.unfit endpoint=%s reason=%s", endpoint.name, exc)
            zygote.close()
            raise
        except WorkerError as exc:
            raise NoFork(exc.message) from exc
        self._watch()
        return child

    def prepare(self, endpoint: Endpoint, python: str, env: dict[str, str]) -> None:
        """Starts the fork server for workers that may come, when there is a reason to and none not to."""
        with contextlib.suppress(NoFork):
            if self._find(endpoint, python, env) is not None:
                self._watch()

    def _find(self, endpoint: Endpoint, python: str, env: dict[str, str]) -> tuple[Key, Zygote] | None:
        """The fork server of such workers, started when it was not there; None when their handler has not run yet."""
        record = self.records.find(endpoint, python)
        if record is None:
            return None
        if record.reason:
            raise NoFork(record.reason)
        key = Key(python, fork_environment(env), record.digest, endpoint.root)
        if key in self._unfit:
            raise NoFork(self._unfit[key])
        self._idle_s[key] = endpoint.fork_server_idle_s
        return key, self._living.get(key) or self._start(key, record.path)

    def close(self) -> None:
        """Ends them all."""
        if self._timer is not None:
            self._timer.cancel()
        for zygote in list(self._living.values()):
            zygote.close()

    def pids(self) -> list[int]:
        """The processes of the fork servers that live."""
        return [zygote.pid for zygote in self._living.values()]

    def _start(self, key: Key, imports: Path) -> Zygote:
        zygote = Zygote(on_gone=lambda: self._forget(key, zygote))
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        zygote.start(self._entry, imports, key.python, dict(key.env), key.root, self._log_path)
        self._living[key] = zygote
        return zygote

    def _forget(self, key: Key, zygote: Zygote) -> None:
        if self._living.get(key) is zygote:
            del self._living[key]

    def _watch(self) -> None:
        """Wakes when the first idle fork server is due; without any there is no timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        due = [z.last_used + self._idle_s[key] for key, z in self._living.items()]
        if due:
            self._timer = loop.call_at(max(min(due), loop.time() + 1.0), self._end_idle)

    def _end_idle(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for key, zygote in list(self._living.items()):
            if zygote.living:
                zygote.last_used = now  # its memory is its workers' memory: it costs nothing more
            elif now - zygote.last_used >= self._idle_s[key]:
                log.info("zygote.idle_end pid=%d", zygote.pid)
                with contextlib.suppress(NoFork):
                    zygote.close()
        self._watch()
