"""Translates what lies beside the jobs to rows of the tables and back: deliveries, workers, batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zeroidle.job import Spooled
from zeroidle.job_batch import BatchStatus, JobBatch
from zeroidle.store.protocol import Delivery, WorkerRecord
from zeroidle.store.rows import Row, clean, payload_of, phases_of, phases_text, sound, text


def delivery_row(delivery: Delivery) -> Row:
    """The row of a webhook delivery. Its body is kept in the row, or in a file of the spool."""
    body = delivery.body
    return (
        delivery.id,
        delivery.endpoint,
        delivery.job_id,
        text(delivery.url),
        f"{body.size_bytes}:{body.path}" if isinstance(body, Spooled) else body,
        delivery.created_at,
        delivery.state,
        delivery.attempts,
        delivery.next_at,
        delivery.last_status,
        clean(delivery.last_error),
        delivery.delivered_at,
    )


def delivery_of(row: Sequence[Any]) -> Delivery:
    """The delivery of a row."""
    id_, endpoint, job_id, url, body, *rest = row
    return Delivery(id_, endpoint, job_id, url, payload_of(body, None) or b"", *rest)


def worker_row(record: WorkerRecord) -> Row:
    """The row of a worker's record."""
    return (
        record.id,
        record.endpoint,
        record.state,
        record.pid,
        record.started_at,
        record.ready_at,
        record.ended_at,
        clean(record.exit),
        clean(record.error),
        clean(record.log_path),
        clean(record.sdk),
        record.jobs_done,
        None if record.phases is None else phases_text(sound(record.phases)),
    )


def worker_of(row: Sequence[Any]) -> WorkerRecord:
    """The record of a row."""
    values = [*row[:-1], None if row[-1] is None else phases_of(row[-1])]
    return WorkerRecord(*values)


def batch_row(batch: JobBatch) -> Row:
    """The row of a batch's record."""
    return (
        batch.id,
        batch.endpoint,
        clean(batch.name),
        clean(batch.webhook),
        batch.status.value,
        batch.created_at,
        batch.finalized_at,
        batch.ended_at,
        batch.total,
        batch.completed,
        batch.failed,
        batch.cancelled,
    )


def batch_of(row: Sequence[Any]) -> JobBatch:
    """The record of a row."""
    id_, endpoint, name, webhook, status, *rest = row
    return JobBatch(id_, endpoint, name, webhook, BatchStatus(status), *rest)
