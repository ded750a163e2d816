"""The JSON that clients get about jobs and workers, in RunPod's shapes, with payloads spliced in as they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from zeroidle.gateway.message import Spliced
from zeroidle.job import Job, Spooled, Status
from zeroidle.store.protocol import Counts
from zeroidle.worker import Worker, WorkerState

_json = msgspec.json.encode


def queued(job: Job) -> bytes:
    """The answer to run and retry, which put the job in the queue."""
    return b'{"id":%b,"status":"IN_QUEUE"}' % _json(job.id)


def job_state(job: Job) -> bytes:
    """`id` and `status` only: the answer to cancel, and to run with an idempotency key."""
    return b'{"id":%b,"status":"%b"}' % (_json(job.id), job.status.encode())


def job_body(job: Job, spool: Path) -> bytes | Spliced:
    """The job object of /status. A spooled output is sent from its file."""
    output, started_at, finished_at = job.output, job.started_at, job.finished_at
    if job.status is Status.COMPLETED and type(output) is bytes and started_at and finished_at and job.error is None:
        delay_ms, execution_ms = (started_at - job.queued_at) * 1000, (finished_at - started_at) * 1000
        return b'{"delayTime":%d,"executionTime":%d,"id":%b,"output":%b,"status":"COMPLETED","workerId":%b}' % (
            round(delay_ms) if delay_ms > 0 else 0, round(execution_ms) if execution_ms > 0 else 0, _json(job.id),
            output, _json(job.worker_id),
        )  # fmt: skip
    head = b"{%b%b" % (_times(job), b'"id":%b' % _json(job.id))
    tail = b',"status":"%b"' % job.status.encode()
    if job.worker_id is not None and job.status != Status.IN_QUEUE:
        tail += b',"workerId":%b' % _json(job.worker_id)
    if job.error is not None and job.final:
        head += b',"error":%b' % _json(job.error)
    output = job.progress if job.status == Status.IN_PROGRESS else job.output if job.final else None
    if output is None:
        return head + tail + b"}"
    if isinstance(output, Spooled):
        return Spliced((head + b',"output":', spool / output.path, tail + b"}"))
    return b'%b,"output":%b%b}' % (head, output, tail)


def _times(job: Job) -> bytes:
    delay_ms, execution_ms = job.delay_ms, job.execution_ms
    text = b"" if delay_ms is None else b'"delayTime":%d,' % delay_ms
    return text if execution_ms is None else text + b'"executionTime":%d,' % execution_ms


def stream_body(job: Job, chunks: list[bytes], start: int | None) -> bytes:
    """The answer of /stream. Clients stop at a final status, so it is not shown while chunks are unread."""
    read = job.chunks_read if start is None else start + len(chunks)
    more = job.final and read < job.chunks
    status = Status.IN_PROGRESS if more else job.status
    wrapped = b",".join(b'{"output":%b}' % chunk for chunk in chunks)
    return b'{"status":"%b","stream":[%b]}' % (status.encode(), wrapped)


def requests_body(jobs: list[Job], limit: int) -> bytes:
    """The answer of /requests: jobs without their payloads; `next` is given when there may be more."""
    rows = b",".join(
        b'{%b"createdAt":"%b","id":%b,"status":"%b"}'
        % (_times(job), _iso(job.created_at).encode(), _json(job.id), job.status.encode())
        for job in jobs
    )
    following = b',"next":%d' % jobs[-1].seq if len(jobs) >= limit else b""
    return b'{"requests":[%b]%b}' % (rows, following)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def health_body(counts: Counts, workers: Iterable[Worker]) -> bytes:
    """The answer of /health: RunPod's, and `waits` while workers wait for their weights."""
    jobs = {
        "completed": counts.completed,
        "failed": counts.failed,
        "inProgress": counts.in_progress,
        "inQueue": counts.queued + counts.queued_low,
        "retried": counts.retried,
    }
    workers = list(workers)
    waits = next((worker.waits_for() for worker in workers if worker.waits_for is not None), None)
    body: dict[str, object] = {"jobs": jobs, "workers": worker_counts(workers)}
    return _json(body if waits is None else body | {"waits": waits})


def metrics_body(workers: Iterable[Worker]) -> bytes:
    """The answer of /metrics of one endpoint."""
    workers = list(workers)
    ready = [w.id for w in workers if w.state == WorkerState.READY]
    return _json({"readyWorkers": ready, "workers": worker_counts(workers)})


def worker_counts(workers: Iterable[Worker]) -> dict[str, int]:
    """Workers by RunPod's words. `ready` repeats `idle`, as RunPod's does; nothing throttles on one's own machine."""
    counts = dict.fromkeys(("idle", "initializing", "ready", "running", "throttled", "unhealthy"), 0)
    for worker in workers:
        if worker.error_kind is not None and worker.state != WorkerState.READY:
            counts["unhealthy"] += 1
        elif worker.busy:
            counts["running"] += 1
        elif worker.state == WorkerState.STARTING:
            counts["initializing"] += 1
        elif worker.state == WorkerState.READY:
            counts["idle"] += 1
            counts["ready"] += 1
    return counts
