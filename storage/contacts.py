"""Whom we know by other ways than their announcements: from an invitation, a succession, or the owner's own word."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from identity.did import Did

MAX_CONTACTS: Final = 4096
"""As many as twins: the owner makes them, but each invitation that is taken makes one. The oldest go."""


@dataclass(frozen=True, slots=True)
class Contact:
    """How somebody can be reached. `services` is a JSON array of DIDCommMessaging endpoints, `source` who says so."""

    did: Did
    name: str | None
    services: str
    source: str
    updated_ms: int


def put_contact(
    conn: sqlite3.Connection, did: Did, *, services: str, name: str | None, source: str, updated_ms: int
) -> None:
    """Keep what is known of somebody, in place of what was. Without a `name` an earlier one stays."""
    conn.execute(
        "INSERT INTO contacts (did, name, services, source, updated_ms) VALUES (?,?,?,?,?)"
        " ON CONFLICT (did) DO UPDATE SET name = ifnull(excluded.name, name), services = excluded.services,"
        " source = excluded.source, updated_ms = excluded.updated_ms",
        (did, name, services, source, updated_ms),
    )
    conn.execute(
        "DELETE FROM contacts WHERE did <> ? AND did IN"
        " (SELECT did FROM contacts ORDER BY updated_ms DESC, did LIMIT -1 OFFSET ?)",
        (did, MAX_CONTACTS),
    )


def get_contact(conn: sqlite3.Connection, did: Did) -> Contact | None:
    """One contact, or None."""
    found = conn.execute(
        "SELECT did, name, services, source, updated_ms FROM contacts WHERE did = ?", (did,)
    ).fetchone()
    return Contact(*found) if found else None


def contact_dids(conn: sqlite3.Connection) -> list[Did]:
    """Everybody who is a contact."""
    return [Did(row[0]) for row in conn.execute("SELECT did FROM contacts ORDER BY did")]


def names(conn: sqlite3.Connection) -> dict[Did, str]:
    """What the owner calls those contacts that have a name."""
    return {Did(did): name for did, name in conn.execute("SELECT did, name FROM contacts WHERE name IS NOT NULL")}


def remove_contact(conn: sqlite3.Connection, did: Did) -> None:
    """Forget a contact. Nothing happens if it is not here."""
    conn.execute("DELETE FROM contacts WHERE did = ?", (did,))
