"""What one commit writes: rows, ready to be written by another process."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from itertools import chain

from msgspec import Struct, field

from zeroidle.store.rows import Row

#: Jobs per statement: a statement costs more than a row. One that is missing costs as much as one that is there, so
#: there are many sizes.
_GROUPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


class Batch(Struct, eq=False):
    """Rows by table. The four lists of jobs differ in which columns they write: Python binds a NULL dearly, so
    what is frequent has a statement without any. `forget`, `revived`, `forget_deliveries` and `forget_job_batches`
    are JSON arrays of what is removed; `files` go when the commit is durable. `drafts`, `finalized`, `abandoned` and
    `job_batches` are of batches of jobs, which share no more than the word with this one."""

    waiting: list[Row] = field(default_factory=list)
    new_ended: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    jobs: list[Row] = field(default_factory=list)
    bodies: list[Row] = field(default_factory=list)
    chunks: list[Row] = field(default_factory=list)
    notes: list[Row] = field(default_factory=list)
    reads: list[Row] = field(default_factory=list)
    counters: list[Row] = field(default_factory=list)
    deliveries: list[Row] = field(default_factory=list)
    workers: list[Row] = field(default_factory=list)
    keys: list[tuple[str, str | None]] = field(default_factory=list)
    forget: str | None = None
    revived: str | None = None
    forget_deliveries: str | None = None
    keep_workers: int | None = None
    files: list[str] = field(default_factory=list)
    drafts: list[Row] = field(default_factory=list)
    finalized: list[Row] = field(default_factory=list)
    abandoned: list[Row] = field(default_factory=list)
    job_batches: list[Row] = field(default_factory=list)
    forget_job_batches: str | None = None


class BatchWriter:
    """Writes batches through one connection."""

    def __init__(self, db: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._db = db
        self._queries = queries
        self._grouped: dict[tuple[str, int], str] = {}

    def commit(self, number: int, batch: Batch) -> None:
        """Writes everything durably, with the batch's number, or nothing. Raises sqlite3.Error."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            self._write(batch)
            db.execute(self._queries["number_batch"], (number,))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # SQLite has rolled back by itself after some errors
                db.execute("ROLLBACK")
            raise

    def _write(self, batch: Batch) -> None:
        run = self._db.execute
        for name, which in (
            ("delete_jobs", batch.forget),
            ("delete_bodies", batch.forget),
            ("delete_chunks", batch.forget),
            ("delete_outputs", batch.revived),
            ("delete_chunks", batch.revived),
            ("delete_deliveries", batch.forget_deliveries),
            ("delete_batches", batch.forget_job_batches),
        ):
            if which is not None:
                run(self._queries[name], (which,))
        self._write_grouped("insert_draft", batch.drafts)
        for row in batch.finalized:
            run(self._queries["finalize_drafts"], row)
        for row in batch.abandoned:
            run(self._queries["cancel_drafts"], row)
        self._write_grouped("insert_waiting", batch.waiting)
        self._write_grouped("insert_ended", batch.new_ended)
        self._write_grouped("upsert_job", batch.jobs)
        self._write_grouped("update_ended", batch.ended)
        for name, rows in (
            ("upsert_body", batch.bodies),
            ("upsert_chunk", batch.chunks),
            ("append_phase", batch.notes),
            ("advance_read", batch.reads),
            ("upsert_counter", batch.counters),
            ("upsert_delivery", batch.deliveries),
            ("upsert_worker", batch.workers),
            ("upsert_batch", batch.job_batches),
        ):
            if rows:
                self._db.executemany(self._queries[name], rows)
        for key_name, digest in batch.keys:
            if digest is None:
                run(self._queries["delete_key"], (key_name,))
            else:
                run(self._queries["save_key"], (key_name, digest))
        if batch.keep_workers is not None:
            run(self._queries["delete_old_workers"], (batch.keep_workers,))

    def _write_grouped(self, name: str, rows: list[Row]) -> None:
        at, n = 0, len(rows)
        while at < n:
            size = next((group for group in _GROUPS if group >= n - at), _GROUPS[-1])
            values = list(chain.from_iterable(rows[at : at + size]))
            columns = len(rows[0])
            values += [None] * (size * columns - len(values))
            self._db.execute(self._statement(name, size, columns), values)
            at += size

    def _statement(self, name: str, size: int, columns: int) -> str:
        sql = self._grouped.get((name, size))
        if sql is None:
            group = "(" + ",".join("?" * columns) + ")"
            sql = self._queries[name].replace("{rows}", ",".join([group] * size))
            self._grouped[name, size] = sql
        return sql
