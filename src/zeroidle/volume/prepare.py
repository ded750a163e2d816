"""Before a worker starts its weights are complete: the plane's side, which downloads in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from zeroidle.endpoint import Endpoint
from zeroidle.errors import ConfigError, Error
from zeroidle.job import Phase
from zeroidle.volume import environment as volume_environment
from zeroidle.volume import lockfile, uses
from zeroidle.volume.layout import VOLUME_ENV, find_root
from zeroidle.volume.space import show_bytes
from zeroidle.volume.store import Tree, Volume
from zeroidle.volume.weights import Weights

log = logging.getLogger(__name__)

#: What a download is told of an endpoint's own environment: where to ask, and by which right.
_PASSED = ("HF_", "HUGGING_FACE_", "AWS_", "ZENODO_", "ZEROIDLE_VOLUME_", "ZEROIDLE_ZENODO_", "HTTP_PROXY",
           "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")  # fmt: skip

_RETRY_FIRST_S = 5.0
_RETRY_LONGEST_S = 300.0
_PULL = "import sys; from zeroidle.cli.main import main; sys.exit(main())"

State = Literal["checking", "waiting", "fetching", "failed", "ready"]


@dataclass(frozen=True, slots=True)
class Status:
    """How far the weights of one endpoint are. Times are Unix seconds, sizes bytes, `rate` bytes per second.

    "waiting" is for another process or host that fetches the same; "failed" that the last try ended with `error`
    and the next one is at `retry_at`. `fetched_bytes` is what this plane fetched for it since `since`.
    """

    state: State
    since: float
    until: float | None = None
    source: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    fetched_bytes: int = 0
    rate: float = 0.0
    left_s: float | None = None
    waits_for: str = ""
    error: str = ""
    retry_at: float | None = None

    @property
    def sentence(self) -> str:
        """For `why` and `ps`."""
        amount = f"{show_bytes(self.done_bytes)} of {show_bytes(self.total_bytes)}" if self.total_bytes else ""
        if self.state == "failed":
            again = max(0.0, (self.retry_at or 0.0) - time.time())
            return f"the weights {self.source} cannot be had: {self.error} Next try in {again:.0f} s."
        if self.state == "waiting":
            return f"the weights {self.source} are being fetched by {self.waits_for}: {amount}"
        if self.state == "fetching":
            left = f", {self.left_s:.0f} s left" if self.left_s is not None else ""
            return f"the weights {self.source} are being fetched: {amount} at {show_bytes(self.rate)}/s{left}"
        return "the weights are complete" if self.state == "ready" else "the weights are being checked"


class Preparation:
    """The weights of all endpoints of a plane.

    Call `await ready(endpoint)` before a worker starts and give the worker `environment(endpoint)`. While it is not
    ready, `status` says why. `on_change` is called, on the loop, when a status turns to another state.
    """

    def __init__(self, on_change: Callable[[str], None] | None = None, python: str = sys.executable) -> None:
        self._on_change = on_change or (lambda name: None)
        self._python = python
        self._status: dict[str, Status] = {}
        self._tasks: dict[tuple[str, tuple[str, ...], str | None], asyncio.Task[Status]] = {}
        self._trees: dict[str, tuple[Volume, list[Tree]]] = {}
        self._uses: dict[str, list[uses.Use]] = {}
        self._volumes: dict[Path, Volume] = {}

    @staticmethod
    def needs(endpoint: Endpoint) -> bool:
        """Whether an endpoint names weights; without any its workers may start at once."""
        return bool(endpoint.weights)

    def status(self, name: str) -> Status | None:
        """How far an endpoint's weights are; None when nothing was ever prepared for it."""
        return self._status.get(name)

    def phase(self, name: str) -> Phase | None:
        """The phase "weights" for the timeline of the worker that waited, with bytes and rate."""
        status = self._status.get(name)
        if status is None:
            return None
        seconds = (status.until or time.time()) - status.since
        note = "already there"
        if status.fetched_bytes:
            note = f"{show_bytes(status.fetched_bytes)} at {show_bytes(status.fetched_bytes / max(seconds, 1e-3))}/s"
        return Phase("weights", status.since, status.until, note=note if status.state == "ready" else status.sentence)

    async def ready(self, endpoint: Endpoint) -> Status:
        """Returns when all weights of an endpoint are complete, at once when they are. What goes wrong is tried again
        with growing waits, and shows in `status`; it never raises but CancelledError."""
        if not endpoint.weights:
            return Status("ready", time.time(), time.time())
        key = (endpoint.name, endpoint.weights, endpoint.volume)
        task = self._tasks.get(key)
        if task is None or task.cancelled():
            task = self._tasks[key] = asyncio.create_task(self._prepare(endpoint))
            task.add_done_callback(lambda done: self._tasks.pop(key, None))
        return await asyncio.shield(task)

    def environment(self, endpoint: Endpoint) -> dict[str, str]:
        """What a worker's environment gets; to be called after `ready`. What the endpoint sets itself stays."""
        found = self._trees.get(endpoint.name)
        if found is not None and endpoint.weights:
            volume, trees = found
            return volume_environment.environment(volume.layout, trees, endpoint.env, endpoint.weights)
        if endpoint.volume is None and VOLUME_ENV not in os.environ:
            return {}  # the user's own caches are left alone when no volume was asked for
        try:
            return volume_environment.environment(self._volume(endpoint).layout, [], endpoint.env)
        except Error as exc:
            log.warning("volume.unusable endpoint=%s reason=%s", endpoint.name, exc.message)
            return {}

    @staticmethod
    def report(endpoint: Endpoint) -> list[str]:
        """One sentence for each variable of an endpoint that nothing reads."""
        return volume_environment.report(endpoint.env)

    def release(self, name: str) -> None:
        """The endpoint has no worker: its weights may be evicted. `ready` takes them into use again."""
        for use in self._uses.pop(name, []):
            with contextlib.suppress(OSError):
                use.release()

    async def close(self) -> None:
        """Ends the downloads (what has arrived is kept) and the uses."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in list(self._uses):
            self.release(name)
        for volume in self._volumes.values():
            await asyncio.to_thread(volume.close)

    async def _prepare(self, endpoint: Endpoint) -> Status:
        self._set(endpoint.name, Status("checking", time.time()))
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                wanted = [Weights(text, base=endpoint.root) for text in endpoint.weights]
                volume, trees = await asyncio.to_thread(self._look, endpoint, wanted)
                if trees is None:
                    for weights in wanted:
                        await self._pull(endpoint, weights, volume.layout.root)
                    volume, trees = await asyncio.to_thread(self._look, endpoint, wanted)
                if trees is not None:
                    self._trees[endpoint.name] = (volume, trees)
                    return self._change(endpoint.name, state="ready", until=time.time(), error="", retry_at=None)
                raise ConfigError(
                    "The weights were complete and are so no more; is something else removing files of the volume?"
                )
            except (Error, OSError) as exc:
                error = exc.message if isinstance(exc, Error) else str(exc)
                self._change(endpoint.name, state="failed", error=error, retry_at=time.time() + wait_s)
                log.warning("weights.failed endpoint=%s retry_s=%.0f reason=%s", endpoint.name, wait_s, error)
            await asyncio.sleep(wait_s)
            wait_s = min(_RETRY_LONGEST_S, wait_s * 2)

    def _look(self, endpoint: Endpoint, wanted: list[Weights]) -> tuple[Volume, list[Tree] | None]:
        """The trees when all are complete. In use from here on: first noted, then looked at."""
        volume = self._volume(endpoint)
        volume.lock = lockfile.read(lock_path(endpoint.root))
        manifests = [volume.pinned(weights) for weights in wanted]
        held = self._uses.setdefault(endpoint.name, [])
        if not held:
            for manifest in manifests:
                if manifest is not None:
                    with contextlib.suppress(OSError):  # a read-only mount: nobody evicts there
                        held.append(uses.hold(volume.layout, manifest.key, volume.owner, volume.beater))
        trees = [volume.ready(weights) for weights in wanted]
        found = [tree for tree in trees if tree is not None]
        if len(found) == len(wanted):
            return volume, found
        self.release(endpoint.name)
        return volume, None

    def _volume(self, endpoint: Endpoint) -> Volume:
        root = find_root(endpoint.root / endpoint.volume if endpoint.volume else None)
        if root not in self._volumes:
            self._volumes[root] = Volume(root)
        return self._volumes[root]

    async def _pull(self, endpoint: Endpoint, weights: Weights, root: Path) -> None:
        """One download in a process of its own: it may be large, and must not slow the plane down. Raises Error."""
        self._change(endpoint.name, source=weights.text, state="fetching", done_bytes=0, total_bytes=0)
        lock = str(lock_path(endpoint.root))
        process = await asyncio.create_subprocess_exec(
            self._python, "-c", _PULL, "volume", "pull", weights.text,
            "--progress", "json", "--volume", str(root), "--lock", lock,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=_pull_env(endpoint.env), cwd=endpoint.root, start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None and process.stderr is not None
            errors = asyncio.create_task(process.stderr.read())
            before = self._status[endpoint.name].fetched_bytes
            async for line in process.stdout:
                self._follow(endpoint.name, line, before)
            text = (await errors).decode(errors="replace").strip()
            if await process.wait():
                last = text.splitlines()[-1] if text else f"the download ended with status {process.returncode}"
                raise Error(last.removeprefix("zeroidle: "))
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    def _follow(self, name: str, line: bytes, before: int) -> None:
        try:
            now = json.loads(line)
        except ValueError:
            return
        self._change(
            name,
            state="waiting" if now.get("stage") == "wait" else "fetching",
            waits_for=now.get("waits_for", ""),
            done_bytes=now.get("done_bytes", 0),
            total_bytes=now.get("total_bytes", 0),
            fetched_bytes=before + now.get("fetched_bytes", 0),
            rate=now.get("rate", 0.0),
            left_s=now.get("left_s"),
        )

    def _change(self, name: str, **changes: object) -> Status:
        return self._set(name, replace(self._status[name], **changes))  # type: ignore[arg-type]  # fields of Status

    def _set(self, name: str, status: Status) -> Status:
        before = self._status.get(name)
        self._status[name] = status
        if before is None or before.state != status.state:
            self._on_change(name)
        return status


def lock_path(root: Path) -> Path:
    """The lock file that holds for a folder: its own, or that of the project around it."""
    for folder in (root, *root.parents):
        if (folder / lockfile.NAME).exists():
            return folder / lockfile.NAME
        if (folder / "zeroidle.toml").exists() or (folder / ".git").exists():
            break
    return root / lockfile.NAME


def _pull_env(given: Mapping[str, str]) -> dict[str, str]:
    """The plane's own environment, with what the endpoint's says of sources."""
    found = dict(os.environ)
    found.update({name: value for name, value in given.items() if name.startswith(_PASSED)})
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if name in given:  # that is for the worker
            found.pop(name, None)
    return found
