"""What clients ask of a store about batches of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zeroidle.job import Job, Status
from zeroidle.job_batch import JobBatch


class BatchStore(Protocol):
    """A batch is a draft until it is finalized: its requests are on the disk and in no queue. Then they are jobs like
    all others, but wait behind those that came one by one. A `JobBatch` that is returned is the caller's."""

    async def create_batch(self, batch: JobBatch, jobs: Sequence[Job]) -> JobBatch:
        """Takes a new batch with its first requests."""

    async def add_to_batch(self, endpoint: str, batch_id: str, jobs: Sequence[Job]) -> JobBatch:
        """Takes more requests, all or none. Raises NotFound, and Conflict when it is no draft."""

    async def replace_in_batch(self, endpoint: str, batch_id: str, job: Job) -> JobBatch:
        """Puts `job` in the place of the request with its id. Raises NotFound, Conflict."""

    async def remove_from_batch(self, endpoint: str, batch_id: str, job_id: str) -> JobBatch:
        """Removes one request. Raises NotFound, Conflict."""

    async def rename_batch(self, endpoint: str, batch_id: str, name: str | None) -> JobBatch:
        """Gives it a name. Raises NotFound."""

    async def finalize_batch(self, endpoint: str, batch_id: str) -> JobBatch:
        """Puts its requests in the queue, all or none; nothing happens to one that is FINALIZED already. Raises
        NotFound, and Conflict when it is cancelled or has no requests."""

    async def cancel_batch(self, endpoint: str, batch_id: str) -> JobBatch:
        """Cancels what waits; what runs may end. Raises NotFound."""

    async def get_batch(self, endpoint: str, batch_id: str) -> tuple[JobBatch, int] | None:
        """The batch and how many of its jobs run."""

    async def list_batches(self, endpoint: str, limit: int, offset: int) -> list[tuple[JobBatch, int]]:
        """Batches, newest first, each as `get_batch` answers it."""

    async def list_of_batch(
        self, endpoint: str, batch_id: str, status: Status | None, limit: int, offset: int
    ) -> tuple[list[Job], int | None] | None:
        """Its jobs in the order of submission, without their inputs, and the offset of the following ones, if there
        are more; drafts are IN_QUEUE. One answer holds at most 8 MiB of results, but at least one. None: no such
        batch."""

    async def one_of_batch(self, endpoint: str, batch_id: str, job_id: str) -> Job | None:
        """One of its jobs or drafts, with its input."""
