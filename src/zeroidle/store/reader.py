"""Everything that is read from the file: single rows on the loop, lists in a thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from zeroidle.job import Job, Spooled, Status
from zeroidle.job_batch import JobBatch
from zeroidle.store.database import connect, explain, read_queries
from zeroidle.store.protocol import Delivery, WorkerRecord
from zeroidle.store.rows import Value, job_of, payload_of, told_of, waiting_of
from zeroidle.store.rows_beside import batch_of, delivery_of, worker_of

#: A list of jobs with their results ends after so many bytes of them.
_PAGE_BYTES = 8 << 20


class Reader:
    """Two connections that cannot write. What commits while a list is read does not disturb it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queries = read_queries()
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._list_db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Raises StoreError."""
        try:
            self._db, self._list_db = connect(self._path), connect(self._path)
        except sqlite3.Error as exc:
            raise explain(exc, self._path) from exc

    def close(self) -> None:
        """Waits for a list that is being read."""
        with self._lock:
            for db in (self._db, self._list_db):
                if db is not None:
                    db.close()
            self._db = self._list_db = None

    def _select(self, name: str, *values: Value) -> list[tuple[Any, ...]]:
        return self._run(self._db, name, values)

    def _list(self, name: str, *values: Value) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._run(self._list_db, name, values)

    def _run(self, db: sqlite3.Connection | None, name: str, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        if db is None:
            raise explain(sqlite3.ProgrammingError("it is closed"), self._path)
        try:
            return db.execute(self._queries[name], values).fetchall()
        except sqlite3.Error as exc:
            raise explain(exc, self._path) from exc

    # On the loop: one row by an index

    def job(self, endpoint: str, job_id: str, now: float) -> Job | None:
        """A job by its id, unless its time is over."""
        for row in self._select("select_job", job_id, endpoint):
            job, forget_at = job_of(row)
            return job if forget_at is None or forget_at > now else None
        return None

    def id_of_key(self, endpoint: str, key: str) -> tuple[int, str, float | None, list[str]] | None:
        """Number, id, end of retention and files of the job that came with an idempotency key."""
        for seq, job_id, forget_at, *payloads in self._select("select_job_by_key", endpoint, key):
            return seq, job_id, forget_at, list(_files(payloads))
        return None

    def taken(self, endpoint: str, job_id: str) -> bool:
        """Whether the id is used."""
        return bool(self._select("select_taken", job_id, endpoint))

    def chunks(self, seq: int, start: int, stop: int, max_bytes: int) -> list[bytes]:
        """Stream chunks from `start` to `stop` (exclusive), at most `max_bytes` but at least one."""
        chunks: list[bytes] = []
        size_bytes = 0
        if self._db is None:
            return chunks
        try:
            cursor = self._db.execute(self._queries["select_chunks"], (seq, start, stop))
            for (data,) in cursor:
                size_bytes += len(data)
                if chunks and size_bytes > max_bytes:
                    break
                chunks.append(data)
            cursor.close()  # an open one would keep the log from being emptied
        except sqlite3.Error as exc:
            raise explain(exc, self._path) from exc
        return chunks

    def next_forget(self) -> float | None:
        """When the next retention ends."""
        at: float | None = self._select("select_next_forget")[0][0]
        return at

    def keys(self) -> dict[str, str]:
        """All API keys: name to digest."""
        return dict(self._select("select_keys"))

    # In a thread

    def live(self) -> Iterator[Job]:
        """The jobs that have not ended, in the order of the queue."""
        return (job_of(row)[0] for row in self._list("select_live"))

    def last_seq(self) -> int:
        """The number of the newest job."""
        return self._list("select_last_seq")[0][0] or 0

    def counters(self) -> list[tuple[str, int, int, int]]:
        """Endpoint, completed, failed, retried."""
        return self._list("select_counters")

    def files(self) -> set[str]:
        """Every spool file that a row refers to."""
        return set(_files(value for (value,) in self._list("select_files")))

    def newest(self, endpoint: str, before_seq: int, status: Status | None, now: float, limit: int) -> list[Job]:
        """Jobs of an endpoint, newest first, without their input."""
        wanted = None if status is None else status.value
        rows = self._list("select_newest", endpoint, before_seq, wanted, now, limit)
        return [job_of(row, with_input=False)[0] for row in rows]

    def batches(self) -> list[JobBatch]:
        """All batches, oldest first."""
        return [batch_of(row) for row in self._list("select_batches")]

    def of_batch(self, batch: str, status: str | None, now: float, limit: int, offset: int) -> tuple[list[Job], bool]:
        """Jobs of a batch in their order, without their input, until there are enough bytes of results, and whether
        there are more; its drafts are IN_QUEUE."""
        jobs: list[Job] = []
        size_bytes = 0
        with self._lock:
            if self._list_db is None:
                raise explain(sqlite3.ProgrammingError("it is closed"), self._path)
            try:
                values = (batch, status, now, limit + 1, offset)
                with closing(self._list_db.execute(self._queries["select_of_batch"], values)) as rows:
                    for row in rows:
                        job = told_of(row)
                        output = job.output
                        size_bytes += len(job.error or "")
                        size_bytes += output.size_bytes if isinstance(output, Spooled) else len(output or b"")
                        if len(jobs) == limit or (jobs and size_bytes > _PAGE_BYTES):
                            return jobs, True
                        jobs.append(job)
            except sqlite3.Error as exc:
                raise explain(exc, self._path) from exc
        return jobs, False

    def one_of_batch(self, endpoint: str, batch: str, job_id: str, now: float) -> Job | None:
        """One job or draft of a batch, unless its time is over."""
        for row in self._list("select_one_of_batch", job_id, endpoint, batch):
            job, forget_at = job_of(row)
            return job if forget_at is None or forget_at > now else None
        return None

    def waiting_of_batch(self, batch: str, after_seq: int, limit: int) -> list[Job]:
        """Jobs of a batch that wait, after a number, in their order."""
        return [waiting_of(row, batch) for row in self._list("select_waiting_of_batch", batch, after_seq, limit)]

    def forgotten(self, now: float, limit: int) -> list[tuple[int, list[str]]]:
        """Number and files of jobs whose retention is over."""
        rows = self._list("select_forgotten", now, limit)
        return [(seq, list(_files(payloads))) for seq, *payloads in rows]

    def deliveries(self, state: str | None, due_before: float | None, limit: int) -> list[Delivery]:
        """Deliveries, the most urgent first."""
        return [delivery_of(row) for row in self._list("select_deliveries", state, due_before, limit)]

    def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery."""
        return next((delivery_of(row) for row in self._list("select_delivery", delivery_id)), None)

    def old_deliveries(self, delivered_before: float, dead_before: float, limit: int) -> list[tuple[str, list[str]]]:
        """Id and files of deliveries that are over."""
        rows = self._list("select_done_deliveries", delivered_before, dead_before, limit)
        return [(id_, list(_files([body]))) for id_, body in rows]

    def workers(self, endpoint: str | None, limit: int) -> list[WorkerRecord]:
        """Workers, newest first."""
        return [worker_of(row) for row in self._list("select_workers", endpoint, limit)]


def _files(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            payload = payload_of(value, None)
            if isinstance(payload, Spooled):
                yield payload.path
