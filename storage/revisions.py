"""Playbook revisions that this node knows of, and what it decided about each. The content is in the block store."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from identity.cid import Cid
from identity.did import Did
from storage.page import LAST_SEQ, Page, page_of, position

RevisionStatus = Literal["pending", "adopted", "canary", "quarantined", "rejected"]
"""`pending`: not judged yet, such as one whose parents are missing. `canary`: adopted for a share of the goals.
`quarantined`: waits for a person."""

_COLUMNS: Final = "seq, cid, payload_cid, playbook, author, height, ts_ms, critique, status, reason, updated_ms"


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """One revision. `ts_ms` is what its author claims; `updated_ms` is when this node last set the status."""

    seq: int
    cid: Cid
    payload_cid: Cid
    playbook: str
    author: Did
    height: int
    ts_ms: int
    critique: str
    status: RevisionStatus
    reason: str | None
    updated_ms: int


def put(
    conn: sqlite3.Connection,
    *,
    cid: Cid,
    payload_cid: Cid,
    playbook: str,
    author: Did,
    height: int,
    ts_ms: int,
    critique: str,
    status: RevisionStatus,
    reason: str | None,
    updated_ms: int,
) -> bool:
    """Keep a revision. False if it is known already: then nothing changes, its status least of all."""
    done = conn.execute(
        "INSERT INTO revisions (cid, payload_cid, playbook, author, height, ts_ms, critique, status, reason,"
        " updated_ms) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (cid) DO NOTHING",
        (str(cid), str(payload_cid), playbook, author, height, ts_ms, critique, status, reason, updated_ms),
    )
    return done.rowcount == 1


def set_status(
    conn: sqlite3.Connection, cid: Cid, status: RevisionStatus, reason: str | None, *, updated_ms: int
) -> bool:
    """Note what was decided; whether the revision is known."""
    done = conn.execute(
        "UPDATE revisions SET status = ?, reason = ?, updated_ms = ? WHERE cid = ?",
        (status, reason, updated_ms, str(cid)),
    )
    return done.rowcount == 1


def get(conn: sqlite3.Connection, cid: Cid) -> RevisionRow | None:
    """One revision, or None."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM revisions WHERE cid = ?", (str(cid),)).fetchone()
    return _revision(found) if found else None


def list_revisions(
    conn: sqlite3.Connection,
    playbook: str,
    status: RevisionStatus | None = None,
    *,
    limit: int,
    after: str | None = None,
) -> Page[RevisionRow]:
    """A playbook's revisions, the one that came last first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM revisions WHERE playbook = ? AND (? IS NULL OR status = ?) AND seq < ?"
        " ORDER BY seq DESC LIMIT ?",
        (playbook, status, status, position(after, start=LAST_SEQ), limit + 1),
    )
    return page_of([_revision(row) for row in rows], limit, lambda row: row.seq)


def adopted(conn: sqlite3.Connection, playbook: str) -> list[Cid]:
    """The CIDs of all adopted revisions, parents before children."""
    rows = conn.execute(
        "SELECT cid FROM revisions WHERE playbook = ? AND status = 'adopted' ORDER BY height, cid", (playbook,)
    )
    return [Cid.parse(row[0]) for row in rows]


def in_canary(conn: sqlite3.Connection, playbook: str) -> list[Cid]:
    """The CIDs of all revisions that are adopted for a share of the goals, parents before children."""
    rows = conn.execute(
        "SELECT cid FROM revisions WHERE playbook = ? AND status = 'canary' ORDER BY height, cid", (playbook,)
    )
    return [Cid.parse(row[0]) for row in rows]


def by_author(conn: sqlite3.Connection, playbook: str, author: Did) -> list[RevisionRow]:
    """All revisions of an author, the one that came last first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM revisions WHERE playbook = ? AND author = ? ORDER BY seq DESC", (playbook, author)
    )
    return [_revision(row) for row in rows]


def counts_by_status(conn: sqlite3.Connection, playbook: str) -> dict[str, int]:
    """How many revisions of a playbook have each status."""
    rows = conn.execute("SELECT status, COUNT(*) FROM revisions WHERE playbook = ? GROUP BY status", (playbook,))
    return dict(rows)


def everything(conn: sqlite3.Connection, playbook: str) -> list[RevisionRow]:
    """All revisions of a playbook, parents before children."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM revisions WHERE playbook = ? ORDER BY height, cid", (playbook,))
    return [_revision(row) for row in rows]


def all_cids(conn: sqlite3.Connection) -> set[Cid]:
    """The CIDs of all revisions that were judged here, whatever came of them."""
    return {Cid.parse(row[0]) for row in conn.execute("SELECT cid FROM revisions")}


def judged(conn: sqlite3.Connection, playbook: str, cids: Sequence[Cid]) -> dict[Cid, tuple[Cid, int]]:
    """Those of `cids` that are revisions of this playbook and were judged here: their payload's CID and height."""
    found = {}
    for cid in cids:
        row = conn.execute(
            "SELECT payload_cid, height FROM revisions WHERE cid = ? AND playbook = ?", (str(cid), playbook)
        ).fetchone()
        if row is not None:
            found[cid] = (Cid.parse(row[0]), int(row[1]))
    return found


def highest(conn: sqlite3.Connection, playbook: str, limit: int) -> list[Cid]:
    """The highest revisions of a playbook that were judged here, whatever came of them."""
    rows = conn.execute(
        "SELECT cid FROM revisions WHERE playbook = ? ORDER BY height DESC, cid LIMIT ?", (playbook, limit)
    )
    return [Cid.parse(row[0]) for row in rows]


def blocks_by_author(conn: sqlite3.Connection) -> list[tuple[Did, Cid, Cid]]:
    """The author and both CIDs of every revision that was judged here."""
    rows = conn.execute("SELECT author, cid, payload_cid FROM revisions")
    return [(Did(author), Cid.parse(cid), Cid.parse(payload_cid)) for author, cid, payload_cid in rows]


def playbooks(conn: sqlite3.Connection) -> list[str]:
    """The names of all playbooks that have a revision here, sorted."""
    return [row[0] for row in conn.execute("SELECT DISTINCT playbook FROM revisions ORDER BY playbook")]


def _revision(row: tuple[object, ...]) -> RevisionRow:
    seq, cid, payload_cid, *rest = row
    return RevisionRow(seq, Cid.parse(str(cid)), Cid.parse(str(payload_cid)), *rest)  # type: ignore[arg-type]
