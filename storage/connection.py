"""SQLite connections with the settings that every one of them needs, and what SQLite's errors mean to us."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from storage.errors import (
    DatabaseDamaged,
    DatabaseLocked,
    StorageError,
    StorageFailed,
    StorageFull,
)

BUSY_TIMEOUT_MS: Final = 5_000
"""How long to wait for another process (a backup tool, a shell) that holds the file. Our own threads never collide."""

WAL_SIZE_LIMIT_BYTES: Final = 64 << 20
"""The log is cut back to this after a checkpoint, so that one great batch does not keep its space for ever."""

_STATEMENT_CACHE: Final = 256
_OLDEST_SQLITE: Final = (3, 37, 0)
"""STRICT tables (SQLite 3.37) and RETURNING (3.35) are used."""

_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY_CODE: Final = 0xFF
"""The low byte of an extended result code is the primary one (sqlite.org/rescode.html)."""


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open or make the database, for writing: WAL, and every commit on disk before it returns.

    The file is made with mode 0600. Transactions are begun explicitly. Raises StorageError.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StorageFailed(f"SQLite {sqlite3.sqlite_version} is too old; 3.37 is needed")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        conn = _connect(path, "rw")
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise translated(error) from error
    try:
        mode = conn.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StorageFailed(f"{path}: this file system cannot hold a write-ahead log")
        conn.execute("PRAGMA synchronous=FULL")
        # What is deleted is overwritten: forgetting a memory leaves nothing of it in the file.
        conn.execute("PRAGMA secure_delete=ON")
        conn.execute(f"PRAGMA journal_size_limit={WAL_SIZE_LIMIT_BYTES}")
    except sqlite3.Error as error:
        conn.close()
        raise translated(error) from error
    except StorageError:
        conn.close()
        raise
    return conn


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open the existing database for reading only. Raises StorageError."""
    try:
        conn = _connect(path, "ro")
        conn.execute("PRAGMA query_only=ON")
    except sqlite3.Error as error:
        raise translated(error) from error
    return conn


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    conn = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_MS / 1000,
        check_same_thread=False,
        cached_statements=_STATEMENT_CACHE,
    )
    conn.execute("PRAGMA foreign_keys=ON")
    conn.execute("PRAGMA trusted_schema=OFF")
    conn.execute("PRAGMA temp_store=MEMORY")
    return conn


def translated(error: Exception) -> Exception:
    """What a caller should see for an error of SQLite.

    Faults of the disk, the file or other processes become a StorageError. Faults of our own SQL or values
    (a constraint, a missing column) and errors that are not SQLite's stay what they are; only a StopIteration,
    which a future cannot carry, becomes a RuntimeError.
    """
    if isinstance(error, StopIteration):
        return RuntimeError("StopIteration out of a function over the database")
    if not isinstance(error, sqlite3.Error):
        return error
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
    if code == sqlite3.SQLITE_FULL:
        return StorageFull("the disk is full")
    if code in _LOCKED:
        return DatabaseLocked("the database is locked by another process")
    if code in _DAMAGED:
        return DatabaseDamaged(f"the database is damaged: {error}")
    if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
        return StorageFailed(f"the database failed: {error}")
    return error
