"""The vectors in the rows of memories, by the model that made them: what a vector index is made from.

A row's text never changes, so the vector of a model for a `seq` is always the same one.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence

from storage import meta

_SPEC: str = "embedder:"
"""Before a model's id in `meta`: how to open the model again."""
_STAMP: str = "index_stamp"


def note_stamp(conn: sqlite3.Connection, stamp: str) -> None:
    """Keep what the snapshot of the index carries that was just written: no other one counts."""
    meta.put(conn, _STAMP, stamp)


def stamp(conn: sqlite3.Connection) -> str | None:
    """What a snapshot of the index must carry."""
    return meta.get(conn, _STAMP)


def last_seq(conn: sqlite3.Connection) -> int:
    """The greatest `seq` that was ever given, also to a row that is gone."""
    row = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'memories'").fetchone()
    return int(row[0]) if row else 0


def counted(conn: sqlite3.Connection) -> dict[str, int]:
    """How many rows each model has made the vectors of."""
    return dict(conn.execute("SELECT model_id, count(*) FROM memories GROUP BY model_id").fetchall())


def places(conn: sqlite3.Connection, model_id: str) -> list[tuple[str, str]]:
    """Each (namespace, kind) in which a model has vectors."""
    return conn.execute("SELECT DISTINCT namespace, kind FROM memories WHERE model_id = ?", (model_id,)).fetchall()


def seqs_in(conn: sqlite3.Connection, model_id: str, namespace: str, kind: str) -> Iterator[int]:
    """The `seq` of the rows of one place, in order, from an index that holds no vectors. Use it within the read."""
    rows = conn.execute(
        "SELECT seq FROM memories WHERE model_id = ? AND namespace = ? AND kind = ? ORDER BY seq",
        (model_id, namespace, kind),
    )
    return (seq for (seq,) in rows)


def vectors(conn: sqlite3.Connection, model_id: str, seqs: Sequence[int]) -> dict[int, bytes]:
    """The vectors that a model made, float32 (d,) little-endian each, of those of these rows that are here."""
    rows = conn.execute(
        "SELECT seq, vector FROM memories WHERE seq IN (SELECT value FROM json_each(?)) AND +model_id = ?",
        (json.dumps([int(seq) for seq in seqs]), model_id),
    )
    return dict(rows.fetchall())


def texts(conn: sqlite3.Connection, seqs: Collection[int]) -> dict[int, str]:
    """The texts of those of these rows that are here."""
    rows = conn.execute(
        "SELECT seq, content FROM memories WHERE seq IN (SELECT value FROM json_each(?))", (json.dumps([*seqs]),)
    )
    return dict(rows.fetchall())


def of_others(conn: sqlite3.Connection, model_id: str, *, after: int, limit: int) -> list[tuple[int, str]]:
    """(seq, text) of rows after `after` whose vector another model made, in order."""
    return conn.execute(
        "SELECT seq, content FROM memories WHERE seq > ? AND +model_id <> ? ORDER BY seq LIMIT ?",
        (after, model_id, limit),
    ).fetchall()


def replace(conn: sqlite3.Connection, seq: int, *, model_id: str, vector: bytes) -> tuple[str, str] | None:
    """Put this model's vector in place of another's; (namespace, kind) of the row, or None if it is gone."""
    found = conn.execute(
        "UPDATE memories SET model_id = ?, dimensions = ?, vector = ? WHERE seq = ? RETURNING namespace, kind",
        (model_id, len(vector) // 4, vector, seq),
    ).fetchall()
    return found[0] if found else None


def note_spec(conn: sqlite3.Connection, model_id: str, spec: str) -> None:
    """Keep how a model is opened, so that it can be when it is no longer the one in use."""
    if meta.get(conn, _SPEC + model_id) != spec:
        meta.put(conn, _SPEC + model_id, spec)


def spec_of(conn: sqlite3.Connection, model_id: str) -> str | None:
    """How to open a model that made vectors here, or None."""
    return meta.get(conn, _SPEC + model_id)
