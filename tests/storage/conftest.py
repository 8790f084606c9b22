import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.connection import connect_writer
from storage.migrate import migrate


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A new database in a file, each statement its own transaction."""
    path = tmp_path / "node.db"
    conn = connect_writer(path)
    migrate(conn, path)
    yield conn
    conn.close()
