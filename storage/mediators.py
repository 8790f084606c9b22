"""The mediators that keep this twin's mail while it is away, as they granted it."""

import json
import sqlite3
from dataclasses import dataclass

from identity.did import Did


@dataclass(frozen=True, slots=True)
class OwnMediatorRow:
    """A mediator of ours. `routing_did` is whom senders wrap forwards for, `uris` is where they bring them."""

    did: Did
    version: str
    routing_did: Did
    uris: tuple[str, ...]
    granted_ms: int
    picked_up_ms: int | None


def put_mediator(conn: sqlite3.Connection, row: OwnMediatorRow) -> None:
    """Note what a mediator granted, in place of what it granted before. When mail came last stays as it was."""
    conn.execute(
        "INSERT INTO mediators (did, version, routing_did, uris, granted_ms) VALUES (?,?,?,?,?)"
        " ON CONFLICT (did) DO UPDATE SET version = excluded.version, routing_did = excluded.routing_did,"
        " uris = excluded.uris, granted_ms = excluded.granted_ms",
        (row.did, row.version, row.routing_did, json.dumps(list(row.uris)), row.granted_ms),
    )


def note_pickup(conn: sqlite3.Connection, did: Did, now_ms: int) -> None:
    """Mail of this mediator was taken over."""
    conn.execute("UPDATE mediators SET picked_up_ms = ? WHERE did = ?", (now_ms, did))


def drop_mediator(conn: sqlite3.Connection, did: Did) -> None:
    """It keeps our mail no longer."""
    conn.execute("DELETE FROM mediators WHERE did = ?", (did,))


def own_mediators(conn: sqlite3.Connection) -> list[OwnMediatorRow]:
    """All of them, the one that granted it first leading."""
    rows = conn.execute(
        "SELECT did, version, routing_did, uris, granted_ms, picked_up_ms FROM mediators ORDER BY granted_ms, did"
    )
    return [
        OwnMediatorRow(Did(did), version, Did(routing_did), tuple(json.loads(uris)), granted_ms, picked_up_ms)
        for did, version, routing_did, uris, granted_ms, picked_up_ms in rows
    ]
