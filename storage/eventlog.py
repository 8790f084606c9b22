"""The event log: append-only, each entry hashed over the one before it.

    hash(n) = SHA-256(hash(n-1) || fields(n)),   hash(0) = 32 zero bytes
    fields  = seq, id, event_type, ts_ms, twin_id, subject, source, trace_id, payload

Each field is written as its length (4 bytes, big-endian) and its bytes: numbers in decimal, text in UTF-8, the
payload as it is; a null field is the length ffffffff alone. Numbers run from 1 without gaps. The last entry's
number and hash are also kept apart, so that a cut end shows. This finds damage and careless edits; it does not
stop someone who can write the database and recomputes the whole chain.
"""

import hashlib
import sqlite3
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from storage.errors import ChainBroken
from storage.page import Page, page_of, position

_COLUMNS: Final = "seq, id, event_type, ts_ms, twin_id, subject, source, trace_id, payload"
_NULL: Final = b"\xff\xff\xff\xff"
_START: Final = bytes(32)

Field = int | str | bytes | None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event. `payload` is JSON."""

    seq: int
    id: str
    event_type: str
    ts_ms: int
    twin_id: str
    subject: str | None
    source: str
    trace_id: str | None
    payload: bytes


def append(
    conn: sqlite3.Connection,
    *,
    id: str,  # noqa: A002 - the event envelope's own name for it
    event_type: str,
    ts_ms: int,
    twin_id: str,
    subject: str | None,
    source: str,
    trace_id: str | None,
    payload: bytes,
) -> int:
    """Add an event; return its number. An id that is here already adds nothing and gives the number it has."""
    known = conn.execute("SELECT seq FROM event_log WHERE id = ?", (id,)).fetchone()
    if known:
        return int(known[0])
    last, previous = conn.execute("SELECT seq, hash FROM event_log_head").fetchone()
    seq = int(last) + 1
    fields = (seq, id, event_type, ts_ms, twin_id, subject, source, trace_id, payload)
    entry_hash = _hash(previous, fields)
    conn.execute(f"INSERT INTO event_log ({_COLUMNS}, hash) VALUES (?,?,?,?,?,?,?,?,?,?)", (*fields, entry_hash))
    conn.execute("UPDATE event_log_head SET seq = ?, hash = ?", (seq, entry_hash))
    return seq


def read_log(
    conn: sqlite3.Connection,
    *,
    limit: int,
    after: str | None = None,
    event_type: str | None = None,
    twin_id: str | None = None,
    source: str | None = None,
) -> Page[LogEntry]:
    """Events in the order they were added, those that match every filter that is given."""
    where, values = "seq > ?", [position(after, start=0)]
    filters = {"event_type": event_type, "twin_id": twin_id, "source": source}
    wanted = {column: value for column, value in filters.items() if value is not None}
    for column in wanted:
        where += f" AND {column} = ?"
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM event_log WHERE {where} ORDER BY seq LIMIT ?",
        (*values, *wanted.values(), limit + 1),
    )
    return page_of([LogEntry(*row) for row in rows], limit, lambda entry: entry.seq)


def verify_chain(conn: sqlite3.Connection) -> int:
    """Recompute every hash; return how many entries there are. Raises ChainBroken with the first bad number."""
    previous, expected = _START, 1
    for *fields, stored in conn.execute(f"SELECT {_COLUMNS}, hash FROM event_log ORDER BY seq"):
        computed = _hash(previous, fields)
        if fields[0] != expected or computed != stored:
            raise ChainBroken(expected)
        previous, expected = computed, expected + 1
    if tuple(conn.execute("SELECT seq, hash FROM event_log_head").fetchone()) != (expected - 1, previous):
        raise ChainBroken(expected)
    return expected - 1


def _hash(previous: bytes, fields: Iterable[Field]) -> bytes:
    digest = hashlib.sha256(previous)
    for field in fields:
        if field is None:
            digest.update(_NULL)
            continue
        data = field if isinstance(field, bytes) else str(field).encode()
        digest.update(struct.pack(">I", len(data)))
        digest.update(data)
    return digest.digest()
