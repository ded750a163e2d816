"""A batch of jobs: made as a draft, then finalized, after which its requests run as jobs of low urgency."""

from __future__ import annotations

import enum
import os
import time

import msgspec
from msgspec import Struct


class BatchStatus(enum.StrEnum):
    """The states of a batch (runpod/docs, "Batch jobs"). There is no state for running or done: the counts tell.
    FAILED is RunPod's for a batch that its cloud gave up; here nothing leads to it."""

    DRAFT = "DRAFT"
    FINALIZED = "FINALIZED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class JobBatch(Struct):
    """One batch. Times are Unix seconds; `ended_at` is when the last of its jobs ended.

    `completed` counts jobs that are COMPLETED, `cancelled` CANCELLED ones, `failed` all others that have ended.
    """

    id: str
    endpoint: str
    name: str | None = None
    webhook: str | None = None
    status: BatchStatus = BatchStatus.DRAFT
    created_at: float = 0.0
    finalized_at: float | None = None
    ended_at: float | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def over(self) -> bool:
        """Whether no job of it waits or runs, nor will."""
        return self.status is not BatchStatus.DRAFT and self.completed + self.failed + self.cancelled >= self.total

    def copy(self) -> JobBatch:
        """A copy that later changes do not reach."""
        return msgspec.structs.replace(self)


def new_batch_id() -> str:
    """A fresh id that sorts by time."""
    return f"batch-{time.time_ns() // 1_000_000:012x}{os.urandom(6).hex()}"


def batch_body(batch: JobBatch, in_progress: int) -> dict[str, object]:
    """The JSON object of a batch that clients and its webhook get. Times are in milliseconds, as RunPod's."""
    body: dict[str, object] = {
        "id": batch.id,
        "status": batch.status,
        "requestTotal": batch.total,
        "requestInProgress": in_progress,
        "requestCompleted": batch.completed,
        "requestFailed": batch.failed,
        "requestCancelled": batch.cancelled,
        "createdAt": round(batch.created_at * 1000),
    }
    for key, at in (("finalizedAt", batch.finalized_at), ("endedAt", batch.ended_at)):
        if at is not None:
            body[key] = round(at * 1000)
    if batch.name is not None:
        body["name"] = batch.name
    return body
