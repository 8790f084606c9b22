"""Numbered migrations: `migrations/NNNN_name.sql`, each one transaction, counted by `PRAGMA user_version`.

A migration that was released is never edited; a change is a new file. Before an older database is changed,
a copy is left beside it as `node.db.schema-N.bak`.
"""

import os
import re
import sqlite3
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from storage.connection import translated
from storage.errors import NewerSchema, StorageFailed
from storage.files import as_storage_error, fsync_directory

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql\Z")


@dataclass(frozen=True, slots=True)
class Migration:
    """The step from schema `version - 1` to `version`."""

    version: int
    sql: str


def shipped_migrations() -> tuple[Migration, ...]:
    """The migrations that come with this program, without gaps, in order."""
    found = [
        Migration(int(match[1]), file.read_text(encoding="utf-8"))
        for file in resources.files("storage").joinpath("migrations").iterdir()
        if (match := _NAME.match(file.name))
    ]
    found.sort(key=lambda migration: migration.version)
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    return tuple(found)


def migrate(conn: sqlite3.Connection, path: Path, migrations: tuple[Migration, ...] | None = None) -> int:
    """Bring the database at `path` to the newest schema; return that schema's number.

    Raises NewerSchema, or another StorageError; a step that fails leaves the schema before it.
    """
    steps = shipped_migrations() if migrations is None else migrations
    newest = len(steps)
    try:
        held = int(conn.execute("PRAGMA user_version").fetchone()[0])
        if held > newest:
            raise NewerSchema(f"{path} has schema {held}; this program knows up to {newest}")
        if 0 < held < newest:
            _copy_aside(conn, path, held)
        for step in steps[held:]:
            _apply(conn, step)
    except sqlite3.Error as error:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        failure = translated(error)
        if failure is error:
            failure = StorageFailed(f"migrating {path}: {error}")
        raise failure from error
    return newest


def _apply(conn: sqlite3.Connection, step: Migration) -> None:
    # executescript would commit a transaction that is open already, so the script carries its own.
    conn.executescript(f"BEGIN IMMEDIATE;\n{step.sql}\n;PRAGMA user_version={step.version};\nCOMMIT;")


def _copy_aside(conn: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy the whole database, through SQLite's backup interface, and put it on disk before anything is changed."""
    target = path.with_name(f"{path.name}.schema-{version}.bak")
    temporary = path.with_name(f"{path.name}.schema-{version}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copy = sqlite3.connect(temporary)
            try:
                conn.backup(copy)
            finally:
                copy.close()
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(target)
        fsync_directory(path.parent)
    except OSError as error:
        raise as_storage_error(error, target) from error
