"""What the owner is asked to decide, and the signed record of each decision."""

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

from storage.page import LAST_SEQ, Page, page_of, position

Kind = Literal["action", "question", "outcome", "answer"]
Status = Literal["pending", "approved", "denied", "expired", "used"]

_COLUMNS: Final = (
    "seq, id, job_id, n, kind, summary, action, action_hash, status, created_ms, expires_ms, decided_ms, note, record"
)


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """One decision. `action` is canonical JSON, `action_hash` its SHA-256; `record` is the signed artifact, JSON."""

    seq: int
    id: str
    job_id: str | None
    n: int | None
    kind: Kind
    summary: str
    action: bytes
    action_hash: bytes
    status: Status
    created_ms: int
    expires_ms: int
    decided_ms: int | None = None
    note: str | None = None
    record: bytes | None = None


def put(conn: sqlite3.Connection, row: ApprovalRow) -> None:
    """Keep a new one; `seq` is given here."""
    conn.execute(
        "INSERT INTO approvals (id, job_id, n, kind, summary, action, action_hash, status, created_ms, expires_ms)"
        " VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            row.id,
            row.job_id,
            row.n,
            row.kind,
            row.summary,
            row.action,
            row.action_hash,
            row.status,
            row.created_ms,
            row.expires_ms,
        ),
    )


def get(conn: sqlite3.Connection, approval_id: str) -> ApprovalRow | None:
    """One, or None."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM approvals WHERE id = ?", (approval_id,)).fetchone()
    return None if found is None else ApprovalRow(*found)


def of_step(conn: sqlite3.Connection, job_id: str, n: int) -> ApprovalRow | None:
    """The newest about this step of a job, or None."""
    found = conn.execute(
        f"SELECT {_COLUMNS} FROM approvals WHERE job_id = ? AND n = ? ORDER BY seq DESC LIMIT 1", (job_id, n)
    ).fetchone()
    return None if found is None else ApprovalRow(*found)


def with_hash(conn: sqlite3.Connection, action_hash: bytes) -> list[ApprovalRow]:
    """All for this very action, newest first."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM approvals WHERE action_hash = ? ORDER BY seq DESC", (action_hash,))
    return [ApprovalRow(*row) for row in rows]


def decide(
    conn: sqlite3.Connection,
    approval_id: str,
    status: Status,
    *,
    decided_ms: int,
    note: str | None = None,
    record: bytes | None = None,
) -> bool:
    """Decide one that is pending; whether it was."""
    done = conn.execute(
        "UPDATE approvals SET status = ?, decided_ms = ?, note = ?, record = ? WHERE id = ? AND status = 'pending'",
        (status, decided_ms, note, record, approval_id),
    )
    return done.rowcount == 1


def use(conn: sqlite3.Connection, approval_id: str) -> bool:
    """Spend one that was approved; whether it was still there to be spent."""
    done = conn.execute("UPDATE approvals SET status = 'used' WHERE id = ? AND status = 'approved'", (approval_id,))
    return done.rowcount == 1


def listed(
    conn: sqlite3.Connection, *, limit: int, after: str | None = None, status: Status | None = None
) -> Page[ApprovalRow]:
    """Newest first, all or those with one status."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM approvals WHERE seq < ? AND (? IS NULL OR status = ?) ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), status, status, limit + 1),
    )
    return page_of([ApprovalRow(*row) for row in rows], limit, lambda row: row.seq)


def due(conn: sqlite3.Connection, now_ms: int) -> list[str]:
    """Pending ones whose time is over."""
    rows = conn.execute("SELECT id FROM approvals WHERE status = 'pending' AND expires_ms <= ?", (now_ms,))
    return [row[0] for row in rows]


def next_due_ms(conn: sqlite3.Connection) -> int | None:
    """When the next pending one expires."""
    found = conn.execute("SELECT MIN(expires_ms) FROM approvals WHERE status = 'pending'").fetchone()
    return None if found[0] is None else int(found[0])


def pending_of_job(conn: sqlite3.Connection, job_id: str) -> list[str]:
    """The pending ones of a job: they end with it."""
    rows = conn.execute("SELECT id FROM approvals WHERE status = 'pending' AND job_id = ?", (job_id,))
    return [row[0] for row in rows]
