"""Opens the SQLite file: settings, schema, version, and its errors in words."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from zeroidle.errors import StoreError, StoreFull

#: Kept in the file's header; a file with a higher number was made by a later ZeroIdle.
SCHEMA_VERSION = 2
APPLICATION_ID = 0x5A69646C  # "Zidl"

_HERE = Path(__file__).parent

#: Pages that the log may gather before they are carried over into the file. Each carry-over costs two more syncs.
_CHECKPOINT_PAGES = 4000
_LOG_KEPT_BYTES = 64 << 20
_CACHE_KIB = 8192
_BUSY_MS = 5000

#: Less free space than this makes an I/O error one of a full disk, in bytes.
_NO_ROOM_BYTES = 64 * 1024

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def read_queries() -> dict[str, str]:
    """The named queries of queries.sql."""
    queries: dict[str, str] = {}
    for part in (_HERE / "queries.sql").read_text("utf-8").split("-- name: ")[1:]:
        name, _, text = part.partition("\n")
        queries[name.strip()] = "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()
    return queries


def prepare(path: Path) -> None:
    """Makes the file when there is none, and checks that it is ours. Raises StoreError."""
    try:
        _make(path)
        db = sqlite3.connect(path, isolation_level=None)
        try:
            new = _is_new(db, path)
            db.execute("PRAGMA journal_mode = WAL")
            if new:  # one that is ready is not written to: its disk may be full
                db.execute("PRAGMA synchronous = FULL")
                schema = (_HERE / "schema.sql").read_text("utf-8")
                db.executescript(f"BEGIN; {_older(db)} {schema}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        finally:
            db.close()
    except (sqlite3.Error, OSError) as exc:
        raise explain(exc, path) from exc


def _older(db: sqlite3.Connection) -> str:
    """What the schema cannot say to a file of an earlier version: tables that are there stay as they are."""
    columns = {name for (name,) in db.execute("SELECT name FROM pragma_table_info('job')")}
    return "ALTER TABLE job ADD COLUMN batch TEXT;" if columns and "batch" not in columns else ""


def last_batch(db: sqlite3.Connection) -> int:
    """The number of the last batch that was committed."""
    number: int = db.execute("SELECT n FROM last_batch").fetchone()[0]
    return number


def _make(path: Path) -> None:
    """An empty file that only its owner can read (inputs may be private), its name durable in the folder."""
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_folder(path.parent)


def _is_new(db: sqlite3.Connection, path: Path) -> bool:
    """Whether the schema is an earlier one or still to be made. Raises StoreError when the file is not ours."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"The job store {path} was made by a later ZeroIdle (its format is {version}, this one knows "
            f"{SCHEMA_VERSION}); upgrade ZeroIdle, or choose another data folder."
        )
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if tables and "job" not in tables:
        raise StoreError(f"{path} is not a job store of ZeroIdle; choose another data folder.")
    return bool(version < SCHEMA_VERSION)


def connect(path: Path, writer: bool = False) -> sqlite3.Connection:
    """A connection for one thread at a time. Only one may be the writer."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    if not writer:
        db.execute("PRAGMA query_only = 1")
        return db
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA fullfsync = 1")  # macOS: fsync alone does not reach the platter there
    db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES}")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    db.execute("PRAGMA temp_store = MEMORY")
    return db


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def explain(exc: Exception, path: Path) -> StoreError:
    """The sentence for an error of SQLite or of the disk under `path`."""
    if isinstance(exc, StoreError):
        return exc
    if isinstance(exc, OSError):
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreFull()
        return StoreError(f"The job store under {path.parent} cannot be used: {exc.strerror or exc}.")
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _no_room(path)):
        return StoreFull()
    if code in _DAMAGED:
        return StoreError(
            f"The job store {path} is damaged ({exc}); stop the plane, move the file away (its jobs with it) or put "
            "a good copy in its place, and start again."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"Another program holds the job store {path} locked; end it and try again.")
    return StoreError(f"The job store {path} cannot be used: {exc}.")


def _no_room(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _NO_ROOM_BYTES
