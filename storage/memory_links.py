"""What a memory was made from, what it contradicts, and which newer memory says the same.

Links end with either memory: SQLite takes them away with the row.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

LinkKind = Literal["derived", "contradicts"]


def add_link(conn: sqlite3.Connection, kind: LinkKind, memory: int, other: int) -> bool:
    """`derived`: `memory` was made from `other`. `contradicts`: it says otherwise than the older. Whether it is new."""
    done = conn.execute(
        "INSERT OR IGNORE INTO memory_links (kind, memory, other) VALUES (?,?,?)", (kind, memory, other)
    )
    return done.rowcount == 1


def sources_of(conn: sqlite3.Connection, memory: int) -> list[int]:
    """The `seq` of each memory that this one was made from."""
    rows = conn.execute("SELECT other FROM memory_links WHERE kind = 'derived' AND memory = ?", (memory,))
    return [seq for (seq,) in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """The ids of the memories that one is tied to."""

    made_from: tuple[str, ...]
    made_into: tuple[str, ...]
    contradicts: tuple[str, ...]
    merged_into: str | None
    said_before: tuple[str, ...]


def ties_of(conn: sqlite3.Connection, seq: int) -> Ties:
    """All ties of a memory."""

    def ids(sql: str) -> tuple[str, ...]:
        return tuple(
            found for (found,) in conn.execute(f"SELECT id FROM memories WHERE seq {sql} ORDER BY seq", (seq,))
        )

    def linked(kind: LinkKind, have: str, give: str) -> tuple[str, ...]:
        return ids(f"IN (SELECT {give} FROM memory_links WHERE kind = '{kind}' AND {have} = ?)")

    merged = ids("= (SELECT merged_into FROM memories WHERE seq = ?)")
    return Ties(
        made_from=linked("derived", "memory", "other"),
        made_into=linked("derived", "other", "memory"),
        contradicts=(*linked("contradicts", "memory", "other"), *linked("contradicts", "other", "memory")),
        merged_into=merged[0] if merged else None,
        said_before=ids("IN (SELECT seq FROM memories WHERE merged_into = ?)"),
    )


def made_from(conn: sqlite3.Connection, seqs: Collection[int]) -> list[int]:
    """The `seq` of all that was made from any of these, at any remove; not these themselves."""
    rows = conn.execute(
        "WITH RECURSIVE made (seq) AS ("
        " SELECT value FROM json_each(?1)"
        " UNION SELECT memory FROM memory_links JOIN made ON other = made.seq WHERE kind = 'derived'"
        ") SELECT seq FROM made WHERE seq NOT IN (SELECT value FROM json_each(?1)) ORDER BY seq",
        (json.dumps(sorted(seqs)),),
    )
    return [seq for (seq,) in rows]


def contradicting(conn: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, list[int]]:
    """For each of these that has any: the `seq` of those that say otherwise, in either direction."""
    found: dict[int, list[int]] = {}
    wanted = json.dumps(list(seqs))
    for one, other in conn.execute(
        "SELECT memory, other FROM memory_links WHERE kind = 'contradicts'"
        " AND memory IN (SELECT value FROM json_each(?1))"
        " UNION SELECT other, memory FROM memory_links WHERE kind = 'contradicts'"
        " AND other IN (SELECT value FROM json_each(?1)) ORDER BY 2 DESC",
        (wanted,),
    ):
        found.setdefault(one, []).append(other)
    return found


def merge(conn: sqlite3.Connection, older: int, newer: int) -> None:
    """Let the newer stand for the older, and for all that the older stood for."""
    assert older != newer
    conn.execute("UPDATE memories SET merged_into = ?2 WHERE seq = ?1 OR merged_into = ?1", (older, newer))
    # The more important of the two decides, and both dates stay where they are.
    conn.execute(
        "UPDATE memories SET importance = max(importance, (SELECT importance FROM memories WHERE seq = ?1))"
        " WHERE seq = ?2",
        (older, newer),
    )


def said_the_same(conn: sqlite3.Connection, seqs: Collection[int]) -> list[int]:
    """The `seq` of all that belong to the same merged group as any of these; not these themselves."""
    rows = conn.execute(
        "WITH wanted (seq) AS (SELECT value FROM json_each(?1)),"
        " heads (seq) AS (SELECT coalesce(merged_into, seq) FROM memories WHERE seq IN wanted)"
        " SELECT seq FROM memories WHERE (merged_into IN heads OR seq IN heads) AND seq NOT IN wanted ORDER BY seq",
        (json.dumps(sorted(seqs)),),
    )
    return [seq for (seq,) in rows]
