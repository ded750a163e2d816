"""Wires a plane: store, workers, gateway and loops. Read this file first."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import ipaddress
import json
import logging
import os
import secrets
import stat
import tempfile
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from zeroidle.endpoint import Endpoint
from zeroidle.errors import ConfigError
from zeroidle.fleet.local import LocalFleet
from zeroidle.fleet.prepared import PreparedFleet
from zeroidle.gateway.app import App, later
from zeroidle.gateway.auth import Auth, digest, new_key
from zeroidle.gateway.body import MAX_RESULT_BYTES
from zeroidle.gateway.files import Files
from zeroidle.gateway.forms import form_to_input
from zeroidle.gateway.message import Handler
from zeroidle.gateway.metrics import Metrics
from zeroidle.gateway.pages import Docs
from zeroidle.gateway.runpod_api import RunpodApi
from zeroidle.gateway.server import Server
from zeroidle.gateway.validate import InputCheck
from zeroidle.gateway.worker_env import worker_env
from zeroidle.gateway.worker_socket import WorkerSocket
from zeroidle.scaling.loop import ScalingLoop
from zeroidle.store.sqlite import SqliteStore
from zeroidle.volume.gate import WeightsGate
from zeroidle.worker import Registry, Worker

if TYPE_CHECKING:
    from zeroidle.delivery.webhook import WebhookSender
    from zeroidle.gateway.worker_api import WorkerApi

log = logging.getLogger(__name__)

#: The file in the data folder that tells the commands where the plane is.
PLANE_FILE = "plane.json"

#: The socket on which workers of this machine speak to the plane.
SOCKET_NAME = "worker.sock"

#: Allocations before a collection of the youngest generation, and collections of one before one of the next.
GC_THRESHOLDS = (10_000, 20, 50)

#: The delivery of webhooks begins this long after the start, in seconds: what was due waits for it in the store.
DELIVER_AFTER_S = 0.05

#: How long answers that are under way may take once the workers are gone.
CLOSE_GRACE_S = 2.0

#: A Unix socket's path may have 107 bytes.
_SOCKET_PATH_MAX = 107


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Plane:
    """One running ZeroIdle: `await start()`, use `url`, `await close()`.

    `endpoints` is kept and may be changed while it serves: what is added answers at once, what is removed drains.
    """

    def __init__(self, endpoints: dict[str, Endpoint], data: Path, host: str = "127.0.0.1", port: int = 8000):
        self.endpoints = endpoints
        self.data = data.absolute()
        self.host = host
        self.port = port
        self.new_key: str | None = None  # a key made by this start, to be shown once
        self._admin_token = secrets.token_urlsafe(24)
        self._socket_path = self._choose_socket_path()

        self.registry = Registry()
        self.store = SqliteStore(self.data, self.endpoints)
        self.fleet = LocalFleet(self.data)
        self.weights = WeightsGate(self.registry)
        prepared = PreparedFleet(self.fleet, self.weights.prepare)
        self.scaling = ScalingLoop(self.store, prepared, self.registry, self.endpoints, self._env_for)
        self.auth = Auth(self.store, is_loopback(host), self._admin_token)
        self._delivery: asyncio.Task[None] | None = None
        self.files = Files(self.data / "files", self.endpoints)
        self.socket = WorkerSocket(self._socket_path, self.store, self.registry, self.endpoints)
        self.app = self._app()
        self.server = Server(
            self.app.handle,
            self.store.spool,
            max_body_bytes=MAX_RESULT_BYTES,
            admit=self.app.admit,
            quick=self.app.quick,
        )

    def _app(self) -> App:
        app = App(self.auth)
        api = RunpodApi(self.store, self.endpoints, self.registry, check=InputCheck(), upload=form_to_input)
        app.mount("v2", api.handle, browser=True, admit=api.admit, quick=api.quick)
        # Asks for the worker's own token.
        app.mount("worker", later(lambda: self.workers.handle), public=True, admit=lambda r: self.workers.admit(r))
        app.mount("admin", later(self._admin))
        app.mount("metrics", Metrics(self.store, self.registry, self.endpoints).handle)
        app.mount("openapi.json", later(self._openapi), browser=True)
        app.mount("docs", Docs(self.endpoints, self.auth).handle, public=True)
        app.mount("files", self.files.handle, public=True, browser=True)  # the job's random id is the key
        return app

    # What a first answer does not need is imported when it is.

    @cached_property
    def workers(self) -> WorkerApi:
        """RunPod's worker protocol over HTTP."""
        from zeroidle.gateway.worker_api import WorkerApi

        return WorkerApi(self.store, self.registry, self.endpoints)

    @cached_property
    def webhooks(self) -> WebhookSender:
        """Who delivers webhooks."""
        from zeroidle.delivery.webhook import WebhookSender

        return WebhookSender(self.store, self.store.spool)

    async def _deliver(self) -> None:
        await asyncio.sleep(DELIVER_AFTER_S)
        await self.webhooks.start()

    async def _end_delivery(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
            await asyncio.wait({self._delivery})
        if "webhooks" in self.__dict__:
            await self.webhooks.close()

    def _admin(self) -> Handler:
        from zeroidle.gateway.admin_api import AdminApi

        return AdminApi(
            self.store, self.registry, self.endpoints, self.scaling, self.webhooks,
            auth=self.auth, token=self._admin_token,
        ).handle  # fmt: skip

    def _openapi(self) -> Handler:
        from zeroidle.gateway.openapi import Openapi

        return Openapi(self.endpoints, uploads=True).handle

    @property
    def url(self) -> str:
        """Where the plane answers, for clients on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Opens the store, ends what an earlier plane left running, and begins to serve.

        Raises StoreError when another plane has the folder, ConfigError when the address cannot be had; then nothing
        is left open.
        """
        async with contextlib.AsyncExitStack() as undo:
            await self.store.open()
            undo.push_async_callback(self.store.close)
            self._make_socket_folder()
            undo.callback(self._remove_socket_folder)
            await self.fleet.reap_orphans()
            await self._make_first_key()
            await self.socket.start()
            undo.push_async_callback(self.socket.close)
            self.port = await self.server.start(self.host, self.port)
            undo.push_async_callback(self.server.close, 0.0)
            self._write_plane_file()
            await self.scaling.start()
            self._delivery = asyncio.create_task(self._deliver())
            undo.push_async_callback(self._end_delivery)
            self.files.start()
            undo.pop_all()
        # Most of what is made per job is in no cycle: with the defaults the collector takes a tenth of the hot path.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    async def close(self, grace_s: float = 30.0) -> None:
        """Lets running jobs end within `grace_s`, stops all workers, commits and closes. Jobs that wait stay."""
        # Clients are served until the last job has ended: those who wait get their answers.
        await self.scaling.drain(grace_s)
        parts = (
            partial(self.server.close, CLOSE_GRACE_S), self.files.close, self.fleet.close, self.weights.close,
            self.socket.close, self._end_delivery, self.store.close,
        )  # fmt: skip
        for close in parts:
            try:
                await close()
            except Exception:  # the others are closed all the same
                log.exception("plane.close_failed part=%r", close)
        self._remove_socket_folder()
        (self.data / PLANE_FILE).unlink(missing_ok=True)

    async def _make_first_key(self) -> None:
        """A plane that others can reach is never open: without any key, one is made."""
        if not is_loopback(self.host) and not await self.store.list_keys():
            self.new_key = new_key()
            await self.store.save_key("first", digest(self.new_key))
        await self.auth.refresh()

    def _env_for(self, endpoint: Endpoint, worker: Worker) -> dict[str, str]:
        return {
            "ZEROIDLE_SOCKET": str(self._socket_path),
            "ZEROIDLE_WORKER_ID": worker.id,
            "ZEROIDLE_WORKER_TOKEN": worker.token,
            "ZEROIDLE_SPOOL": str(self.store.spool),
            "ZEROIDLE_FILES": str(self.files.folder),
            "ZEROIDLE_FILES_URL": f"{self.url}/files",
            **worker_env(self.url, endpoint, worker),
        }

    def _choose_socket_path(self) -> Path:
        path = self.data / SOCKET_NAME
        if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
            return path
        # The same name at each start, so that what a killed plane left is used again and not left for ever.
        name = f"zeroidle-{os.getuid()}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
        found = Path(tempfile.gettempdir()) / name / SOCKET_NAME
        return found if len(os.fsencode(found)) <= _SOCKET_PATH_MAX else Path("/tmp") / name / SOCKET_NAME

    def _make_socket_folder(self) -> None:
        folder = self._socket_path.parent
        if folder == self.data:
            return
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
        except OSError as exc:
            raise ConfigError(f"The folder {folder} for the workers' socket cannot be made: {exc.strerror}.") from exc
        # Its name can be guessed, so another user may have made it first.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ConfigError(
                f"{folder} is not a folder that only this user may enter, so the workers' socket cannot be there; "
                "remove it, or choose a data folder with a shorter path."
            )

    def _remove_socket_folder(self) -> None:
        if self._socket_path.parent != self.data:
            with contextlib.suppress(OSError):
                self._socket_path.parent.rmdir()

    def _write_plane_file(self) -> None:
        content = json.dumps({"url": self.url, "pid": os.getpid(), "admin_token": self._admin_token})
        path = self.data / PLANE_FILE
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
