"""What the command line and the dashboard ask of a plane: endpoints, workers, jobs, why, logs, webhooks, keys."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from zeroidle.endpoint import Endpoint
from zeroidle.errors import Conflict, NotFound, RequestError
from zeroidle.gateway import admin_rows as rows
from zeroidle.gateway.admin_logs import LogReader
from zeroidle.gateway.auth import digest, new_key
from zeroidle.gateway.message import Request, Response
from zeroidle.insight.gather import Scaling, Sources
from zeroidle.insight.timeline import timeline
from zeroidle.insight.why import endpoint_verdict
from zeroidle.insight.why_job import job_verdict
from zeroidle.job import Job, Status
from zeroidle.store.protocol import Store
from zeroidle.worker import Registry

KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MAX_LISTED = 1000


class Webhooks(Protocol):
    """The sender of webhooks, as far as it is asked."""

    async def redeliver(self, delivery_id: str) -> object:
        """Sends a delivery again, at once. Raises NotFound."""


class Keys(Protocol):
    """Who checks keys, told when they change."""

    async def refresh(self) -> None:
        """Reads the keys anew."""


_Answer = Awaitable[object]
_Route = Callable[[Request, str], _Answer]


class AdminApi:
    """Everything under /admin. Its callers are checked before, by the app.

    With a `token`, keys are made and revoked only by who sends it: the user of this machine who may read the plane's
    own file.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        endpoints: Mapping[str, Endpoint],
        scaling: Scaling,
        webhooks: Webhooks,
        *,
        auth: Keys | None = None,
        token: str | None = None,
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._registry = registry
        self._webhooks = webhooks
        self._auth = auth
        self._token = token
        self._sources = Sources(store, registry, endpoints, scaling)
        self._logs = LogReader(self._sources)
        self._started_at = time.time()
        self._routes: dict[tuple[str, str], _Route] = {
            ("GET", "plane"): self._plane,
            ("GET", "endpoints"): self._list_endpoints,
            ("GET", "endpoints/*"): self._endpoint,
            ("GET", "jobs"): self._jobs,
            ("GET", "jobs/*"): self._job,
            ("POST", "jobs/*/cancel"): self._cancel,
            ("POST", "jobs/*/retry"): self._retry,
            ("POST", "endpoints/*/purge"): self._purge,
            ("GET", "why/*"): self._why,
            ("GET", "logs/*"): self._read_logs,
            ("GET", "webhooks"): self._deliveries,
            ("POST", "webhooks/*/redeliver"): self._redeliver,
            ("GET", "keys"): self._keys,
            ("POST", "keys/*"): self._make_key,
            ("DELETE", "keys/*"): self._revoke_key,
        }

    async def handle(self, request: Request) -> Response:
        """Answers one request. Raises RequestError and StoreError, which the app turns into answers."""
        parts = [part for part in request.path.split("/")[2:] if part]
        name = parts[1] if len(parts) > 1 else ""
        pattern = "/".join("*" if i == 1 else part for i, part in enumerate(parts))
        route = self._routes.get((request.method, pattern))
        if route is None:
            raise NotFound(f"There is no {request.method} {request.path[:200]!r} in the admin API.")
        return Response(200, msgspec.json.encode(await route(request, name)))

    # Endpoints

    async def _plane(self, request: Request, _: str) -> object:
        return {"pid": os.getpid(), "started_at": self._started_at, "endpoints": list(self._endpoints)}

    async def _list_endpoints(self, request: Request, _: str) -> object:
        memory = request.param("memory") != "0"
        return {"endpoints": [await self._row(e, memory) for e in list(self._endpoints.values())]}

    async def _row(self, endpoint: Endpoint, memory: bool) -> dict[str, Any]:
        facts = await self._sources.endpoint_facts(endpoint)
        row = rows.endpoint_row(facts)
        row["workers"] = [await rows.worker_row(w, facts.now, memory) for w in facts.live]
        row["verdict"] = endpoint_verdict(facts).to_json()
        return row

    async def _endpoint(self, request: Request, name: str) -> object:
        endpoint = self._known(name)
        return await self._row(endpoint, True) | rows.declaration(endpoint)

    async def _purge(self, request: Request, name: str) -> object:
        return {"removed": await self._store.purge(self._known(name).name)}

    def _known(self, name: str) -> Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise NotFound(f"There is no endpoint {name[:100]!r}; there is: {', '.join(self._endpoints) or 'none'}.")
        return endpoint

    # Jobs

    async def _jobs(self, request: Request, _: str) -> object:
        wanted = request.param("status")
        if wanted is not None and wanted not in Status.__members__:
            raise RequestError(f"status is {wanted[:100]!r}; it must be one of {', '.join(Status)}.")
        status = Status(wanted) if wanted else None
        name = request.param("endpoint")
        names = [self._known(name).name] if name else list(self._endpoints)
        limit = _limit(request)
        found: list[Job] = []
        for each in names:
            found += await self._store.list_jobs(each, status, limit)
        found.sort(key=lambda job: job.created_at, reverse=True)
        return {"jobs": [rows.job_row(job) for job in found[:limit]]}

    async def _one_job(self, ref: str) -> Job:
        found = await self._sources.find_job(ref)
        if not found:
            raise NotFound(f"There is no job {ref[:100]!r} here; it may have expired. See: zeroidle jobs")
        if len(found) > 1:
            ids = ", ".join(job.id for job in found[:5])
            raise Conflict(f"{len(found)} jobs begin with {ref!r}: {ids}{' ...' if len(found) > 5 else ''}")
        return found[0]

    async def _job(self, request: Request, ref: str) -> object:
        job = await self._one_job(ref)
        return rows.job_row(job) | {"timeline": timeline(job, time.time()).to_json()}

    async def _cancel(self, request: Request, ref: str) -> object:
        job = await self._one_job(ref)
        before = job.status
        after = await self._store.cancel(job.endpoint, job.id)
        return rows.job_row(after or job) | {"changed": before != (after or job).status}

    async def _retry(self, request: Request, ref: str) -> object:
        job = await self._one_job(ref)
        return rows.job_row(await self._store.retry(job.endpoint, job.id))

    async def _why(self, request: Request, ref: str) -> object:
        endpoint = self._endpoints.get(ref)
        if endpoint is not None:
            facts = await self._sources.endpoint_facts(endpoint)
            return {"endpoint": ref, "verdict": endpoint_verdict(facts).to_json()}
        job = await self._one_job(ref)
        endpoint_facts = await self._sources.endpoint_facts(self._known(job.endpoint))
        verdict = job_verdict(await self._sources.job_facts(job), endpoint_facts)
        return {
            "job": rows.job_row(job),
            "verdict": verdict.to_json(),
            "timeline": timeline(job, endpoint_facts.now).to_json(),
        }

    async def _read_logs(self, request: Request, ref: str) -> object:
        if ref in self._endpoints:
            return await self._logs.of_endpoint(ref, request)
        record = await self._sources.worker_record(ref)
        if record is not None:
            return await self._logs.of_worker(record, request)
        return await self._logs.of_job(await self._one_job(ref), request)

    # Webhooks

    async def _deliveries(self, request: Request, _: str) -> object:
        state = request.param("state")
        if state is not None and state not in ("pending", "delivered", "dead"):
            raise RequestError(f"state is {state[:100]!r}; it must be pending, delivered or dead.")
        found = await self._store.list_deliveries(state, None, _limit(request))
        return {"deliveries": [rows.delivery_row(delivery) for delivery in found]}

    async def _redeliver(self, request: Request, delivery_id: str) -> object:
        await self._webhooks.redeliver(delivery_id)
        return {"id": delivery_id, "state": "pending"}

    # Keys

    def _owner_only(self, request: Request) -> None:
        if self._token is None:
            return
        sent = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not secrets.compare_digest(sent.encode(), self._token.encode()):
            raise RequestError("API keys are made and revoked only on the plane's own machine: zeroidle keys.")

    async def _keys(self, request: Request, _: str) -> object:
        return {"keys": [{"name": n, "digest": d[:12]} for n, d in sorted((await self._store.list_keys()).items())]}

    async def _make_key(self, request: Request, name: str) -> object:
        self._owner_only(request)
        if not KEY_NAME.fullmatch(name):
            raise RequestError(f"{name[:100]!r} cannot be a key's name: it takes letters, digits, dots and dashes.")
        if name in await self._store.list_keys():
            raise Conflict(f"There is a key {name} already; revoke it first: zeroidle keys revoke {name}")
        key = new_key()
        await self._store.save_key(name, digest(key))
        await self._changed()
        return {"name": name, "key": key}

    async def _revoke_key(self, request: Request, name: str) -> object:
        self._owner_only(request)
        if name not in await self._store.list_keys():
            raise NotFound(f"There is no key {name[:100]!r}; see: zeroidle keys list")
        await self._store.save_key(name, None)
        await self._changed()
        return {"name": name, "left": len(await self._store.list_keys())}

    async def _changed(self) -> None:
        if self._auth is not None:
            await asyncio.shield(self._auth.refresh())


def _limit(request: Request) -> int:
    text = request.param("limit") or "100"
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LISTED):
        raise RequestError(f"limit is {text[:100]!r}; it must be a whole number from 1 to {MAX_LISTED}.")
    return int(text)
