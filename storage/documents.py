"""Documents whose pieces are memories: what was read of each, so that it is read again only where it has changed."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from storage.page import LAST_SEQ, Page, page_of, position

_COLUMNS: Final = "seq, source, title, kind, namespace, sha256, reader, size_bytes, pieces, updated_ms"


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One document as it was last read. `reader` is the version of what read it; `sha256` is empty during a change."""

    seq: int
    source: str
    title: str
    kind: str
    namespace: str
    sha256: str
    reader: int
    size_bytes: int
    pieces: int
    updated_ms: int


def put(
    conn: sqlite3.Connection,
    source: str,
    *,
    title: str,
    kind: str,
    namespace: str,
    sha256: str,
    reader: int,
    size_bytes: int,
    pieces: int,
    updated_ms: int,
) -> None:
    """Keep what was read of a document, in place of what was read of it before."""
    conn.execute(
        "INSERT INTO documents (source, title, kind, namespace, sha256, reader, size_bytes, pieces, updated_ms)"
        " VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (source) DO UPDATE SET title = excluded.title, kind = excluded.kind,"
        " namespace = excluded.namespace, sha256 = excluded.sha256, reader = excluded.reader,"
        " size_bytes = excluded.size_bytes, pieces = excluded.pieces, updated_ms = excluded.updated_ms",
        (source, title, kind, namespace, sha256, reader, size_bytes, pieces, updated_ms),
    )


def begin_change(conn: sqlite3.Connection, source: str) -> None:
    """From now on until `put` nothing is known of how much of a document is remembered."""
    conn.execute("UPDATE documents SET sha256 = '' WHERE source = ?", (source,))


def get(conn: sqlite3.Connection, source: str) -> DocumentRow | None:
    """One document, or None."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM documents WHERE source = ?", (source,)).fetchone()
    return DocumentRow(*found) if found else None


def delete(conn: sqlite3.Connection, source: str) -> bool:
    """Know nothing of a document any more; whether it was known. Its memories are the caller's."""
    return conn.execute("DELETE FROM documents WHERE source = ?", (source,)).rowcount == 1


def listed(
    conn: sqlite3.Connection, *, limit: int, after: str | None = None, below: str | None = None
) -> Page[DocumentRow]:
    """Documents, the newest first; `below` keeps those whose source begins with it."""
    where, values = "", list[str]()
    if below is not None:
        where = " AND substr(source, 1, ?) = ?"
        values = [str(len(below)), below]
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE seq < ?{where} ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), *values, limit + 1),
    )
    return page_of([DocumentRow(*row) for row in rows], limit, lambda row: row.seq)


def unchanged(conn: sqlite3.Connection, wanted: Sequence[tuple[str, str]], *, namespace: str, reader: int) -> list[str]:
    """Those of the (source, sha256) that were read as they are, into that namespace, by that reader."""
    asked = json.dumps([list(pair) for pair in wanted])
    rows = conn.execute(
        "SELECT d.source FROM json_each(?) AS w JOIN documents AS d ON d.source = w.value ->> 0"
        " AND d.sha256 = w.value ->> 1 WHERE d.namespace = ? AND d.reader = ?",
        (asked, namespace, reader),
    )
    return [row[0] for row in rows]


def memories_of(conn: sqlite3.Connection, source: str) -> list[tuple[str, str, str]]:
    """(memory id, namespace, content) of the pieces that are remembered of a document, in their order."""
    return conn.execute(
        "SELECT id, namespace, content FROM memories WHERE source = ? ORDER BY seq", (source,)
    ).fetchall()
