"""Snapshots of playbooks: which are ours, by which a playbook is shown for now, and what became of those checked.

The blocks are in the block store.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

from identity.cid import Cid
from identity.did import Did

SnapshotStatus = Literal["own", "provisional", "confirmed", "refuted"]

_COLUMNS: Final = "cid, playbook, author, height, revisions, state_hash, status, reason, updated_ms"


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One snapshot; what its author claims of it, and what was found here. `reason` says why it was refuted."""

    cid: Cid
    playbook: str
    author: Did
    height: int
    revisions: int
    state_hash: str
    status: SnapshotStatus
    reason: str | None
    updated_ms: int


def put(conn: sqlite3.Connection, row: SnapshotRow) -> None:
    """Keep a snapshot, or what is known of it now. There is one of our own for each playbook: older ones go."""
    if row.status == "own":
        conn.execute(
            "DELETE FROM snapshots WHERE playbook = ? AND status = 'own' AND cid <> ?", (row.playbook, str(row.cid))
        )
    values = (
        *(str(row.cid), row.playbook, row.author, row.height, row.revisions, row.state_hash, row.status, row.reason),
        row.updated_ms,
    )
    conn.execute(f"INSERT OR REPLACE INTO snapshots ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", values)


def drop(conn: sqlite3.Connection, cid: Cid) -> None:
    """Forget a snapshot."""
    conn.execute("DELETE FROM snapshots WHERE cid = ?", (str(cid),))


def get(conn: sqlite3.Connection, cid: Cid) -> SnapshotRow | None:
    """One snapshot, or None."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM snapshots WHERE cid = ?", (str(cid),)).fetchone()
    return _row(found) if found else None


def with_status(conn: sqlite3.Connection, status: SnapshotStatus) -> list[SnapshotRow]:
    """All snapshots with this status, the newest first."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM snapshots WHERE status = ? ORDER BY updated_ms DESC, cid", (status,))
    return [_row(row) for row in rows]


def _row(values: tuple[object, ...]) -> SnapshotRow:
    cid, playbook, author, *rest = values
    return SnapshotRow(Cid.parse(str(cid)), str(playbook), Did(str(author)), *rest)  # type: ignore[arg-type]
