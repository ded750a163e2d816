"""What the store's conformance tests stand on: each implementation in a fresh folder, and short words for calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from zeroidle.endpoint import Endpoint
from zeroidle.job import Job, Status, new_job_id
from zeroidle.store.protocol import Lease, Outcome, Store
from zeroidle.store.sqlite import SqliteStore

IMPLEMENTATIONS: dict[str, Callable[[Path, dict[str, Endpoint]], Store]] = {"sqlite": SqliteStore}

DONE = Outcome(Status.COMPLETED, b'{"ok":true}')
LARGE = b'"' + b"x" * 300_000 + b'"'


@dataclass
class Ground:
    """A folder with its store, which can be opened again."""

    folder: Path
    build: Callable[[Path, dict[str, Endpoint]], Store]
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    store: Any = None

    async def open(self) -> Store:
        self.store = self.build(self.folder, self.endpoints)
        await self.store.open()
        return self.store  # type: ignore[no-any-return]

    async def reopen(self) -> Store:
        await self.store.close()
        return await self.open()

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def files(self) -> set[str]:
        return {path.name for path in self.spool.iterdir()}


def story(scenario: Callable[[Ground, Store], Awaitable[None]]) -> Callable[[str, Path], None]:
    """A test on an open store, run over each implementation."""

    @pytest.mark.parametrize("implementation", sorted(IMPLEMENTATIONS))
    def test(implementation: str, tmp_path: Path) -> None:
        endpoint = Endpoint("e", Path("h.py"), Path(), "python3", retries=2, timeout_s=600.0, ttl_s=86_400.0)
        ground = Ground(tmp_path / "data", IMPLEMENTATIONS[implementation], {"e": endpoint})

        async def main() -> None:
            await ground.open()
            try:
                await scenario(ground, ground.store)
            finally:
                await ground.store.close()

        asyncio.run(asyncio.wait_for(main(), 60))

    test.__name__ = scenario.__name__
    return test


def a_job(**fields: Any) -> Job:
    fields = {"id": new_job_id(), "endpoint": "e", "input": b'{"n":1}'} | fields
    return Job(**fields)


async def put(store: Store, **fields: Any) -> Job:
    return await store.put(a_job(**fields))


async def take(store: Store, worker: str = "w", limit: int = 1) -> list[Job]:
    return await store.claim("e", worker, limit, 30.0, 0.0)


async def taken(store: Store, worker: str = "w", **fields: Any) -> Job:
    """A new job that `worker` holds."""
    job = await put(store, **fields)
    assert [j.id for j in await take(store, worker)] == [job.id]
    return job


def lease(job: Job, worker: str = "w", attempt: int | None = None) -> Lease:
    return Lease(job.endpoint, job.id, worker, attempt)


async def found(store: Store, job: Job) -> Job:
    now = await store.get(job.endpoint, job.id)
    assert now is not None
    return now


async def settle() -> None:
    """Lets everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def unread(store: Store, job: Job, start: int | None = None, wait_s: float = 0.0) -> list[bytes]:
    answer = await store.read_stream(job.endpoint, job.id, start, wait_s)
    assert answer is not None
    return answer[1]


async def until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Waits for something that another thread does."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)
