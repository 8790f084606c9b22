"""Pins: which blocks must stay, alone (`direct`) or with all they link to (`recursive`)."""

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

from identity.cid import Cid
from storage.page import Page, page_of, position

PinKind = Literal["recursive", "direct"]

Where = Literal["pins", "kubo_pins"]
"""Which blocks are meant: those of our own store, or those of the Kubo that holds the content. The name of a table."""


RECEIPT: Final = "receipt"
"""The name of pins on receipts. They are for those who were given their CID: nobody is told that they are here."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One pin. `name` is what it is for, in the owner's words or a component's."""

    seq: int
    cid: Cid
    kind: PinKind
    name: str | None


def add(conn: sqlite3.Connection, cid: Cid, kind: PinKind, name: str | None = None, *, where: Where = "pins") -> None:
    """Pin a CID. One that is pinned already gets this kind and name."""
    conn.execute(
        f"INSERT INTO {where} (cid, kind, name) VALUES (?,?,?)"
        " ON CONFLICT (cid) DO UPDATE SET kind = excluded.kind, name = excluded.name",
        (str(cid), kind, name),
    )


def remove(conn: sqlite3.Connection, cid: Cid, *, where: Where = "pins") -> bool:
    """Unpin; whether it was pinned."""
    return conn.execute(f"DELETE FROM {where} WHERE cid = ?", (str(cid),)).rowcount == 1


def get(conn: sqlite3.Connection, cid: Cid, *, where: Where = "pins") -> Pin | None:
    """The pin of this very CID, or None."""
    found = conn.execute(f"SELECT seq, cid, kind, name FROM {where} WHERE cid = ?", (str(cid),)).fetchone()
    return _pin(found) if found else None


def list_pins(
    conn: sqlite3.Connection,
    *,
    limit: int,
    after: str | None = None,
    kind: PinKind | None = None,
    name: str | None = None,
    where: Where = "pins",
) -> Page[Pin]:
    """Pins, oldest first; of one kind or of one name only, if these are given."""
    rows = conn.execute(
        f"SELECT seq, cid, kind, name FROM {where}"
        " WHERE seq > ? AND (? IS NULL OR kind = ?) AND (? IS NULL OR name = ?) ORDER BY seq LIMIT ?",
        (position(after, start=0), kind, kind, name, name, limit + 1),
    )
    return page_of([_pin(row) for row in rows], limit, lambda pin: pin.seq)


def everything(conn: sqlite3.Connection) -> list[tuple[Cid, PinKind]]:
    """What is pinned and how, all of it."""
    return [(Cid.parse(cid), kind) for cid, kind in conn.execute("SELECT cid, kind FROM pins ORDER BY seq")]


def announced(conn: sqlite3.Connection) -> list[Cid]:
    """The roots that others may be told of: all but RECEIPT, oldest first."""
    return [
        Cid.parse(cid) for (cid,) in conn.execute("SELECT cid FROM pins WHERE name IS NOT ? ORDER BY seq", (RECEIPT,))
    ]


def _pin(row: tuple[int, str, PinKind, str | None]) -> Pin:
    seq, cid, kind, name = row
    return Pin(seq, Cid.parse(cid), kind, name)
