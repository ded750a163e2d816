"""The changes that one commit makes durable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct, field

from zeroidle.errors import StoreError
from zeroidle.job import Job
from zeroidle.job_batch import JobBatch
from zeroidle.store.protocol import Delivery
from zeroidle.store.rows import Row
from zeroidle.store.transitions import Before

#: Hears that a commit is durable (None), or why it is not.
Done = Callable[[StoreError | None], None]


class Group(Struct, eq=False):
    """The changes of one commit. `undo` tells in order what to take back when it fails, `waiters` hear how it went.
    `ended` are jobs by their endpoint and the worker that held them.
    `drafts` are new requests of batches with the seconds that they may wait; `batches_before` are the records of
    batches that change, as they were (None: not there)."""

    jobs: dict[int, Job] = field(default_factory=dict)
    new: set[int] = field(default_factory=set)
    undo: list[tuple[Literal["added", "ended", "revived"], Job, Before | None]] = field(default_factory=list)
    ended: dict[tuple[str, str | None], list[Job]] = field(default_factory=dict)
    revived: set[int] = field(default_factory=set)
    chunks: list[Row] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    reads: dict[int, int] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    workers: dict[str, Row] = field(default_factory=dict)
    keys: list[tuple[str, str | None]] = field(default_factory=list)
    forget: list[int] = field(default_factory=list)
    forget_deliveries: list[str] = field(default_factory=list)
    keep_workers: int | None = None
    files: list[str] = field(default_factory=list)
    drafts: list[tuple[Job, float]] = field(default_factory=list)
    finalized: list[Row] = field(default_factory=list)
    abandoned: list[Row] = field(default_factory=list)
    batches_before: dict[str, JobBatch | None] = field(default_factory=dict)
    forget_batches: list[str] = field(default_factory=list)
    deliveries_due: bool = False
    made: list[str] = field(default_factory=list)
    waiters: list[Done] = field(default_factory=list)
    dirty: bool = False
