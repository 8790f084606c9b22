"""Mail that a relay keeps for its clients until they have it: who they are, which DIDs are theirs, what waits.

A message leaves the queue when its client confirms it, or by age; never by being handed over. Everything is bounded
here, where the counts are, and a message that finds no room is not taken.
"""

import hashlib
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from identity.did import Did

MAX_CLIENTS: Final = 100_000
"""Clients of one relay, half a kilobyte each with their keys."""

MAX_KEYS: Final = 64
"""DIDs that one client gets mail for: its name and the aliases that it handed out."""

MAX_MESSAGES: Final = 10_000
"""Messages that wait for one client: a week of a busy twin's mail."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes that wait for one client. The clients' share of what is free bounds it further, see `SHARE`."""

SHARE: Final = 64
"""One client's mail may take a 64th of what is then still free for all, and no more: whoever fills the relay with
queues of its own needs hundreds of clients to leave others less than a megabyte, and each of them costs it time."""

ROW_BYTES: Final = 512
"""What a message costs on disk beside its bytes: its row and its three index entries."""

MESSAGE_KEPT_MS: Final = 7 * 86_400_000
"""How long a message waits: as long as an undelivered message is tried, and as a receiver remembers its id."""

CLIENT_KEPT_MS: Final = 30 * 86_400_000
"""How long a client is known without coming: its owner's holiday."""

CLIENT_SAFE_MS: Final = 86_400_000
"""A client that came within a day keeps its place even when another one needs it."""

Queued = Literal["queued", "again", "unknown", "full"]
"""What became of a message: on disk now; on disk since earlier; for nobody here; no room for it."""

Claim = Literal["success", "no_change", "client_error"]
"""What became of a wish to get mail for a DID: done, so already, refused."""


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client, and how much waits for it. `version` is that of the coordination protocol which it speaks."""

    client: int
    did: Did
    version: str
    granted_ms: int
    seen_ms: int
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A message that waits for a client."""

    seq: int
    id: str
    recipient: Did
    received_ms: int
    packed: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits. The times are those of the oldest and the newest message; None if there is none."""

    messages: int
    bytes: int
    oldest_ms: int | None
    newest_ms: int | None


# Clients and their DIDs


def put_client(conn: sqlite3.Connection, did: Did, version: str, now_ms: int) -> ClientRow | None:
    """Take a client in; None if there is no place for it.

    A client that is known already stays as it is, but for `version`. Where all places are taken, the one that was not
    seen for longest makes room if nothing waits for it and it did not come today.
    """
    known = get_client(conn, did)
    if known is None:
        count = _counted(conn, "mediation_clients")
        if count >= MAX_CLIENTS and not _make_room(conn, now_ms):
            return None
        conn.execute(
            "INSERT INTO mediation_clients (did, version, granted_ms, seen_ms) VALUES (?,?,?,?)",
            (did, version, now_ms, now_ms),
        )
    else:
        conn.execute(
            "UPDATE mediation_clients SET version = ?, seen_ms = max(seen_ms, ?) WHERE client = ?",
            (version, now_ms, known.client),
        )
    return get_client(conn, did)


def get_client(conn: sqlite3.Connection, did: Did) -> ClientRow | None:
    """The client of this DID, or None."""
    found = conn.execute(
        "SELECT client, did, version, granted_ms, seen_ms, messages, bytes FROM mediation_clients WHERE did = ?", (did,)
    ).fetchone()
    return ClientRow(*found) if found else None


def touch_client(conn: sqlite3.Connection, client: int, now_ms: int) -> None:
    """Note that the client was here."""
    conn.execute("UPDATE mediation_clients SET seen_ms = max(seen_ms, ?) WHERE client = ?", (now_ms, client))


def add_key(conn: sqlite3.Connection, client: int, recipient: Did) -> Claim:
    """Let the client have the mail of `recipient`, unless another one has it or it has too many."""
    owner = owner_of(conn, recipient)
    if owner is not None:
        return "no_change" if owner == client else "client_error"
    held = conn.execute("SELECT count(*) FROM mediation_keys WHERE client = ?", (client,)).fetchone()[0]
    if held >= MAX_KEYS:
        return "client_error"
    conn.execute("INSERT INTO mediation_keys (recipient, client) VALUES (?,?)", (recipient, client))
    return "success"


def owner_of(conn: sqlite3.Connection, recipient: Did) -> int | None:
    """The client that gets the mail of `recipient`; None if nobody does."""
    found = conn.execute("SELECT client FROM mediation_keys WHERE recipient = ?", (recipient,)).fetchone()
    return int(found[0]) if found else None


def remove_key(conn: sqlite3.Connection, client: int, recipient: Did) -> Claim:
    """Take no more mail of `recipient`; what waits goes on waiting. Another client's DID is not touched."""
    removed = conn.execute("DELETE FROM mediation_keys WHERE recipient = ? AND client = ?", (recipient, client))
    return "success" if removed.rowcount else "no_change"


def keys_of(conn: sqlite3.Connection, client: int) -> list[Did]:
    """The DIDs that the client gets mail for, in the order of their text."""
    rows = conn.execute("SELECT recipient FROM mediation_keys WHERE client = ? ORDER BY recipient", (client,))
    return [Did(recipient) for (recipient,) in rows]


def succeed(conn: sqlite3.Connection, old: Did, new: Did, now_ms: int) -> bool:
    """The client `old` is called `new` from now on, with its DIDs and its mail; whether there was such a client.

    If `new` is a client too, it takes over both.
    """
    before, after = get_client(conn, old), get_client(conn, new)
    if before is None:
        return False
    if after is None:
        conn.execute("UPDATE mediation_clients SET did = ?, seen_ms = ? WHERE client = ?", (new, now_ms, before.client))
        return True
    conn.execute("UPDATE mediation_keys SET client = ? WHERE client = ?", (after.client, before.client))
    # What both have is one message: the rest of it goes with the client.
    conn.execute("UPDATE OR IGNORE mediation_queue SET client = ? WHERE client = ?", (after.client, before.client))
    conn.execute("DELETE FROM mediation_clients WHERE client = ?", (before.client,))
    return True


# The queue


def put_message(
    conn: sqlite3.Connection, recipient: Did, packed: bytes, *, now_ms: int, max_bytes: int
) -> tuple[Queued, Did | None]:
    """Keep a message for the client that has the mail of `recipient`, whose DID is the second value.

    `max_bytes` bounds what waits for all clients together.
    """
    owner = conn.execute(
        "SELECT client, did, messages, bytes FROM mediation_keys JOIN mediation_clients USING (client)"
        " WHERE recipient = ?",
        (recipient,),
    ).fetchone()
    if owner is None:
        return "unknown", None
    client, did, messages, held_bytes = owner
    message_id = hashlib.sha256(packed).hexdigest()[:32]
    if conn.execute("SELECT 1 FROM mediation_queue WHERE client = ? AND id = ?", (client, message_id)).fetchone():
        return "again", Did(did)
    cost = len(packed) + ROW_BYTES
    free = max_bytes - _counted(conn, "mediation_bytes")
    if messages >= MAX_MESSAGES or cost > free or held_bytes + cost > min(MAX_BYTES, free // SHARE):
        return "full", Did(did)
    conn.execute(
        "INSERT INTO mediation_queue (client, id, recipient, received_ms, bytes, packed) VALUES (?,?,?,?,?,?)",
        (client, message_id, recipient, now_ms, cost, packed),
    )
    return "queued", Did(did)


def waiting(
    conn: sqlite3.Connection,
    client: int,
    *,
    limit: int,
    max_bytes: int,
    after: int = 0,
    recipient: Did | None = None,
) -> list[WaitingRow]:
    """What waits for a client, oldest first, from behind position `after`.

    No more than `limit` messages, and no more than `max_bytes` of them together, but at least one if there is one.
    """
    rows = conn.execute(
        "SELECT seq, id, recipient, received_ms, packed FROM mediation_queue"
        " WHERE client = ? AND seq > ? AND (? IS NULL OR recipient = ?) ORDER BY seq LIMIT ?",
        (client, after, recipient, recipient, limit),
    )
    found: list[WaitingRow] = []
    size_bytes = 0
    for row in rows:
        size_bytes += len(row[4])
        if found and size_bytes > max_bytes:
            break
        found.append(WaitingRow(*row))
    return found


def count_waiting(conn: sqlite3.Connection, client: int, recipient: Did | None = None) -> Waiting:
    """How much waits for a client, of one of its DIDs if that is given."""
    if recipient is not None:
        found = conn.execute(
            "SELECT count(*), ifnull(sum(bytes), 0) - ? * count(*), min(received_ms), max(received_ms)"
            " FROM mediation_queue WHERE client = ? AND recipient = ?",
            (ROW_BYTES, client, recipient),
        )
    else:  # Without counting them: a client asks after each batch, and may have thousands.
        ends = "SELECT received_ms FROM mediation_queue WHERE client = ? ORDER BY seq"
        found = conn.execute(
            f"SELECT messages, bytes - ? * messages, ({ends} LIMIT 1), ({ends} DESC LIMIT 1)"
            " FROM mediation_clients WHERE client = ?",
            (ROW_BYTES, client, client, client),
        )
    return Waiting(*found.fetchone())


def confirm(conn: sqlite3.Connection, client: int, ids: Collection[str]) -> int:
    """The client has these: they are dropped. Ids of others' messages do nothing. Returns how many were dropped."""
    removed = 0
    for message_id in ids:
        done = conn.execute("DELETE FROM mediation_queue WHERE client = ? AND id = ?", (client, message_id))
        removed += done.rowcount
    return removed


# Ageing


def sweep(conn: sqlite3.Connection, now_ms: int, *, limit: int = 1000) -> tuple[int, int]:
    """Drop up to `limit` messages that nobody fetched in time, and as many clients that stayed away.

    Returns how many messages and clients went: call it again while one of them is `limit`.
    """
    messages = conn.execute(
        "DELETE FROM mediation_queue WHERE seq IN"
        " (SELECT seq FROM mediation_queue WHERE received_ms < ? ORDER BY received_ms LIMIT ?)",
        (now_ms - MESSAGE_KEPT_MS, limit),
    ).rowcount
    # Mail that came within a week keeps its client: it is dropped only after the sweep above took that.
    clients = conn.execute(
        "DELETE FROM mediation_clients WHERE client IN"
        " (SELECT client FROM mediation_clients WHERE seen_ms < ? AND messages = 0 ORDER BY seen_ms LIMIT ?)",
        (now_ms - CLIENT_KEPT_MS, limit),
    ).rowcount
    return messages, clients


def bytes_waiting(conn: sqlite3.Connection) -> int:
    """What waits for all clients together, as it counts against the bound."""
    return _counted(conn, "mediation_bytes")


def _counted(conn: sqlite3.Connection, name: str) -> int:
    return int(conn.execute("SELECT rows FROM row_counts WHERE name = ?", (name,)).fetchone()[0])


def _make_room(conn: sqlite3.Connection, now_ms: int) -> bool:
    removed = conn.execute(
        "DELETE FROM mediation_clients WHERE client IN (SELECT client FROM mediation_clients"
        " WHERE messages = 0 AND seen_ms < ? ORDER BY seen_ms LIMIT 1)",
        (now_ms - CLIENT_SAFE_MS,),
    )
    return removed.rowcount == 1
