"""Memories with their vectors. SQLite is the truth; the vector index is made from it.

A row's `seq` is its id in the vector index: it is never given again, also after a row was deleted.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from storage import fulltext
from storage.page import LAST_SEQ, Page, page_of, position

FLOAT32_BYTES: Final = 4

_COLUMNS: Final = (
    "seq, id, kind, content, namespace, role, session_id, tags, source, ts_ms, model_id,"
    " importance, mood, activation, outcome, with_did, expires_ms, happened_ms, merged_into"
)
_TAGS: Final = 7

DEFAULT_IMPORTANCE: Final = 0.5


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """One memory, without its vector. `seq` names it in the vector index.

    `importance` and `activation` are from 0 to 1; `with_did` is the twin that it happened with; `expires_ms` is of
    working memory alone; `merged_into` is the `seq` of the newer row that says the same.
    """

    seq: int
    id: str
    kind: str
    content: str
    namespace: str
    role: str | None
    session_id: str | None
    tags: tuple[str, ...]
    source: str | None
    ts_ms: int
    model_id: str
    importance: float = DEFAULT_IMPORTANCE
    mood: str | None = None
    activation: float | None = None
    outcome: str | None = None
    with_did: str | None = None
    expires_ms: int | None = None
    happened_ms: int = 0
    merged_into: int | None = None


def add_memory(
    conn: sqlite3.Connection,
    *,
    id: str,  # noqa: A002 - the interface's own name for it
    kind: str,
    content: str,
    namespace: str,
    role: str | None,
    session_id: str | None,
    tags: Sequence[str],
    source: str | None,
    model_id: str,
    vector: bytes,
    ts_ms: int,
    importance: float = DEFAULT_IMPORTANCE,
    mood: str | None = None,
    activation: float | None = None,
    outcome: str | None = None,
    with_did: str | None = None,
    expires_ms: int | None = None,
    happened_ms: int | None = None,
) -> int:
    """Keep a memory; return its `seq`. An id that is here already changes nothing and gives the `seq` it has.

    `vector`: float32 (d,), little-endian, made by the embedding model `model_id`. What does not say when it happened
    happened when it was kept.
    """
    assert len(vector) % FLOAT32_BYTES == 0
    known = conn.execute("SELECT seq FROM memories WHERE id = ?", (id,)).fetchone()
    if known:
        return int(known[0])
    words = json.dumps(list(tags), ensure_ascii=False)
    dimensions = len(vector) // FLOAT32_BYTES
    done = conn.execute(
        "INSERT INTO memories (id, kind, content, namespace, role, session_id, tags, source, ts_ms, model_id,"
        " dimensions, vector, importance, mood, activation, outcome, with_did, expires_ms, happened_ms)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            *(id, kind, content, namespace, role, session_id, words, source, ts_ms, model_id, dimensions, vector),
            *(importance, mood, activation, outcome, with_did, expires_ms),
            ts_ms if happened_ms is None else happened_ms,
        ),
    )
    assert done.lastrowid is not None
    if kind != "working":
        fulltext.put(conn, done.lastrowid, content)
    return done.lastrowid


def get_memory(conn: sqlite3.Connection, memory_id: str) -> MemoryRow | None:
    """One memory by its id, or None."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM memories WHERE id = ?", (memory_id,)).fetchone()
    return _memory(found) if found else None


def get_many(conn: sqlite3.Connection, seqs: Sequence[int]) -> list[MemoryRow]:
    """The memories of these `seq` numbers, in that order; those that are gone are left out."""
    found = {
        row[0]: _memory(row)
        for row in conn.execute(
            f"SELECT {_COLUMNS} FROM memories WHERE seq IN (SELECT value FROM json_each(?))",
            (json.dumps([int(seq) for seq in seqs]),),
        )
    }
    return [found[seq] for seq in seqs if seq in found]


def list_memories(
    conn: sqlite3.Connection,
    *,
    limit: int,
    after: str | None = None,
    kind: str | None = None,
    namespace: str | None = None,
    session_id: str | None = None,
    source: str | None = None,
) -> Page[MemoryRow]:
    """Memories that match every filter that is given, newest first."""
    filters = {"kind": kind, "namespace": namespace, "session_id": session_id, "source": source}
    wanted = {column: value for column, value in filters.items() if value is not None}
    where = "".join(f" AND {column} = ?" for column in wanted)
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM memories WHERE seq < ?{where} ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), *wanted.values(), limit + 1),
    )
    return page_of([_memory(row) for row in rows], limit, lambda row: row.seq)


def delete_memory(conn: sqlite3.Connection, memory_id: str) -> int | None:
    """Forget a memory; return the `seq` to take out of the vector index, or None if there was none."""
    found = conn.execute("DELETE FROM memories WHERE id = ? RETURNING seq", (memory_id,)).fetchall()
    return int(found[0][0]) if found else None


def newest_in(conn: sqlite3.Connection, namespaces: Collection[str], limit: int) -> list[MemoryRow]:
    """The newest memories of these namespaces."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM memories WHERE namespace IN (SELECT value FROM json_each(?))"
        " ORDER BY seq DESC LIMIT ?",
        (json.dumps(list(namespaces)), limit),
    )
    return [_memory(row) for row in rows]


def happened_between(
    conn: sqlite3.Connection,
    from_ms: int,
    to_ms: int,
    *,
    kind: str,
    limit: int,
    after: str | None = None,
    namespaces: Collection[str] | None = None,
) -> Page[MemoryRow]:
    """Memories of one kind that happened in [from_ms, to_ms), oldest first; None stands for all namespaces."""
    start_ms, _, start_seq = (after or "").partition(".")
    begin = (position(start_ms, start=0), position(start_seq, start=0)) if after else (from_ms, -1)
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM memories WHERE kind = ? AND happened_ms >= ? AND happened_ms < ?"
        " AND (happened_ms, seq) > (?, ?) AND merged_into IS NULL"
        " AND (?6 IS NULL OR namespace IN (SELECT value FROM json_each(?6))) ORDER BY happened_ms, seq LIMIT ?7",
        (kind, from_ms, to_ms, *begin, None if namespaces is None else json.dumps(list(namespaces)), limit + 1),
    )
    return page_of([_memory(row) for row in rows], limit, lambda row: f"{row.happened_ms}.{row.seq}")


def newest_turns(conn: sqlite3.Connection, session_id: str | None, *, now_ms: int, limit: int) -> list[MemoryRow]:
    """The newest turns of a session's working memory that have not expired, newest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM memories WHERE session_id IS ? AND kind = 'working' AND role IS NOT NULL"
        " AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY seq DESC LIMIT ?",
        (session_id, now_ms, limit),
    )
    return [_memory(row) for row in rows]


def adjust_importance(conn: sqlite3.Connection, memory_id: str, delta: float) -> float | None:
    """Add to a memory's importance, which stays within 0 to 1; what it is now, or None if there is no such memory."""
    found = conn.execute(
        "UPDATE memories SET importance = min(1.0, max(0.0, importance + ?)) WHERE id = ? RETURNING importance",
        (delta, memory_id),
    ).fetchall()
    return float(found[0][0]) if found else None


def newest_seq(conn: sqlite3.Connection) -> int:
    """The greatest `seq` that is here: at least how many memories there are."""
    return int(conn.execute("SELECT coalesce(max(seq), 0) FROM memories").fetchone()[0])


def matching(
    conn: sqlite3.Connection,
    *,
    kinds: Collection[str] | None = None,
    namespaces: Collection[str] | None = None,
    happened: tuple[int, int] | None = None,
) -> list[int]:
    """The `seq` of each memory of these kinds, in these namespaces, that happened in [from, to) ms; None for all."""
    where, values = "1", list[str | int]()
    if happened is not None:
        where += " AND happened_ms >= ? AND happened_ms < ?"
        values += happened
    for column, wanted in (("kind", kinds), ("namespace", namespaces)):
        if wanted is not None:
            where += f" AND {column} IN (SELECT value FROM json_each(?))"
            values.append(json.dumps(list(wanted)))
    return [row[0] for row in conn.execute(f"SELECT seq FROM memories WHERE {where} ORDER BY seq", values)]


def _memory(row: Sequence[Any]) -> MemoryRow:
    values = list(row)
    values[_TAGS] = tuple(json.loads(values[_TAGS]))
    return MemoryRow(*values)
