"""Messages that wait to go out, and what became of them.

In order within a thread: a message that waits for its next attempt holds back the younger ones of the same thread to
the same recipient, and no others. One that was only handed over (`sent`) holds back nothing; it is queued again when it
may be sent straight to its recipient, and then comes before the younger ones as any other.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from identity.did import Did
from storage.page import LAST_SEQ, Page, page_of, position

OutboxStatus = Literal["queued", "sent", "delivered", "failed"]
"""`sent`: handed over, but not to the recipient itself. `delivered`: the recipient has it, as far as we can know."""

OutboxForm = Literal["authcrypt", "authcrypt-signed", "anoncrypt-authcrypt", "anoncrypt-signed", "anoncrypt"]
"""How a message is packed: the forms of `protocols.didcomm`, which this room does not know."""

_OVERDUE: Final = "status = 'sent' AND next_attempt_ms <= ? AND (expires_ms IS NULL OR expires_ms > ?)"

_OUTBOX: Final = (
    "seq, message_id, to_did, type, thid, pthid, plaintext, form, created_ms, expires_ms,"
    " status, attempts, next_attempt_ms, sent_ms, delivered_ms, via, acked, last_error"
)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message to one recipient.

    `attempts` counts those that failed. `sent_ms` is when it was last handed to a carrier, `delivered_ms` when it was
    there, `via` what it went by. `acked` says that the recipient itself confirmed it in a message.
    """

    seq: int
    message_id: str
    to_did: Did
    type: str
    thid: str | None
    pthid: str | None
    plaintext: bytes
    form: OutboxForm
    created_ms: int
    expires_ms: int | None
    status: OutboxStatus
    attempts: int
    next_attempt_ms: int
    sent_ms: int | None
    delivered_ms: int | None
    via: str | None
    acked: bool
    last_error: str | None


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
    pthid: str | None = None,
    form: OutboxForm = "authcrypt",
) -> None:
    """Queue a message, due at once. A message id that is here already changes nothing."""
    conn.execute(
        "INSERT INTO outbox (message_id, to_did, type, thid, pthid, thread, plaintext, form, created_ms, expires_ms,"
        " status, next_attempt_ms) VALUES (?,?,?,?,?,?,?,?,?,?,'queued',?) ON CONFLICT (message_id) DO NOTHING",
        (
            message_id,
            to_did,
            type,
            thid,
            pthid,
            thid or message_id,
            plaintext,
            form,
            created_ms,
            expires_ms,
            created_ms,
        ),
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
    return [_outbox_row(row) for row in rows]


def carried(conn: sqlite3.Connection, to_did: Did, now_ms: int) -> dict[str, int]:
    """For each thread of which a carrier has something, which may arrive yet, the `seq` of its youngest message."""
    rows = conn.execute(
        "SELECT thread, max(seq) FROM outbox WHERE to_did = ? AND status = 'sent'"
        " AND (expires_ms IS NULL OR expires_ms > ?) GROUP BY thread",
        (to_did, now_ms),
    )
    return dict(rows.fetchall())


def recipients_due(conn: sqlite3.Connection) -> dict[Did, int]:
    """For each recipient of a queued message the time from which on `due` has something."""
    rows = conn.execute(
        # SQLite takes a bare column from the row that min() chose (sqlite.org/lang_select.html, section 2.5).
        "SELECT to_did, min(next_attempt_ms) FROM"
        " (SELECT to_did, next_attempt_ms, min(seq) FROM outbox WHERE status = 'queued' GROUP BY to_did, thread)"
        " GROUP BY to_did"
    )
    return {Did(to_did): due_ms for to_did, due_ms in rows}


def mark_delivered(conn: sqlite3.Connection, ids: Iterable[str], now_ms: int, *, via: str | None = None) -> None:
    """The recipient has them. That is final."""
    conn.executemany(
        "UPDATE outbox SET status = 'delivered', delivered_ms = ?, via = ?, last_error = NULL"
        " WHERE message_id = ? AND status <> 'delivered'",
        [(now_ms, via, message_id) for message_id in ids],
    )


def mark_sent(conn: sqlite3.Connection, ids: Iterable[str], now_ms: int, *, next_attempt_ms: int, via: str) -> None:
    """A carrier has them; unless the recipient confirms them, `resend_overdue` queues them at `next_attempt_ms`."""
    conn.executemany(
        "UPDATE outbox SET status = 'sent', sent_ms = ?, next_attempt_ms = ?, via = ?, last_error = NULL"
        " WHERE message_id = ? AND status = 'queued'",
        [(now_ms, next_attempt_ms, via, message_id) for message_id in ids],
    )


def unacknowledged(conn: sqlite3.Connection, from_did: Did, ids: Iterable[str]) -> list[str]:
    """Those of the ids that are messages to this recipient which it has not confirmed yet."""
    rows = ((message_id, get_outbound(conn, message_id)) for message_id in dict.fromkeys(ids))
    return [message_id for message_id, row in rows if row and row.to_did == from_did and not row.acked]


def mark_acknowledged(conn: sqlite3.Connection, from_did: Did, ids: Iterable[str], now_ms: int) -> list[OutboxRow]:
    """The recipient itself says that it has these. Returns those that were not delivered before.

    Ids of messages to others, and unknown ones, change nothing.
    """
    new = []
    for message_id in unacknowledged(conn, from_did, ids):
        row = get_outbound(conn, message_id)
        assert row is not None
        conn.execute(
            "UPDATE outbox SET status = 'delivered', acked = 1, delivered_ms = ifnull(delivered_ms, ?),"
            " last_error = NULL WHERE message_id = ?",
            (now_ms, message_id),
        )
        if row.status != "delivered":
            new.append(row)
    return new


def resend(conn: sqlite3.Connection, to_did: Did, now_ms: int, *, handed_before_ms: int, grace_ms: int) -> int:
    """This recipient can be reached without a carrier: queue what a carrier got until then. Returns how many.

    Each is due `grace_ms` after it was handed over: by then the recipient may have confirmed it. In the meantime it
    holds back the younger messages of its thread.
    """
    return conn.execute(
        "UPDATE outbox SET status = 'queued', next_attempt_ms = max(?, sent_ms + ?)"
        " WHERE to_did = ? AND status = 'sent' AND sent_ms <= ? AND (expires_ms IS NULL OR expires_ms > ?)",
        (now_ms, grace_ms, to_did, handed_before_ms, now_ms),
    ).rowcount


def overdue(conn: sqlite3.Connection, now_ms: int) -> bool:
    """Whether `resend_overdue` has something to do."""
    found = conn.execute(f"SELECT EXISTS (SELECT 1 FROM outbox WHERE {_OVERDUE})", (now_ms, now_ms))
    return bool(found.fetchone()[0])


def resend_overdue(conn: sqlite3.Connection, now_ms: int) -> int:
    """Queue again what nobody has confirmed in time. Returns how many."""
    return conn.execute(
        f"UPDATE outbox SET status = 'queued', next_attempt_ms = ? WHERE {_OVERDUE}", (now_ms, now_ms, now_ms)
    ).rowcount


def leave_with_carrier(conn: sqlite3.Connection, to_did: Did, *, handed_after_ms: int, again_ms: int) -> int:
    """The recipient cannot be reached without a carrier after all: what a carrier got lately is `sent` as before.

    That is what was handed over after `handed_after_ms`, and it is overdue `again_ms` after that. Returns how many.
    """
    return conn.execute(
        "UPDATE outbox SET status = 'sent', next_attempt_ms = sent_ms + ?"
        " WHERE to_did = ? AND status = 'queued' AND sent_ms > ?",
        (again_ms, to_did, handed_after_ms),
    ).rowcount


def move_recipient(conn: sqlite3.Connection, old: Did, new: Did) -> int:
    """A recipient has another DID now: what it does not have yet goes there. Returns how many."""
    return conn.execute(
        "UPDATE outbox SET to_did = ? WHERE to_did = ? AND status IN ('queued', 'sent')", (new, old)
    ).rowcount


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


def mark_expired(conn: sqlite3.Connection, ids: Iterable[str], *, error: str) -> None:
    """Give up on messages that are still queued, save those that a carrier has and may bring yet: they stay `sent`."""
    conn.executemany(
        "UPDATE outbox SET status = iif(sent_ms IS NULL, 'failed', 'sent'), last_error = ?"
        " WHERE message_id = ? AND status = 'queued'",
        [(error, message_id) for message_id in ids],
    )


def retry_now(conn: sqlite3.Connection, to_did: Did, now_ms: int) -> int:
    """This recipient can be reached again: what waits for a later attempt is due now. Returns how many."""
    return conn.execute(
        "UPDATE outbox SET next_attempt_ms = ? WHERE to_did = ? AND status = 'queued' AND next_attempt_ms > ?",
        (now_ms, to_did, now_ms),
    ).rowcount


def list_outbound(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[OutboxRow]:
    """Messages to others, newest first."""
    rows = conn.execute(
        f"SELECT {_OUTBOX} FROM outbox WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), limit + 1),
    )
    return page_of([_outbox_row(row) for row in rows], limit, lambda row: row.seq)


def get_outbound(conn: sqlite3.Connection, message_id: str) -> OutboxRow | None:
    """One message, or None."""
    found = conn.execute(f"SELECT {_OUTBOX} FROM outbox WHERE message_id = ?", (message_id,)).fetchone()
    return _outbox_row(found) if found else None


def _outbox_row(row: tuple[Any, ...]) -> OutboxRow:
    *before, acked, last_error = row
    return OutboxRow(*before, bool(acked), last_error)  # type: ignore[call-arg]
