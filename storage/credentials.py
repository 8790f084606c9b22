"""Verifiable credentials: those this twin has issued, those it holds, and the status lists of the issued ones.

A status list's bits are not kept: they follow from the credentials that are revoked. Its indexes are given away in
random order, so that an index tells nothing about when its credential was issued, or how many there are.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from identity.did import Did
from storage.page import LAST_SEQ, Page, page_of, position

Role = Literal["issued", "held"]
Form = Literal["json", "jwt"]

LIST_BITS: Final = 131_072
"""Entries of one list, the least that Bitstring Status List 1.0 allows."""

LIST_FULL: Final = LIST_BITS // 2
"""With so many given away a new list begins: until then a random index is free at every second try or better."""

_COLUMNS: Final = (
    "seq, id, role, type, issuer, subject, form, document, status_list, status_index, revoked_ms, valid_until_ms, ts_ms"
)


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """One credential. `type` is its first type that says something; `subject` is None where it names none."""

    seq: int
    id: str
    role: Role
    type: str
    issuer: str
    subject: str | None
    form: Form
    document: bytes
    status_list: int | None
    status_index: int | None
    revoked_ms: int | None
    valid_until_ms: int | None
    ts_ms: int


@dataclass(frozen=True, slots=True)
class StatusListRow:
    """A status list: who signs it, the public URL it is served under ('' for none), and what its bits mean."""

    n: int
    issuer: Did
    place: str
    purpose: str


def put_credential(
    conn: sqlite3.Connection,
    *,
    id: str,  # noqa: A002
    role: Role,
    type: str,  # noqa: A002
    issuer: str,
    subject: str | None,
    form: Form,
    document: bytes,
    status_list: int | None = None,
    status_index: int | None = None,
    valid_until_ms: int | None = None,
    ts_ms: int,
) -> bool:
    """Keep a credential. False if one of this id is here in this role already: then nothing changes."""
    done = conn.execute(
        "INSERT INTO credentials (id, role, type, issuer, subject, form, document, status_list, status_index,"
        " valid_until_ms, ts_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (role, id) DO NOTHING",
        (id, role, type, issuer, subject or "", form, document, status_list, status_index, valid_until_ms, ts_ms),
    )
    return done.rowcount == 1


def get_credential(conn: sqlite3.Connection, credential_id: str, role: Role | None = None) -> CredentialRow | None:
    """One credential, in this role or in any, issued first; or None."""
    found = conn.execute(
        f"SELECT {_COLUMNS} FROM credentials WHERE id = ? AND role = ifnull(?, role) ORDER BY role DESC LIMIT 1",
        (credential_id, role),
    ).fetchone()
    return _row(found) if found else None


def list_credentials(
    conn: sqlite3.Connection,
    *,
    limit: int,
    after: str | None = None,
    role: Role | None = None,
    type: str | None = None,  # noqa: A002
) -> Page[CredentialRow]:
    """Credentials, newest first."""
    wanted = {"role": role, "type": type}
    given = {name: value for name, value in wanted.items() if value is not None}
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM credentials WHERE seq < ?{''.join(f' AND {name} = ?' for name in given)}"
        " ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), *given.values(), limit + 1),
    )
    return page_of([_row(row) for row in rows], limit, lambda row: row.seq)


def revoke(conn: sqlite3.Connection, credential_id: str, now_ms: int) -> None:
    """Mark an issued credential as revoked. That is final; a second time changes nothing."""
    conn.execute(
        "UPDATE credentials SET revoked_ms = ? WHERE id = ? AND role = 'issued' AND revoked_ms IS NULL",
        (now_ms, credential_id),
    )


def reserve_index(
    conn: sqlite3.Connection, *, issuer: Did, place: str, purpose: str, pick: Callable[[int], int], now_ms: int
) -> tuple[int, int]:
    """Give away an index that was never given, in a list that is opened if need be; returns the list and the index.

    `pick(n)` is a random number below n.
    """
    found = conn.execute(
        "SELECT n FROM status_lists WHERE issuer = ? AND place = ? AND purpose = ? AND used < ?"
        " ORDER BY n DESC LIMIT 1",
        (issuer, place, purpose, LIST_FULL),
    ).fetchone()
    if found is None:
        found = conn.execute(
            "INSERT INTO status_lists (issuer, place, purpose, created_ms) VALUES (?,?,?,?) RETURNING n",
            (issuer, place, purpose, now_ms),
        ).fetchone()
    number = int(found[0])
    while True:
        index = pick(LIST_BITS)
        if conn.execute("INSERT INTO status_indexes VALUES (?,?) ON CONFLICT DO NOTHING", (number, index)).rowcount:
            conn.execute("UPDATE status_lists SET used = used + 1 WHERE n = ?", (number,))
            return number, index


def get_status_list(conn: sqlite3.Connection, number: int) -> StatusListRow | None:
    """One status list, or None."""
    found = conn.execute("SELECT n, issuer, place, purpose FROM status_lists WHERE n = ?", (number,)).fetchone()
    return StatusListRow(*found) if found else None


def revoked_indexes(conn: sqlite3.Connection, number: int) -> list[int]:
    """The indexes of a list whose bit is set."""
    rows = conn.execute(
        "SELECT status_index FROM credentials WHERE status_list = ? AND revoked_ms IS NOT NULL", (number,)
    )
    return [row[0] for row in rows]


def _row(row: tuple[object, ...]) -> CredentialRow:
    seq, credential_id, role, kind, issuer, subject, *rest = row
    return CredentialRow(seq, credential_id, role, kind, issuer, subject or None, *rest)  # type: ignore[arg-type]
