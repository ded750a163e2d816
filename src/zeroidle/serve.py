"""Wires a plane: store, workers, gateway and loops. Read this file first."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

from zeroidle.delivery.webhook import WebhookSender
from zeroidle.endpoint import Endpoint
from zeroidle.fleet.local import LocalFleet
from zeroidle.gateway.admin_api import AdminApi
from zeroidle.gateway.app import App
from zeroidle.gateway.auth import Auth
from zeroidle.gateway.metrics import Metrics
from zeroidle.gateway.runpod_api import RunpodApi
from zeroidle.gateway.server import Server
from zeroidle.gateway.worker_api import WorkerApi
from zeroidle.gateway.worker_env import worker_env
from zeroidle.gateway.worker_socket import WorkerSocket
from zeroidle.scaling.loop import ScalingLoop
from zeroidle.store.sqlite import SqliteStore
from zeroidle.worker import Registry, Worker

log = logging.getLogger(__name__)

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
    """One running ZeroIdle: `await start()`, use `url`, `await close()`."""

    def __init__(self, endpoints: Mapping[str, Endpoint], data: Path, host: str = "127.0.0.1", port: int = 8000):
        self.endpoints = dict(endpoints)
        self.data = data.absolute()
        self.host = host
        self.port = port
        self.new_key: str | None = None  # a key made by this start, to be shown once
        self._admin_token = secrets.token_urlsafe(24)
        self._socket_path = self._choose_socket_path()

        self.registry = Registry()
        self.store = SqliteStore(self.data, self.endpoints)
        self.fleet = LocalFleet(self.data)
        self.scaling = ScalingLoop(self.store, self.fleet, self.registry, self.endpoints, self._env_for)
        self.auth = Auth(self.store, loopback=is_loopback(host))
        self.webhooks = WebhookSender(self.store, self.store.spool, secret=None)
        self.socket = WorkerSocket(self._socket_path, self.store, self.registry, self.endpoints)
        self.server = Server(self._app().handle, self.store.spool)

    def _app(self) -> App:
        app = App(self.auth)
        app.mount("v2", RunpodApi(self.store, self.endpoints, self.registry).handle)
        app.mount("worker", WorkerApi(self.store, self.registry, self.endpoints).handle)
        app.mount("metrics", Metrics(self.store, self.registry, self.endpoints).handle)
        app.mount("admin", AdminApi(self.store, self.registry, self.endpoints, self.scaling, self.webhooks).handle)
        return app

    @property
    def url(self) -> str:
        """Where the plane answers, for clients on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Opens the store, ends what an earlier plane left running, and begins to serve."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self.store.open()
        await self.fleet.reap_orphans()
        await self.socket.start()
        self.port = await self.server.start(self.host, self.port)
        self._write_plane_file()
        await self.scaling.start()
        await self.webhooks.start()

    async def close(self, grace_s: float = 30.0) -> None:
        """Takes no more, lets running jobs end within `grace_s`, stops all workers, commits and closes."""
        await self.server.close(0.0)
        await self.scaling.drain(grace_s)
        await self.fleet.close()
        await self.socket.close()
        await self.webhooks.close()
        await self.store.close()
        (self.data / "plane.json").unlink(missing_ok=True)

    def _env_for(self, endpoint: Endpoint, worker: Worker) -> dict[str, str]:
        return {
            "ZEROIDLE_SOCKET": str(self._socket_path),
            "ZEROIDLE_WORKER_ID": worker.id,
            "ZEROIDLE_WORKER_TOKEN": worker.token,
            "ZEROIDLE_SPOOL": str(self.store.spool),
            **worker_env(self.url, endpoint, worker),
        }

    def _choose_socket_path(self) -> Path:
        path = self.data / "worker.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
            return path
        return Path(tempfile.mkdtemp(prefix="zeroidle-")) / "worker.sock"

    def _write_plane_file(self) -> None:
        content = json.dumps({"url": self.url, "pid": os.getpid(), "admin_token": self._admin_token})
        path = self.data / "plane.json"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
