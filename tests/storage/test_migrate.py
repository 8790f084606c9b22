import asyncio
import sqlite3
from pathlib import Path

import pytest

from storage.connection import connect_writer
from storage.database import Database
from storage.errors import NewerSchema, StorageFailed
from storage.migrate import Migration, migrate, shipped_migrations

FIRST = Migration(1, "CREATE TABLE t (x TEXT) STRICT; INSERT INTO t VALUES ('kept');")
SECOND = Migration(2, "ALTER TABLE t ADD COLUMN y TEXT;")
BROKEN = Migration(2, "ALTER TABLE t ADD COLUMN y TEXT; INSERT INTO missing VALUES (1);")


def version(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def test_a_new_database_gets_every_step_and_needs_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    conn = connect_writer(path)
    assert migrate(conn, path, (FIRST, SECOND)) == 2
    assert version(conn) == 2
    assert migrate(conn, path, (FIRST, SECOND)) == 2
    conn.close()
    assert not list(tmp_path.glob("*.bak"))


def test_an_older_database_is_copied_before_it_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    conn = connect_writer(path)
    migrate(conn, path, (FIRST,))
    conn.execute("INSERT INTO t VALUES ('also in the log, not yet in the file')")
    migrate(conn, path, (FIRST, SECOND))
    assert version(conn) == 2
    conn.close()
    backup = tmp_path / "node.db.schema-1.bak"
    assert backup.stat().st_mode & 0o077 == 0
    copy = sqlite3.connect(backup)
    assert version(copy) == 1
    assert copy.execute("SELECT count(*) FROM t").fetchone()[0] == 2
    assert copy.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    copy.close()
    assert not list(tmp_path.glob("*.tmp"))


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    conn = connect_writer(path)
    migrate(conn, path, (FIRST,))
    with pytest.raises(StorageFailed, match="missing"):
        migrate(conn, path, (FIRST, BROKEN))
    assert version(conn) == 1
    assert [row[1] for row in conn.execute("PRAGMA table_info(t)")] == ["x"]
    migrate(conn, path, (FIRST, SECOND))
    assert version(conn) == 2
    conn.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    newest = len(shipped_migrations())
    conn = sqlite3.connect(path)
    conn.execute(f"PRAGMA user_version={newest + 1}")
    conn.close()

    async def main() -> None:
        async with Database.open(path):
            pytest.fail("opened")

    with pytest.raises(NewerSchema, match=f"schema {newest + 1}"):
        asyncio.run(main())
    conn = sqlite3.connect(path)
    assert version(conn) == newest + 1
    conn.close()
