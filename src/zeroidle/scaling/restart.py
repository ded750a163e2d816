"""Takes up what an earlier plane left: jobs in progress, records of workers, what it learnt of start times."""

from __future__ import annotations

import logging

from zeroidle.job import Status
from zeroidle.store.protocol import Lease, Store

log = logging.getLogger(__name__)

_ALL = 1_000_000

#: So many records are looked at, and so many of an endpoint's newest starts are averaged.
_RECORDS, _STARTS = 200, 5


async def take_back(store: Store, endpoint: str) -> None:
    """Puts back in the queue what was in progress when an earlier plane ended. It was not the jobs' fault."""
    jobs = await store.list_jobs(endpoint, Status.IN_PROGRESS, limit=_ALL)
    leases = [Lease(endpoint, job.id, job.worker_id or "", job.attempt) for job in jobs]
    if leases:
        log.info("jobs.taken_back endpoint=%s n=%d", endpoint, len(leases))
        await store.release(leases, False, "The plane ended while the job was in progress.")


async def close_records(store: Store) -> dict[str, float]:
    """Marks the workers of an earlier plane as gone; answers the mean of each endpoint's newest start times in
    seconds."""
    boots: dict[str, list[float]] = {}
    for record in await store.list_workers(limit=_RECORDS):
        if record.ready_at is not None:
            boots.setdefault(record.endpoint, []).append(record.ready_at - record.started_at)
        if record.state != "gone":
            record.state, record.exit = "gone", "the plane ended"
            await store.save_worker(record)
    return {name: sum(times[:_STARTS]) / len(times[:_STARTS]) for name, times in boots.items()}
