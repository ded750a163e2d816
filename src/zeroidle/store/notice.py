"""The webhook of a job that has ended: its body says what /status says, and is kept beside the job."""

from __future__ import annotations

import msgspec

from zeroidle.job import Job, Payload, Spooled
from zeroidle.store.protocol import Delivery

_json = msgspec.json.encode


def body_parts(job: Job) -> tuple[Payload, ...]:
    """The JSON object of an ended job, the same as /status answers, in parts of which one may be a file."""
    head, tail = b"{", b',"status":%b' % _json(job.status.value)
    if job.delay_ms is not None:
        head += b'"delayTime":%d,' % job.delay_ms
    if job.execution_ms is not None:
        head += b'"executionTime":%d,' % job.execution_ms
    head += b'"id":%b' % _json(job.id)
    if job.error is not None:
        head += b',"error":%b' % _json(job.error)
    if job.worker_id is not None:
        tail += b',"workerId":%b' % _json(job.worker_id)
    if job.output is None:
        return (head + tail + b"}",)
    return (head + b',"output":', job.output, tail + b"}")


def delivery_of_end(job: Job, url: str, body: Payload | None = None) -> Delivery:
    """The first delivery of a job's end, due at once. `body` is given when the output is a file."""
    if body is None:
        parts = body_parts(job)
        # A file cannot be read here; whoever ends a job with one has written the body before.
        body = b"".join(b"null" if isinstance(part, Spooled) else part for part in parts)
    at = job.finished_at or 0.0
    return Delivery(f"msg_{job.id}_{job.attempt}", job.endpoint, job.id, url, body, at, next_at=at)
