"""What a user declares: one endpoint with its handler, interpreter, limits, timeouts and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

#: RunPod's retention of results: 30 minutes after /run, 1 minute after /runsync (5 with a wait).
RETENTION_ASYNC_S = 1800.0
RETENTION_SYNC_S = 60.0
#: For a batch RunPod names none: as long as a job of it may wait at most.
RETENTION_BATCH_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Scaler:
    """Which rule decides the number of workers. `value` is seconds for queue_delay, jobs per worker for
    request_count; the default rule takes none."""

    kind: Literal["default", "queue_delay", "request_count"] = "default"
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint as it is served. Built by `project.load`, which is the only place that reads files and flags.

    `handler` is the Python file, `root` the folder it runs in (its own imports and files are found there),
    `python` the interpreter. Times are in seconds, sizes in bytes. `retries` is how often a job is tried again
    after its worker was lost before it is set aside as poison. `rate_limits` names the table of `gateway.limits` that
    clients are held to. `input_schema` and `output_schema` are JSON Schema
    (draft 2020-12) where type hints give one, `doc` is the author's description.

    `declared` is the name under which the file declares it, which may differ from `name`; `form` says what was
    decorated (function, stream, class ...); `batch` is the most requests handed over at once and the seconds to
    collect them; `files` says how files of a result travel (auto, inline, url); `file_limit_bytes`, `file_timeout_s`
    and `private_urls` bound the download of a file that an input names by URL; `secrets` are names of variables that
    must be set; `sources` are the user's own files that the handler file imports.
    """

    name: str
    handler: Path
    root: Path
    python: str
    sdk: Literal["auto", "shim", "real"] = "auto"
    min_workers: int = 0
    max_workers: int = 3
    idle_s: float = 5.0
    scaler: Scaler = field(default_factory=Scaler)
    timeout_s: float = 600.0
    ttl_s: float = 86_400.0
    concurrency: int = 1
    retries: int = 2
    lease_s: float = 30.0
    start_timeout_s: float = 420.0
    fork_server_idle_s: float = 600.0
    retention_s: float = RETENTION_ASYNC_S
    retention_sync_s: float = RETENTION_SYNC_S
    retention_batch_s: float = RETENTION_BATCH_S
    max_body_bytes: int = 10 * 1024 * 1024
    max_body_sync_bytes: int = 20 * 1024 * 1024
    env: dict[str, str] = field(default_factory=dict)
    rate_limits: Literal["none", "runpod"] = "none"
    input_schema: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None
    doc: str = ""
    # What follows is known only of endpoints that the handler file declares itself, by @endpoint.
    declared: str | None = None
    form: str | None = None
    batch: tuple[int, float] | None = None
    openai: str | None = None
    files: str = "auto"
    file_limit_bytes: int = 512 * 1024 * 1024
    file_timeout_s: float = 120.0
    private_urls: bool = False
    secrets: tuple[str, ...] = ()
    gpu: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    volume: str | None = None
    image: Any = None
    sources: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        # The environment may hold secrets.
        return f"Endpoint({self.name!r}, handler={str(self.handler)!r})"
