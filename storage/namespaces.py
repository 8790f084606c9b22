"""Namespaces of memories: what each is for, and who may be told of it. One that is not here is private."""

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal, cast

Privacy = Literal["private", "ask", "shared"]

UNNAMED_PRIVACY: Final[Privacy] = "private"


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    """One namespace. `fixed`: only the owner writes it. `memories` is how many there are in it."""

    name: str
    privacy: Privacy
    description: str
    fixed: bool
    memories: int


def list_namespaces(conn: sqlite3.Connection) -> list[NamespaceRow]:
    """Every namespace that was described or that has a memory, by name."""
    rows = conn.execute(
        "SELECT name, max(privacy), max(description), max(fixed), sum(n) FROM ("
        " SELECT name, privacy, description, fixed, 0 AS n FROM namespaces"
        " UNION ALL SELECT namespace, '', '', 0, count(*) FROM memories GROUP BY namespace"
        ") GROUP BY name ORDER BY name"
    )
    return [
        NamespaceRow(name, cast(Privacy, privacy or UNNAMED_PRIVACY), description, bool(fixed), count)
        for name, privacy, description, fixed, count in rows
    ]


def with_privacy(conn: sqlite3.Connection, privacy: Literal["ask", "shared"]) -> tuple[str, ...]:
    """The names of all that have this privacy, in order. Not for `private`: what nobody described is private too."""
    rows = conn.execute("SELECT name FROM namespaces WHERE privacy = ? ORDER BY name", (privacy,))
    return tuple(name for (name,) in rows)


def privacy_of(conn: sqlite3.Connection, name: str) -> Privacy:
    """Who may be told of what is in it."""
    row = conn.execute("SELECT privacy FROM namespaces WHERE name = ?", (name,)).fetchone()
    return cast(Privacy, row[0]) if row else UNNAMED_PRIVACY


def fixed_names(conn: sqlite3.Connection) -> frozenset[str]:
    """Those that only the owner writes."""
    return frozenset(name for (name,) in conn.execute("SELECT name FROM namespaces WHERE fixed = 1"))


def set_privacy(conn: sqlite3.Connection, name: str, privacy: Privacy) -> None:
    """Say who may be told of what is in a namespace, whether or not there is anything in it yet."""
    conn.execute(
        "INSERT INTO namespaces (name, privacy, description) VALUES (?, ?, '')"
        " ON CONFLICT (name) DO UPDATE SET privacy = excluded.privacy",
        (name, privacy),
    )
