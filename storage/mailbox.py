"""Messages that came in and messages that wait to go out.

Inbound: at most one row for each (sender, message id), so that a message that arrives twice is handled once.
Outbound: in order within a thread. A message that waits for its next attempt holds back the younger ones of the
same thread to the same recipient, and no others.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from identity.did import Did
from storage.page import LAST_SEQ, Page, page_of, position

InboxStatus = Literal["request", "received", "handled", "refused"]
"""`request`: a stranger's message that waits for the owner. `received`: to be handled."""

OutboxStatus = Literal["queued", "delivered", "failed"]

_INBOX: Final = "seq, message_id, from_did, to_did, type, thid, plaintext, created_time, received_ms, status"
_OUTBOX: Final = (
    "seq, message_id, to_did, type, thid, plaintext, created_ms, expires_ms,"
    " status, attempts, next_attempt_ms, delivered_ms, last_error"
)


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A message that came in. `from_did` is None where the sender is anonymous; `created_time` is in seconds."""

    seq: int
    message_id: str
    from_did: Did | None
    to_did: Did
    type: str
    thid: str | None
    plaintext: bytes
    created_time: int | None
    received_ms: int
    status: InboxStatus


@dataclass(frozen=True, slots=True)
class Unhandled:
    """A message that is to be handled, without its text: many may wait, and each may be long."""

    seq: int
    message_id: str
    from_did: Did | None
    type: str


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message to one recipient. `attempts` counts those that failed; `delivered_ms` is set once it is there."""

    seq: int
    message_id: str
    to_did: Did
    type: str
    thid: str | None
    plaintext: bytes
    created_ms: int
    expires_ms: int | None
    status: OutboxStatus
    attempts: int
    next_attempt_ms: int
    delivered_ms: int | None
    last_error: str | None


def put_inbound(
    conn: sqlite3.Connection,
    *,
    message_id: str,
    from_did: Did | None,
    to_did: Did,
    type: str,  # noqa: A002 - DIDComm's own name for it
    thid: str | None,
    plaintext: bytes,
    created_time: int | None,
    received_ms: int,
    status: InboxStatus = "received",
) -> bool:
    """Keep a message that came in. False if this sender's message of this id is here already: then nothing changes."""
    done = conn.execute(
        "INSERT INTO inbox (message_id, from_did, to_did, type, thid, plaintext, created_time, received_ms, status)"
        " VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (from_did, message_id) DO NOTHING",
        (message_id, from_did or "", to_did, type, thid, plaintext, created_time, received_ms, status),
    )
    return done.rowcount == 1


def unhandled(conn: sqlite3.Connection, limit: int) -> list[Unhandled]:
    """Messages of status `received`, all senders in turn: the oldest of each, then the second of each, and so on."""
    rows = conn.execute(
        "SELECT seq, message_id, from_did, type FROM inbox WHERE status = 'received'"
        " ORDER BY row_number() OVER (PARTITION BY from_did ORDER BY seq), seq LIMIT ?",
        (limit,),
    )
    return [Unhandled(seq, message_id, from_did or None, kind) for seq, message_id, from_did, kind in rows]


def count_unhandled(conn: sqlite3.Connection, from_did: Did, types: Collection[str]) -> int:
    """How many messages of these types and this sender have status `received`."""
    found = conn.execute(
        "SELECT count(*) FROM inbox WHERE status = 'received' AND from_did = ?"
        " AND type IN (SELECT value FROM json_each(?))",
        (from_did, json.dumps(list(types))),
    )
    return int(found.fetchone()[0])


def mark_handled(
    conn: sqlite3.Connection, from_did: Did | None, message_id: str, status: InboxStatus = "handled"
) -> None:
    """Set a message's status. Nothing happens if it is not here."""
    conn.execute(
        "UPDATE inbox SET status = ? WHERE from_did = ? AND message_id = ?", (status, from_did or "", message_id)
    )


def get_inbound(conn: sqlite3.Connection, from_did: Did | None, message_id: str) -> InboxRow | None:
    """One message, or None."""
    found = conn.execute(
        f"SELECT {_INBOX} FROM inbox WHERE from_did = ? AND message_id = ?", (from_did or "", message_id)
    ).fetchone()
    return _inbox_row(found) if found else None


def inbox(
    conn: sqlite3.Connection, *, limit: int, after: str | None = None, status: InboxStatus | None = None
) -> Page[InboxRow]:
    """Messages that came in, newest first."""
    rows = conn.execute(
        f"SELECT {_INBOX} FROM inbox WHERE seq < ? AND (? IS NULL OR status = ?) ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), status, status, limit + 1),
    )
    return page_of([_inbox_row(row) for row in rows], limit, lambda row: row.seq)


def count_requests(conn: sqlite3.Connection, from_did: Did | None) -> int:
    """How many requests of this sender wait for the owner."""
    found = conn.execute("SELECT count(*) FROM inbox WHERE status = 'request' AND from_did = ?", (from_did or "",))
    return int(found.fetchone()[0])


def count_all_requests(conn: sqlite3.Connection) -> int:
    """How many requests wait for the owner, of all senders."""
    return int(conn.execute("SELECT count(*) FROM inbox WHERE status = 'request'").fetchone()[0])


def accept_requests(conn: sqlite3.Connection, from_did: Did) -> int:
    """Turn the requests of a sender whom the owner now trusts into messages to be handled; return how many."""
    return conn.execute(
        "UPDATE inbox SET status = 'received' WHERE status = 'request' AND from_did = ?", (from_did,)
    ).rowcount


def queue_outbound(
    conn: sqlite3.Connection,
    *,
    message_id: str,
    to_did: Did,
    type: str,  # noqa: A002 - DIDComm's own name for it
    thid: str | None,
    plaintext: bytes,
    created_ms: int,
    expires_ms: int | None,
) -> None:
    """Queue a message, due at once. A message id that is here already changes nothing."""
    conn.execute(
        "INSERT INTO outbox (message_id, to_did, type, thid, thread, plaintext, created_ms, expires_ms, status,"
        " next_attempt_ms) VALUES (?,?,?,?,?,?,?,?,'queued',?) ON CONFLICT (message_id) DO NOTHING",
        (message_id, to_did, type, thid, thid or message_id, plaintext, created_ms, expires_ms, created_ms),
    )


def due(conn: sqlite3.Connection, to_did: Did, now_ms: int, limit: int) -> list[OutboxRow]:
    """What may be sent to this recipient now, oldest first: send it in this order.

    A message is left out while an older one of its thread waits for a later attempt. Expired messages are still
    among them: give up on those.
    """
    rows = conn.execute(
        f"SELECT {_OUTBOX} FROM outbox AS message WHERE to_did = ? AND status = 'queued' AND next_attempt_ms <= ?"
        " AND NOT EXISTS (SELECT 1 FROM outbox AS older WHERE older.to_did = message.to_did"
        "   AND older.thread = message.thread AND older.status = 'queued' AND older.seq < message.seq"
        "   AND older.next_attempt_ms > ?)"
        " ORDER BY seq LIMIT ?",
        (to_did, now_ms, now_ms, limit),
    )
    return [OutboxRow(*row) for row in rows]


def recipients_due(conn: sqlite3.Connection) -> dict[Did, int]:
    """For each recipient of a queued message the time from which on `due` has something."""
    rows = conn.execute(
        # SQLite takes a bare column from the row that min() chose (sqlite.org/lang_select.html, section 2.5).
        "SELECT to_did, min(next_attempt_ms) FROM"
        " (SELECT to_did, next_attempt_ms, min(seq) FROM outbox WHERE status = 'queued' GROUP BY to_did, thread)"
        " GROUP BY to_did"
    )
    return {Did(to_did): due_ms for to_did, due_ms in rows}


def mark_delivered(conn: sqlite3.Connection, ids: Iterable[str], now_ms: int) -> None:
    """The recipient has them. That is final."""
    conn.executemany(
        "UPDATE outbox SET status = 'delivered', delivered_ms = ?, last_error = NULL"
        " WHERE message_id = ? AND status <> 'delivered'",
        [(now_ms, message_id) for message_id in ids],
    )


def mark_retry(conn: sqlite3.Connection, ids: Iterable[str], *, now_ms: int, next_attempt_ms: int, error: str) -> None:
    """An attempt failed at `now_ms`; try again at `next_attempt_ms`, which is not before it."""
    assert next_attempt_ms >= now_ms
    conn.executemany(
        "UPDATE outbox SET attempts = attempts + 1, next_attempt_ms = ?, last_error = ?"
        " WHERE message_id = ? AND status = 'queued'",
        [(next_attempt_ms, error, message_id) for message_id in ids],
    )


def put_off(conn: sqlite3.Connection, to_did: Did, *, next_attempt_ms: int, error: str) -> None:
    """The recipient cannot be reached: all that is queued for it waits until then, or until it expires if sooner."""
    conn.execute(
        "UPDATE outbox SET attempts = attempts + 1, next_attempt_ms = min(?, ifnull(expires_ms, ?)), last_error = ?"
        " WHERE to_did = ? AND status = 'queued'",
        (next_attempt_ms, next_attempt_ms, error, to_did),
    )


def mark_failed(conn: sqlite3.Connection, ids: Iterable[str], *, error: str) -> None:
    """Give up on messages that are still queued."""
    conn.executemany(
        "UPDATE outbox SET status = 'failed', last_error = ? WHERE message_id = ? AND status = 'queued'",
        [(error, message_id) for message_id in ids],
    )


def retry_now(conn: sqlite3.Connection, to_did: Did, now_ms: int) -> int:
    """This recipient can be reached again: what waits for a later attempt is due now. Returns how many."""
    return conn.execute(
        "UPDATE outbox SET next_attempt_ms = ? WHERE to_did = ? AND status = 'queued' AND next_attempt_ms > ?",
        (now_ms, to_did, now_ms),
    ).rowcount


def outbox(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[OutboxRow]:
    """Messages to others, newest first."""
    rows = conn.execute(
        f"SELECT {_OUTBOX} FROM outbox WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), limit + 1),
    )
    return page_of([OutboxRow(*row) for row in rows], limit, lambda row: row.seq)


def get_outbound(conn: sqlite3.Connection, message_id: str) -> OutboxRow | None:
    """One message, or None."""
    found = conn.execute(f"SELECT {_OUTBOX} FROM outbox WHERE message_id = ?", (message_id,)).fetchone()
    return OutboxRow(*found) if found else None


def _inbox_row(row: tuple[object, ...]) -> InboxRow:
    seq, message_id, from_did, *rest = row
    return InboxRow(seq, message_id, from_did or None, *rest)  # type: ignore[arg-type]
