"""The newest signed gossip message of each (type, author, subject): what a twin that was away can ask for.

Every message kept gets a new cursor, greater than all before it and never given again, so "since my cursor" is
exact. Both bounds drop the oldest first, and those whom the caller spares last: anybody can make authors without end.
"""

import json
import sqlite3
from collections.abc import Collection
from typing import Final

from identity.did import Did

MAX_ROWS_PER_AUTHOR: Final = 64
"""One author's messages cannot push out everybody else's. A twin has one presence and one head for each playbook."""

MAX_ROWS: Final = 8192
"""Bounds the disk: at 16 KiB each, the most that gossip allows, 128 MB; at the usual 1 KiB, 8 MB."""


def keep_latest(
    conn: sqlite3.Connection,
    *,
    type: str,  # noqa: A002 - DIDComm's own name for it
    author: Did,
    subject: str,
    message_id: str,
    created_time: int,
    signed: bytes,
    spare: Collection[Did] = (),
) -> bool:
    """Keep a message if it is newer than the one that is held for its type, author and subject. False if it is not.

    Where room is short, what the authors in `spare` said goes last.

    `created_time` is in seconds. Within one second the greater message id is the newer one, so that all nodes keep
    the same: an author who may speak twice in a second needs ids that grow with time.
    """
    held = conn.execute(
        "SELECT cursor, created_time, message_id FROM gossip WHERE author = ? AND type = ? AND subject = ?",
        (author, type, subject),
    ).fetchone()
    if held:
        if (created_time, message_id) <= (held[1], held[2]):
            return False
        conn.execute("DELETE FROM gossip WHERE cursor = ?", (held[0],))
    conn.execute(
        "INSERT INTO gossip (type, author, subject, message_id, created_time, signed) VALUES (?,?,?,?,?,?)",
        (type, author, subject, message_id, created_time, signed),
    )
    if not held:
        _enforce_bounds(conn, author, spare)
    return True


def since(conn: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, bytes]]:
    """(cursor, signed message) of those kept with a cursor above `after`, in the order they were kept."""
    rows = conn.execute("SELECT cursor, signed FROM gossip WHERE cursor > ? ORDER BY cursor LIMIT ?", (after, limit))
    return [(cursor, signed) for cursor, signed in rows]


def of_type(conn: sqlite3.Connection, message_type: str) -> list[bytes]:
    """The signed messages of one type, in the order they were kept."""
    rows = conn.execute("SELECT signed FROM gossip WHERE type = ? ORDER BY cursor", (message_type,))
    return [row[0] for row in rows]


def created_time_of(conn: sqlite3.Connection, *, type: str, author: Did, subject: str) -> int | None:  # noqa: A002
    """When the message that is held was made, in seconds; None if none is held."""
    found = conn.execute(
        "SELECT created_time FROM gossip WHERE author = ? AND type = ? AND subject = ?", (author, type, subject)
    ).fetchone()
    return int(found[0]) if found else None


def message_id_of(conn: sqlite3.Connection, *, type: str, author: Did, subject: str) -> str | None:  # noqa: A002
    """The id of the message that is held; None if none is held."""
    found = conn.execute(
        "SELECT message_id FROM gossip WHERE author = ? AND type = ? AND subject = ?", (author, type, subject)
    ).fetchone()
    return str(found[0]) if found else None


def drop(conn: sqlite3.Connection, *, type: str, author: Did, subject: str) -> None:  # noqa: A002
    """Hold nothing there any more: whatever comes next is newer."""
    conn.execute("DELETE FROM gossip WHERE author = ? AND type = ? AND subject = ?", (author, type, subject))


def newest_cursor(conn: sqlite3.Connection) -> int:
    """The greatest cursor that was ever given, 0 at first."""
    found = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'gossip'").fetchone()
    return int(found[0]) if found else 0


def _enforce_bounds(conn: sqlite3.Connection, author: Did, spare: Collection[Did]) -> None:
    conn.execute(
        "DELETE FROM gossip WHERE cursor IN"
        " (SELECT cursor FROM gossip WHERE author = ? ORDER BY cursor DESC LIMIT -1 OFFSET ?)",
        (author, MAX_ROWS_PER_AUTHOR),
    )
    for spared in (json.dumps(list(spare)), "[]"):
        rows = conn.execute("SELECT rows FROM row_counts WHERE name = 'gossip'").fetchone()[0]
        if rows <= MAX_ROWS:
            return
        conn.execute(
            "DELETE FROM gossip WHERE cursor IN (SELECT cursor FROM gossip"
            " WHERE author NOT IN (SELECT value FROM json_each(?)) ORDER BY cursor LIMIT ?)",
            (spared, rows - MAX_ROWS),
        )
