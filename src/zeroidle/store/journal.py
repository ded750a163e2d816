"""The one thread that writes: takes batches in order and says when each is durable, or why it is not."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from zeroidle.errors import StoreError
from zeroidle.store.batch import Batch, BatchWriter
from zeroidle.store.database import connect, explain, read_queries
from zeroidle.store.spool import Spool

log = logging.getLogger(__name__)

Done = Callable[[StoreError | None], None]


class Journal:
    """Owns the writing connection. The thread sleeps in a queue while there is nothing to write."""

    def __init__(self, path: Path, spool: Spool) -> None:
        self._path = path
        self._spool = spool
        self._work: SimpleQueue[tuple[Batch, Done] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._db: sqlite3.Connection | None = None

    def start(self) -> None:
        """Opens the file and starts the thread. Call it on the loop; raises StoreError."""
        try:
            self._db = connect(self._path, writer=True)
        except sqlite3.Error as exc:
            raise explain(exc, self._path) from exc
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(self._db, loop), name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch, done: Done) -> None:
        """Writes a batch after those submitted before; `done` is called on the loop."""
        self._work.put((batch, done))

    def stop(self) -> None:
        """Waits until everything submitted is written, ends the thread and closes the file. Blocks."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None
        if self._db is not None:
            self._db.close()
            self._db = None

    def _run(self, db: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        writer = BatchWriter(db, read_queries())
        while (item := self._work.get()) is not None:
            batch, done = item
            error: StoreError | None = None
            try:
                writer.commit(batch)
            except Exception as exc:
                error = explain(exc, self._path)
                error.__cause__ = exc
            try:
                loop.call_soon_threadsafe(done, error)
            except RuntimeError:
                log.error("store.loop_gone error=%s", error)
            if error is None and batch.files:
                self._spool.remove(batch.files)
            del item, batch, done
