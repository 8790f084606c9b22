"""Single values that must survive, by name: sync cursors, the time of the last backup and their like."""

import sqlite3


def get(conn: sqlite3.Connection, key: str) -> str | None:
    """The value, or None if it was never set."""
    found = conn.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if found is None else str(found[0])


def put(conn: sqlite3.Connection, key: str, value: str) -> None:
    """Set a value in place of the old one."""
    conn.execute(
        "INSERT INTO meta (key, value) VALUES (?,?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
