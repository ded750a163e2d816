"""RunPod's client API: run, runsync, status, stream, cancel, retry, purge-queue, health, metrics, requests, batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import Struct

from zeroidle.endpoint import Endpoint
from zeroidle.errors import NotFound, RequestError
from zeroidle.gateway import answers
from zeroidle.gateway.batch_api import BatchApi
from zeroidle.gateway.body import LARGE_BYTES, remove_file
from zeroidle.gateway.idempotency import check_same
from zeroidle.gateway.limits import Limits
from zeroidle.gateway.message import Request, Response
from zeroidle.gateway.quick_api import QuickApi
from zeroidle.gateway.reply import failure
from zeroidle.gateway.submission import Check, Reader, Upload, job_of
from zeroidle.job import Job, JobIds, Status
from zeroidle.store.batch_protocol import BatchStore
from zeroidle.store.protocol import ClientStore, ClockStore
from zeroidle.worker import Registry

WAIT_MS = (1000, 300_000)  # runpod/docs, "runsync"
DEFAULT_WAIT_MS = 90_000
#: How long /stream waits for news. Clients poll it without a pause or once a second, and give up after 10 s.
STREAM_WAIT_MS = (0, 30_000)
DEFAULT_STREAM_WAIT_MS = 1000
MAX_KEY_CHARS = 255
MAX_LISTED = 1000
_MAX_SEQ = 2**63 - 1

_READ = ("GET", "HEAD", "POST")
_WRITE = ("POST",)
_ANY = ("GET", "HEAD", "POST", "PUT", "DELETE")


class Store(ClientStore, BatchStore, ClockStore, Protocol):
    """What this API needs of the store."""

    spool: Path


class _Call(NamedTuple):
    """One request on its way: the endpoint, the job's id ("" without one)."""

    request: Request
    endpoint: Endpoint
    job_id: str


class _Route(Struct, frozen=True):
    methods: tuple[str, ...]
    takes_id: bool | None  # None: as may be
    run: Callable[[_Call], Awaitable[Response]]


class RunpodApi:
    """Everything under /v2/{endpoint}/. `endpoints` may change while it serves.

    `check` is called with the input of a job for an endpoint that has an input schema; `upload` turns a form
    (multipart/form-data) into a job's input. Both may be set later.
    """

    def __init__(
        self,
        store: Store,
        endpoints: Mapping[str, Endpoint],
        registry: Registry,
        limits: Limits | None = None,
        *,
        check: Check | None = None,
        upload: Upload | None = None,
    ) -> None:
        self._store = store
        self.reader = Reader(store.spool, check, upload)
        self._endpoints = endpoints
        self._registry = registry
        self._limits = limits or Limits()
        self._ids = JobIds()
        self._batches = BatchApi(store, self.reader)
        #: The short way for what is plain.
        self.quick = QuickApi(store, endpoints, self.reader, self._ids, DEFAULT_WAIT_MS / 1000).answer
        self._routes = {
            "run": _Route(_WRITE, False, self._run),
            "runsync": _Route(_WRITE, False, self._runsync),
            "status": _Route(_READ, True, self._status),
            "status-sync": _Route(_READ, True, self._status_sync),
            "stream": _Route(_READ, True, self._stream),
            "cancel": _Route(_WRITE, True, self._cancel),
            "retry": _Route(_WRITE, True, self._retry),
            "purge-queue": _Route(_WRITE, False, self._purge),
            "health": _Route(_READ, False, self._health),
            "metrics": _Route(_READ, False, self._metrics),
            "requests": _Route(_READ, False, self._requests),
            "batch": _Route(_ANY, None, self._batch),
        }

    async def handle(self, request: Request) -> Response:
        """Answers one request. Raises RequestError and StoreError, which the app turns into answers."""
        name, operation, job_id = _split(request.path)
        endpoint = self._endpoint(name)
        route = self._routes.get(operation)
        if route is None or route.takes_id not in (None, bool(job_id)):
            raise NotFound(self._no_such_route(operation, job_id))
        if request.method not in route.methods:
            allow = ", ".join(route.methods)
            text = f"/{operation} takes {allow}, not {request.method}."
            return failure(405, text, {"allow": allow})
        call = _Call(request, endpoint, job_id)
        if endpoint.rate_limits == "none":
            return await route.run(call)
        self._limits.enter(endpoint, operation)
        try:
            return await route.run(call)
        finally:
            self._limits.leave(endpoint, operation)

    def admit(self, request: Request) -> int:
        """How many bytes a request's body may have, before it goes to disk. Raises NotFound."""
        name, operation, rest = _split(request.path)
        endpoint = self._endpoint(name)
        if operation == "batch" and request.method in ("POST", "PUT") and not rest.endswith(("finalize", "cancel")):
            return endpoint.max_body_bytes
        if request.method == "POST" and operation in ("run", "runsync"):
            return _max_bytes(endpoint, operation == "runsync")
        return LARGE_BYTES - 1

    def _endpoint(self, name: str) -> Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None and name == "LOCAL" and len(self._endpoints) == 1:
            endpoint = next(iter(self._endpoints.values()))  # the name that RunPod's own in-pod agent uses
        if endpoint is None:
            names = ", ".join(sorted(self._endpoints)) or "none"
            raise NotFound(f"There is no endpoint {name[:100]!r}; there is: {names}.")
        return endpoint

    def _no_such_route(self, operation: str, job_id: str) -> str:
        route = self._routes.get(operation)
        if route is None:
            return f"There is no operation {operation[:100]!r}; there is: {', '.join(self._routes)}."
        return f"/{operation} needs a job's id after it." if route.takes_id else f"/{operation} takes no job's id."

    # Submitting

    async def _run(self, call: _Call) -> Response:
        job = await self._put(call.request, await self._read(call, sync=False))
        # The job may have run while its answer waited for the disk; it was accepted as queued.
        known = "idempotency-key" in call.request.headers
        return Response(200, answers.job_state(job) if known else answers.queued(job))

    async def _runsync(self, call: _Call) -> Response:
        wait_s = _wait_s(call.request, WAIT_MS, DEFAULT_WAIT_MS)
        job = await self._read(call, sync=True)
        if call.request.param("wait") is not None and wait_s > call.endpoint.retention_sync_s:
            job.retain_s = wait_s  # who is ready to wait so long may come back so late (runpod/docs: up to 5 minutes)
        if isinstance(job.input, bytes) and job.idempotency_key is None:
            return self._found(await self._store.put_and_wait(job, wait_s), job.id)
        job = await self._put(call.request, job)
        return self._found(await self._store.wait(call.endpoint.name, job.id, wait_s), job.id)

    async def _read(self, call: _Call, sync: bool) -> Job:
        request, endpoint = call.request, call.endpoint
        key = request.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= MAX_KEY_CHARS:
            raise RequestError(f"The Idempotency-Key header must have 1 to {MAX_KEY_CHARS} characters.")
        submission = await self.reader.read(endpoint, request, _max_bytes(endpoint, sync))
        return job_of(submission, endpoint, self._ids.new(sync), sync, key)

    async def _put(self, request: Request, job: Job) -> Job:
        """Puts the job in the queue. A large input's file is the store's from here on, also when the client goes away
        in the middle."""
        payload = job.input
        if isinstance(payload, bytes):
            kept = await self._store.put(job)
            if kept.id != job.id:  # the idempotency key was known
                await check_same(self._store.spool, kept, job)
            return kept
        request.body = b""
        try:
            kept = await asyncio.shield(asyncio.ensure_future(self._store.put(job)))
        except Exception:
            remove_file(self._store.spool, payload.path)
            raise
        if kept.id != job.id:
            try:
                await check_same(self._store.spool, kept, job)
            finally:
                remove_file(self._store.spool, payload.path)
        return kept

    # Asking

    def _found(self, job: Job | None, job_id: str) -> Response:
        if job is None:
            raise NotFound(f"There is no job {job_id[:100]!r} here; it may have expired.")
        return Response(200, answers.job_body(job, self._store.spool))

    async def _status(self, call: _Call) -> Response:
        return self._found(await self._store.get(call.endpoint.name, call.job_id), call.job_id)

    async def _status_sync(self, call: _Call) -> Response:
        wait_s = _wait_s(call.request, WAIT_MS, DEFAULT_WAIT_MS)
        return self._found(await self._store.wait(call.endpoint.name, call.job_id, wait_s), call.job_id)

    async def _stream(self, call: _Call) -> Response:
        start = call.request.integer("start", (0, _MAX_SEQ))
        wait_s = _wait_s(call.request, STREAM_WAIT_MS, DEFAULT_STREAM_WAIT_MS)
        found = await self._store.read_stream(call.endpoint.name, call.job_id, start, wait_s)
        if found is None:
            raise NotFound(f"There is no job {call.job_id[:100]!r} here; it may have expired.")
        return Response(200, answers.stream_body(*found, start))

    async def _requests(self, call: _Call) -> Response:
        wanted = call.request.param("status")
        if wanted is not None and wanted not in Status.__members__:
            raise RequestError(f"status is {wanted[:100]!r}; it must be one of {', '.join(Status)}.")
        limit = call.request.integer("limit", (1, MAX_LISTED)) or 100
        before = call.request.integer("before", (0, _MAX_SEQ))
        status = Status(wanted) if wanted is not None else None
        jobs = await self._store.list_jobs(call.endpoint.name, status, limit, before)
        return Response(200, answers.requests_body(jobs, limit))

    async def _health(self, call: _Call) -> Response:
        name = call.endpoint.name
        return Response(200, answers.health_body(self._store.counts(name), self._registry.of(name)))

    async def _metrics(self, call: _Call) -> Response:
        return Response(200, answers.metrics_body(self._registry.of(call.endpoint.name)))

    async def _batch(self, call: _Call) -> Response:
        return await self._batches.answer(call.request, call.endpoint, call.job_id)

    # Changing

    async def _cancel(self, call: _Call) -> Response:
        job = await self._store.cancel(call.endpoint.name, call.job_id)
        if job is None:
            raise NotFound(f"There is no job {call.job_id[:100]!r} here; it may have expired.")
        return Response(200, answers.job_state(job))

    async def _retry(self, call: _Call) -> Response:
        return Response(200, answers.queued(await self._store.retry(call.endpoint.name, call.job_id)))

    async def _purge(self, call: _Call) -> Response:
        removed = await self._store.purge(call.endpoint.name)
        return Response(200, b'{"removed":%d,"status":"completed"}' % removed)


def _split(path: str) -> tuple[str, str, str]:
    """Endpoint, operation and job id of `/v2/{endpoint}/{operation}[/{id}]`, "" for what is missing."""
    parts = path.split("/", 4)
    if len(parts) == 4:
        return parts[2], parts[3], ""
    endpoint = parts[2] if len(parts) > 2 else ""
    operation = parts[3] if len(parts) > 3 else ""
    job_id = parts[4].rstrip("/") if len(parts) > 4 else ""
    return endpoint, operation, job_id


def _max_bytes(endpoint: Endpoint, sync: bool) -> int:
    return endpoint.max_body_sync_bytes if sync else endpoint.max_body_bytes


def _wait_s(request: Request, bounds: tuple[int, int], default_ms: int) -> float:
    """The `wait` of the query, given in milliseconds, in seconds."""
    wait_ms = request.integer("wait", bounds)
    return (default_ms if wait_ms is None else wait_ms) / 1000
