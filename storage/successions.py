"""Names of our own beside the did:key, and which DID took the place of which."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from identity.did import Did

Kind = Literal["peer"]

MAX_REMEMBERED: Final = 1024
"""Successions of twins that nobody here has named, 2 KiB each: whoever is named later is found here. Keys cost
nothing, so the oldest of these go."""

_COLUMNS: Final = "old, new, credential, heard_ms, followed_ms, conflict"


@dataclass(frozen=True, slots=True)
class SuccessionRow:
    """`new` took the place of `old`, as `credential` (JSON) proves. `followed_ms` is None while nothing followed from
    it here; `conflict` is another successor that `old` named and that was refused."""

    old: Did
    new: Did
    credential: str
    heard_ms: int
    followed_ms: int | None
    conflict: Did | None


def put_own_did(conn: sqlite3.Connection, *, did: Did, kind: Kind, created_ms: int) -> None:
    """Remember a name of ours, for ever."""
    conn.execute("INSERT INTO own_dids VALUES (?,?,?) ON CONFLICT (did) DO NOTHING", (did, kind, created_ms))


def own_dids(conn: sqlite3.Connection, kind: Kind) -> list[Did]:
    """The names of ours of one kind, oldest first."""
    rows = conn.execute("SELECT did FROM own_dids WHERE kind = ? ORDER BY created_ms, did", (kind,))
    return [Did(row[0]) for row in rows]


def remember(conn: sqlite3.Connection, old: Did, new: Did, *, credential: str, heard_ms: int) -> SuccessionRow:
    """Keep the first successor that `old` named; what is returned is what is held, which may be another one."""
    conn.execute(
        "INSERT INTO successions (old, new, credential, heard_ms) VALUES (?,?,?,?) ON CONFLICT (old) DO NOTHING",
        (old, new, credential, heard_ms),
    )
    conn.execute(
        "DELETE FROM successions WHERE seq IN (SELECT seq FROM successions"
        " WHERE followed_ms IS NULL AND old <> ? ORDER BY seq DESC LIMIT -1 OFFSET ?)",
        (old, MAX_REMEMBERED),
    )
    held = of_old(conn, old)
    assert held is not None
    return held


def put_own(conn: sqlite3.Connection, old: Did, new: Did, *, credential: str, now_ms: int) -> bool:
    """Note a succession of ours, whatever others said of it; whether that is news."""
    held = of_old(conn, old)
    if held is not None and held.followed_ms is not None and held.new == new:
        return False
    conn.execute("DELETE FROM successions WHERE old = ?", (old,))
    conn.execute(
        "INSERT INTO successions (old, new, credential, heard_ms, followed_ms) VALUES (?,?,?,?,?)",
        (old, new, credential, now_ms, now_ms),
    )
    return True


def of_old(conn: sqlite3.Connection, old: Did) -> SuccessionRow | None:
    """What is held of the DID that took the place of `old`."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM successions WHERE old = ?", (old,)).fetchone()
    return SuccessionRow(*found) if found else None


def mark_followed(conn: sqlite3.Connection, old: Did, followed_ms: int) -> None:
    """What followed from it here is done, in this transaction."""
    conn.execute("UPDATE successions SET followed_ms = ? WHERE old = ?", (followed_ms, old))


def mark_conflict(conn: sqlite3.Connection, old: Did, other: Did) -> bool:
    """Note that `old` named another successor as well; whether that is news."""
    cursor = conn.execute("UPDATE successions SET conflict = ? WHERE old = ? AND conflict IS NULL", (other, old))
    return cursor.rowcount == 1


def followed(conn: sqlite3.Connection) -> list[SuccessionRow]:
    """The successions that were followed, oldest first."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM successions WHERE followed_ms IS NOT NULL ORDER BY seq")
    return [SuccessionRow(*row) for row in rows]


def among(conn: sqlite3.Connection, olds: Iterable[Did]) -> list[SuccessionRow]:
    """What is held of the successors of these."""
    rows = (of_old(conn, old) for old in olds)
    return [row for row in rows if row is not None]


def tell(conn: sqlite3.Connection, dids: Iterable[Did], until_ms: int) -> None:
    """These knew us by a name that we gave up; each message says so until then."""
    conn.executemany(
        "INSERT INTO succession_told VALUES (?,?) ON CONFLICT (did) DO UPDATE SET until_ms = excluded.until_ms",
        [(did, until_ms) for did in dids],
    )


def to_tell(conn: sqlite3.Connection, now_ms: int) -> frozenset[Did]:
    """Who is still told; the others are forgotten."""
    conn.execute("DELETE FROM succession_told WHERE until_ms <= ?", (now_ms,))
    return frozenset(Did(row[0]) for row in conn.execute("SELECT did FROM succession_told"))
