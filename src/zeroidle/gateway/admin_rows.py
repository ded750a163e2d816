"""The JSON objects of the admin API: endpoints, workers, jobs, deliveries."""

from __future__ import annotations

import asyncio
from typing import Any

from zeroidle.endpoint import Endpoint
from zeroidle.insight import memory as process_memory
from zeroidle.insight.facts import EndpointFacts
from zeroidle.insight.failure import split_error
from zeroidle.job import Job
from zeroidle.store.protocol import Delivery
from zeroidle.worker import Worker

_MAX_ERROR_CHARS = 300


def endpoint_row(facts: EndpointFacts) -> dict[str, Any]:
    """An endpoint as it is now; times are Unix seconds. Its environment is left out: it may hold secrets."""
    endpoint, counts = facts.endpoint, facts.counts
    return {
        "name": endpoint.name,
        "handler": str(endpoint.handler),
        "python": endpoint.python,
        "min_workers": endpoint.min_workers,
        "max_workers": endpoint.max_workers,
        "concurrency": endpoint.concurrency,
        "idle_s": endpoint.idle_s,
        "timeout_s": endpoint.timeout_s,
        "queued": counts.queued + counts.queued_low,
        "oldest_queued_at": counts.oldest_queued_at,
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "retried": counts.retried,
        "wanted": facts.scaling.wanted,
        "backoff_until": facts.scaling.backoff_until,
    }


def declaration(endpoint: Endpoint) -> dict[str, Any]:
    """What the handler says of itself."""
    return {
        "declared": endpoint.declared,
        "doc": endpoint.doc,
        "form": endpoint.form,
        "input_schema": endpoint.input_schema,
        "output_schema": endpoint.output_schema,
    }


async def worker_row(worker: Worker, now: float, memory: bool) -> dict[str, Any]:
    """A live worker. `memory` asks for its memory too, which takes some milliseconds."""
    held = await asyncio.to_thread(process_memory.read, worker.pid) if memory and worker.pid else None
    return {
        "id": worker.id,
        "state": "busy" if worker.busy and worker.state == "ready" else str(worker.state),
        "pid": worker.pid,
        "carrier": worker.carrier,
        "sdk": worker.sdk,
        "started_at": worker.started_at,
        "ready_at": worker.ready_at,
        "age_s": now - worker.started_at,
        "jobs": list(worker.jobs),
        "jobs_done": worker.jobs_done,
        "mean_run_s": worker.mean_run_s,
        "memory_bytes": held.pss_bytes if held else None,
        "private_bytes": held.private_bytes if held else None,
        "shared_bytes": held.shared_bytes if held else None,
        "forked": worker.forked,
        "note": worker.start_note,
        "error": worker.error,
    }


def job_row(job: Job) -> dict[str, Any]:
    """A job without its payloads. `error` is one line."""
    kind, message, _ = split_error(job.error)
    said = " ".join((f"{kind}: {message}" if kind else message).split())
    return {
        "id": job.id,
        "endpoint": job.endpoint,
        "status": str(job.status),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "delay_ms": job.delay_ms,
        "execution_ms": job.execution_ms,
        "worker_id": job.worker_id,
        "attempt": job.attempt,
        "losses": job.losses,
        "chunks": job.chunks,
        "error": (said[: _MAX_ERROR_CHARS - 1] + "…" if len(said) > _MAX_ERROR_CHARS else said) or None,
    }


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """A webhook's delivery without its body; a URL's user, password and query are left out."""
    return {
        "id": delivery.id,
        "endpoint": delivery.endpoint,
        "job_id": delivery.job_id,
        "url": _shown(delivery.url),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "created_at": delivery.created_at,
        "next_at": delivery.next_at if delivery.state == "pending" else None,
        "delivered_at": delivery.delivered_at,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
    }


def _shown(url: str) -> str:
    head, _, query = url.partition("?")
    scheme, _, rest = head.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{'?…' if query else ''}"
