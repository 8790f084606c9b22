"""Memories with their vectors. SQLite is the truth; the vector index is made from it.

A row's `seq` is its id in the vector index: it is never given again, also after a row was deleted.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from storage.page import LAST_SEQ, Page, page_of, position

FLOAT32_BYTES: Final = 4

_COLUMNS: Final = "seq, id, kind, content, namespace, role, session_id, tags, source, ts_ms, model_id"
_TAGS: Final = 7


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """One memory, without its vector. `seq` names it in the vector index."""

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
) -> int:
    """Keep a memory; return its `seq`. An id that is here already changes nothing and gives the `seq` it has.

    `vector`: float32 (d,), little-endian, made by the embedding model `model_id`.
    """
    assert len(vector) % FLOAT32_BYTES == 0
    known = conn.execute("SELECT seq FROM memories WHERE id = ?", (id,)).fetchone()
    if known:
        return int(known[0])
    words = json.dumps(list(tags), ensure_ascii=False)
    dimensions = len(vector) // FLOAT32_BYTES
    done = conn.execute(
        "INSERT INTO memories (id, kind, content, namespace, role, session_id, tags, source, ts_ms, model_id,"
        " dimensions, vector) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (id, kind, content, namespace, role, session_id, words, source, ts_ms, model_id, dimensions, vector),
    )
    assert done.lastrowid is not None
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
) -> Page[MemoryRow]:
    """Memories that match every filter that is given, newest first."""
    filters = {"kind": kind, "namespace": namespace, "session_id": session_id}
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


def all_vectors(conn: sqlite3.Connection, model_id: str) -> Iterator[tuple[int, bytes]]:
    """(seq, vector) of every memory that this embedding model embedded, oldest first. Use it up within the read."""
    yield from conn.execute("SELECT seq, vector FROM memories WHERE model_id = ? ORDER BY seq", (model_id,))


def set_vector(conn: sqlite3.Connection, seq: int, *, model_id: str, vector: bytes) -> bool:
    """Put another embedding model's vector in place of the old one; whether the memory is here."""
    assert len(vector) % FLOAT32_BYTES == 0
    done = conn.execute(
        "UPDATE memories SET model_id = ?, dimensions = ?, vector = ? WHERE seq = ?",
        (model_id, len(vector) // FLOAT32_BYTES, vector, seq),
    )
    return done.rowcount == 1


def not_embedded_by(conn: sqlite3.Connection, model_id: str, limit: int) -> list[MemoryRow]:
    """Memories whose vector comes from another model, oldest first."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM memories WHERE model_id <> ? ORDER BY seq LIMIT ?", (model_id, limit))
    return [_memory(row) for row in rows]


def matching(
    conn: sqlite3.Connection, *, kinds: Collection[str] | None = None, namespaces: Collection[str] | None = None
) -> list[int]:
    """The `seq` of each memory of these kinds in these namespaces; None stands for all."""
    where, values = "1", []
    for column, wanted in (("kind", kinds), ("namespace", namespaces)):
        if wanted is not None:
            where += f" AND {column} IN (SELECT value FROM json_each(?))"
            values.append(json.dumps(list(wanted)))
    return [row[0] for row in conn.execute(f"SELECT seq FROM memories WHERE {where} ORDER BY seq", values)]


def _memory(row: Sequence[Any]) -> MemoryRow:
    values = list(row)
    values[_TAGS] = tuple(json.loads(values[_TAGS]))
    return MemoryRow(*values)
