import sqlite3

from storage import meta


def test_meta_keeps_single_values(conn: sqlite3.Connection) -> None:
    assert meta.get(conn, "k") is None
    meta.put(conn, "k", "1")
    meta.put(conn, "k", "2")
    assert meta.get(conn, "k") == "2"
