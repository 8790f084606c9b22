"""The twins that this node has heard of, as they last described themselves."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from identity.did import Did
from storage.page import Page, page_of

MAX_TWINS: Final = 4096
"""Anybody can make a key and announce it: the ones not seen for longest go. At 11 KiB each, the longest announcement,
45 MB; every goal reads them all."""

_COLUMNS: Final = "did, name, addresses, capabilities, topics, last_seen_ms, online, mediators"


@dataclass(frozen=True, slots=True)
class MediatorRow:
    """Somebody who keeps a twin's mail while it is away, and where mail for it is brought to."""

    did: Did
    uris: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TwinRow:
    """What is known of one twin."""

    did: Did
    name: str
    addresses: tuple[str, ...]
    capabilities: tuple[str, ...]
    topics: tuple[str, ...]
    last_seen_ms: int
    online: bool
    mediators: tuple[MediatorRow, ...] = ()


def upsert_twin(
    conn: sqlite3.Connection,
    did: Did,
    name: str,
    addresses: Sequence[str],
    capabilities: Sequence[str],
    topics: Sequence[str],
    last_seen_ms: int,
    online: bool,
    *,
    mediators: Sequence[MediatorRow] = (),
    spare: Collection[Did] = (),
) -> None:
    """Keep what a twin says of itself, in place of what it said before. `last_seen_ms` never goes back.

    Where room is short, the twins in `spare` go last.
    """
    conn.execute(
        f"INSERT INTO twins ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (did) DO UPDATE SET name = excluded.name,"
        " addresses = excluded.addresses, capabilities = excluded.capabilities, topics = excluded.topics,"
        " mediators = excluded.mediators,"
        " last_seen_ms = max(last_seen_ms, excluded.last_seen_ms), online = excluded.online",
        (
            did,
            name,
            _text(addresses),
            _text(capabilities),
            _text(topics),
            last_seen_ms,
            int(online),
            json.dumps([[mediator.did, list(mediator.uris)] for mediator in mediators]),
        ),
    )
    for spared in (json.dumps([did, *spare]), json.dumps([did])):
        rows = conn.execute("SELECT rows FROM row_counts WHERE name = 'twins'").fetchone()[0]
        if rows <= MAX_TWINS:
            return
        conn.execute(
            "DELETE FROM twins WHERE did IN (SELECT did FROM twins"
            " WHERE did NOT IN (SELECT value FROM json_each(?)) ORDER BY last_seen_ms LIMIT ?)",
            (spared, rows - MAX_TWINS),
        )


def set_online(conn: sqlite3.Connection, did: Did, online: bool, last_seen_ms: int) -> bool:
    """Note that a twin came or went; whether it is known."""
    return (
        conn.execute(
            "UPDATE twins SET online = ?, last_seen_ms = max(last_seen_ms, ?) WHERE did = ?",
            (int(online), last_seen_ms, did),
        ).rowcount
        == 1
    )


def rename_twin(conn: sqlite3.Connection, old: Did, new: Did) -> None:
    """A twin has another DID. Where it can be dialled it has to say anew: an address ends in its peer ID."""
    conn.execute("UPDATE OR IGNORE twins SET did = ?, addresses = '[]', online = 0 WHERE did = ?", (new, old))
    conn.execute("DELETE FROM twins WHERE did = ?", (old,))


def list_twins(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[TwinRow]:
    """Known twins, by DID."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM twins WHERE did > ? ORDER BY did LIMIT ?", (after or "", limit + 1))
    return page_of([_twin(row) for row in rows], limit, lambda twin: twin.did)


def get_twin(conn: sqlite3.Connection, did: Did) -> TwinRow | None:
    """One twin, or None."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM twins WHERE did = ?", (did,)).fetchone()
    return _twin(found) if found else None


def _text(words: Sequence[str]) -> str:
    return json.dumps(list(words), ensure_ascii=False)


def _twin(row: tuple[str, str, str, str, str, int, int, str]) -> TwinRow:
    did, name, addresses, capabilities, topics, last_seen_ms, online, mediators = row
    said = [tuple(json.loads(text)) for text in (addresses, capabilities, topics)]
    keepers = tuple(MediatorRow(Did(keeper), tuple(uris)) for keeper, uris in json.loads(mediators))
    return TwinRow(Did(did), name, said[0], said[1], said[2], last_seen_ms, bool(online), keepers)
