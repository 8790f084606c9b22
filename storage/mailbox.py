"""Messages that came in.

At most one row for each (sender, message id), so that a message that arrives twice is handled once.
"""

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from identity.did import Did
from storage.page import LAST_SEQ, Page, page_of, position

InboxStatus = Literal["request", "received", "handled", "refused"]
"""`request`: a stranger's message that waits for the owner. `received`: to be handled."""

_INBOX: Final = "seq, message_id, from_did, to_did, type, thid, plaintext, created_time, received_ms, status, via"


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A message that came in. `from_did` is None where the sender is anonymous; `created_time` is in seconds.

    `via` is what carried it: libp2p, http, websocket or mediator.
    """

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
    via: str | None = None


@dataclass(frozen=True, slots=True)
class Unhandled:
    """A message that is to be handled, without its text: many may wait, and each may be long."""

    seq: int
    message_id: str
    from_did: Did | None
    type: str


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
    via: str | None = None,
) -> bool:
    """Keep a message that came in. False if this sender's message of this id is here already: then nothing changes."""
    done = conn.execute(
        "INSERT INTO inbox (message_id, from_did, to_did, type, thid, plaintext, created_time, received_ms, status,"
        " via) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (from_did, message_id) DO NOTHING",
        (message_id, from_did or "", to_did, type, thid, plaintext, created_time, received_ms, status, via),
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


def first_reply(conn: sqlite3.Connection, from_did: Did, thread: str) -> bytes | None:
    """What this sender wrote first in a thread that we began, or None: the plaintext."""
    found = conn.execute(
        "SELECT plaintext FROM inbox WHERE from_did = ? AND thid = ? ORDER BY seq LIMIT 1", (from_did, thread)
    ).fetchone()
    return None if found is None else bytes(found[0])


def received(conn: sqlite3.Connection, from_did: Did, ids: Collection[str]) -> set[str]:
    """Which of these ids are messages of this sender that are here."""
    found = conn.execute(
        "SELECT message_id FROM inbox WHERE from_did = ? AND message_id IN (SELECT value FROM json_each(?))",
        (from_did, json.dumps(list(ids))),
    )
    return {message_id for (message_id,) in found}


def written_to(conn: sqlite3.Connection, from_did: Did, names: Collection[Did]) -> Did | None:
    """One of these names of ours that this sender has used, None if it has used none."""
    found = conn.execute(
        "SELECT to_did FROM inbox WHERE from_did = ? AND to_did IN (SELECT value FROM json_each(?)) LIMIT 1",
        (from_did, json.dumps(list(names))),
    ).fetchone()
    return Did(found[0]) if found else None


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


def _inbox_row(row: tuple[object, ...]) -> InboxRow:
    seq, message_id, from_did, *rest = row
    return InboxRow(seq, message_id, from_did or None, *rest)  # type: ignore[arg-type]
