"""A whole copy of a database that another process may be writing to, and making a copy a database of its own."""

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from storage import meta
from storage.connection import connect_writer, translated
from storage.errors import DatabaseDamaged, StorageFailed
from storage.files import as_storage_error

INSTANCE: str = "instance"
"""The name in `meta` of what tells this home from a copy of it."""


def snapshot(source: Path, target: Path) -> None:
    """Copy the database at `source` as it is in one moment, into a new file with mode 0600.

    Its writer goes on meanwhile (sqlite.org/backup.html: all pages in one step are one read transaction).
    Raises StorageError; then there is no `target`.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise as_storage_error(error, target) from error
    try:
        with closing(connect_writer(source)) as held, closing(sqlite3.connect(target)) as copy:
            held.backup(copy)
    except (sqlite3.Error, StorageFailed) as error:
        target.unlink(missing_ok=True)
        raise _failed(error, source) from error


def settle(copy: Path) -> str:
    """Check a restored database and give it an instance of its own, which is returned. Raises StorageError."""
    instance = secrets.token_hex(16)
    try:
        with closing(connect_writer(copy)) as conn:
            found = conn.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise DatabaseDamaged(f"{copy.name} in the backup is damaged: {found}")
            conn.execute("BEGIN IMMEDIATE")
            meta.put(conn, INSTANCE, instance)
            conn.execute("COMMIT")
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise _failed(error, copy) from error
    return instance


def _failed(error: Exception, path: Path) -> Exception:
    failure = translated(error)
    return StorageFailed(f"copying {path}: {error}") if isinstance(failure, sqlite3.Error) else failure
