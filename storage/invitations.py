"""Invitations that the owner handed out, and who used them. One that is over is kept for the list."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from identity.did import Did
from storage.page import LAST_SEQ, Page, page_of, position

MAX_INVITATIONS: Final = 4096
"""The owner makes them, 2 KiB each; of those that are over the oldest go first, then the oldest of all."""

_COLUMNS: Final = "seq, id, did, url, goal, goal_code, name, uses, created_ms, expires_ms"
_USED: Final = "(SELECT count(*) FROM invitation_uses WHERE invitation_id = invitations.id)"


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation. It admits `uses` DIDs, of which `used` have come; `did` is ours that it names."""

    seq: int
    id: str
    did: Did
    url: str
    goal: str | None
    goal_code: str | None
    name: str | None
    uses: int
    created_ms: int
    expires_ms: int
    used: int = 0

    def is_open(self, now_ms: int) -> bool:
        """Whether it still admits somebody."""
        return self.used < self.uses and now_ms < self.expires_ms


def put_invitation(
    conn: sqlite3.Connection,
    *,
    id: str,  # noqa: A002
    did: Did,
    url: str,
    goal: str | None,
    goal_code: str | None,
    name: str | None,
    uses: int,
    created_ms: int,
    expires_ms: int,
) -> None:
    """Keep an invitation."""
    assert uses > 0
    conn.execute(
        "INSERT INTO invitations (id, did, url, goal, goal_code, name, uses, created_ms, expires_ms)"
        " VALUES (?,?,?,?,?,?,?,?,?)",
        (id, did, url, goal, goal_code, name, uses, created_ms, expires_ms),
    )
    conn.execute(
        "DELETE FROM invitations WHERE id <> ? AND seq IN (SELECT seq FROM invitations"
        f" ORDER BY ({_USED} < uses AND expires_ms > ?) DESC, seq DESC LIMIT -1 OFFSET ?)",
        (id, created_ms, MAX_INVITATIONS),
    )


def get_invitation(conn: sqlite3.Connection, id: str) -> InvitationRow | None:  # noqa: A002
    """One invitation, or None."""
    found = conn.execute(f"SELECT {_COLUMNS}, {_USED} FROM invitations WHERE id = ?", (id,)).fetchone()
    return InvitationRow(*found) if found else None


def list_invitations(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[InvitationRow]:
    """Invitations, newest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS}, {_USED} FROM invitations WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), limit + 1),
    )
    return page_of([InvitationRow(*row) for row in rows], limit, lambda row: row.seq)


def use_invitation(conn: sqlite3.Connection, id: str, did: Did, now_ms: int) -> bool:  # noqa: A002
    """Let `did` in by an invitation; False if it is not open, or `did` came in by it before."""
    row = get_invitation(conn, id)
    if row is None or not row.is_open(now_ms):
        return False
    done = conn.execute(
        "INSERT INTO invitation_uses (invitation_id, did, used_ms) VALUES (?,?,?) ON CONFLICT DO NOTHING",
        (id, did, now_ms),
    )
    return done.rowcount == 1


def remove_invitation(conn: sqlite3.Connection, id: str) -> bool:  # noqa: A002
    """Take an invitation back; whether there was one. Whom it let in stays named."""
    return conn.execute("DELETE FROM invitations WHERE id = ?", (id,)).rowcount == 1
