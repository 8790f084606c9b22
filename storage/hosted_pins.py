"""What is kept here for others: who asked for it, how far it is, and what it counts against their share."""

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

from identity.cid import Cid
from identity.did import Did
from storage.page import Page, page_of, position

HostedStatus = Literal["queued", "pinning", "pinned", "failed"]

_CLIENTS_AT_ONCE: Final = 256
"""Clients that are looked at for the next one to be served."""

_COLUMNS: Final = "seq, client, cid, name, status, reason, size_bytes, created_ms, updated_ms"


@dataclass(frozen=True, slots=True)
class HostedPin:
    """One CID that a client wants kept. `size_bytes` is what of it is here, as it counts against the client's share."""

    seq: int
    client: Did
    cid: Cid
    name: str | None
    status: HostedStatus
    reason: str | None
    size_bytes: int
    created_ms: int
    updated_ms: int


def add(conn: sqlite3.Connection, client: Did, cid: Cid, name: str | None, now_ms: int) -> None:
    """Queue a CID. One that is there gets the name, and another chance if it had failed."""
    conn.execute(
        "INSERT INTO hosted_pins (client, cid, name, status, created_ms, updated_ms) VALUES (?,?,?,'queued',?,?)"
        " ON CONFLICT (client, cid) DO UPDATE SET name = excluded.name,"
        " status = CASE status WHEN 'failed' THEN 'queued' ELSE status END,"
        " created_ms = CASE status WHEN 'failed' THEN excluded.created_ms ELSE created_ms END,"
        " reason = CASE status WHEN 'failed' THEN NULL ELSE reason END, updated_ms = excluded.updated_ms",
        (client, str(cid), name, now_ms, now_ms),
    )


def remove(conn: sqlite3.Connection, client: Did, cid: Cid) -> bool:
    """Keep it no longer; whether it was there."""
    return conn.execute("DELETE FROM hosted_pins WHERE client = ? AND cid = ?", (client, str(cid))).rowcount == 1


def remove_client(conn: sqlite3.Connection, client: Did) -> int:
    """Keep nothing of this client any longer; how many pins went."""
    return conn.execute("DELETE FROM hosted_pins WHERE client = ?", (client,)).rowcount


def note(
    conn: sqlite3.Connection, seq: int, status: HostedStatus, *, size_bytes: int, reason: str | None, now_ms: int
) -> bool:
    """How a pin stands now; False if it is not wanted any more."""
    done = conn.execute(
        "UPDATE hosted_pins SET status = ?, size_bytes = ?, reason = ?, updated_ms = ? WHERE seq = ?",
        (status, size_bytes, reason, now_ms, seq),
    )
    return done.rowcount == 1


def get(conn: sqlite3.Connection, client: Did, cid: Cid) -> HostedPin | None:
    """The pin of this client, or None."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM hosted_pins WHERE client = ? AND cid = ?", (client, str(cid))
    ).fetchone()
    return _pin(row) if row else None


def unfinished(conn: sqlite3.Connection) -> list[HostedPin]:
    """What is still to be fetched: of each client the one that was not tried for longest, the longest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS}, min(updated_ms) FROM hosted_pins WHERE status IN ('queued', 'pinning')"
        " GROUP BY client ORDER BY updated_ms, seq LIMIT ?",
        (_CLIENTS_AT_ONCE,),
    )
    return [_pin(row[:-1]) for row in rows]


def used_bytes(conn: sqlite3.Connection, client: Did | None = None) -> int:
    """What the pins of one client count, or those of all."""
    return int(
        conn.execute(
            "SELECT ifnull(sum(size_bytes), 0) FROM hosted_pins WHERE ? IS NULL OR client = ?", (client, client)
        ).fetchone()[0]
    )


def count(conn: sqlite3.Connection, client: Did | None = None) -> int:
    """How many pins one client has, or all have."""
    return int(
        conn.execute("SELECT count(*) FROM hosted_pins WHERE ? IS NULL OR client = ?", (client, client)).fetchone()[0]
    )


def list_pins(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[HostedPin]:
    """Hosted pins, oldest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM hosted_pins WHERE seq > ? ORDER BY seq LIMIT ?",
        (position(after, start=0), limit + 1),
    )
    return page_of([_pin(row) for row in rows], limit, lambda pin: pin.seq)


def newest(conn: sqlite3.Connection, client: Did, limit: int) -> list[HostedPin]:
    """The client's pins that changed last."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM hosted_pins WHERE client = ? ORDER BY updated_ms DESC, seq DESC LIMIT ?",
        (client, limit),
    )
    return [_pin(row) for row in rows]


def pinned(conn: sqlite3.Connection) -> list[Cid]:
    """All that is kept whole for somebody, oldest first."""
    rows = conn.execute("SELECT DISTINCT cid FROM hosted_pins WHERE status = 'pinned' ORDER BY seq")
    return [Cid.parse(cid) for (cid,) in rows]


def clients(conn: sqlite3.Connection) -> list[Did]:
    """Everybody for whom something is kept."""
    return [Did(client) for (client,) in conn.execute("SELECT DISTINCT client FROM hosted_pins")]


def succeed(conn: sqlite3.Connection, old: Did, new: Did) -> None:
    """The client `old` is called `new` from now on, and so is the host of that name."""
    for table, column in (("hosted_pins", "client"), ("remote_pins", "host")):
        conn.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {column} = ?", (new, old))
        conn.execute(f"DELETE FROM {table} WHERE {column} = ?", (old,))


def _pin(row: tuple[int, str, str, str | None, HostedStatus, str | None, int, int, int]) -> HostedPin:
    seq, client, cid, name, status, reason, size_bytes, created_ms, updated_ms = row
    return HostedPin(seq, Did(client), Cid.parse(cid), name, status, reason, size_bytes, created_ms, updated_ms)
