"""Working memory: the turns of sessions, which of them have become episodes, and which are over their time."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Final

from storage.page import LAST_SEQ, Page, page_of, position

_WAITING: Final = (
    "kind = 'working' AND NOT EXISTS (SELECT 1 FROM memory_links AS link JOIN memories AS made"
    " ON made.seq = link.memory WHERE link.kind = 'derived' AND link.other = turn.seq AND made.kind = 'episodic')"
)
"""A turn that is part of no episode yet."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session. `seq` is of its newest memory; `facts` are what was noticed in it."""

    seq: int
    session_id: str
    turns: int
    episodes: int
    facts: int
    first_ms: int
    last_ms: int


def list_sessions(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[SessionRow]:
    """Sessions, the one that was last used first."""
    rows = conn.execute(
        "SELECT max(seq) AS newest, session_id, sum(kind = 'working'), sum(kind = 'episodic'), sum(kind = 'semantic'),"
        " min(happened_ms), max(happened_ms) FROM memories WHERE session_id IS NOT NULL GROUP BY session_id"
        " HAVING newest < ? ORDER BY newest DESC LIMIT ?",
        (position(after, start=LAST_SEQ), limit + 1),
    )
    return page_of([SessionRow(*row) for row in rows], limit, lambda row: row.seq)


def waiting_sessions(conn: sqlite3.Connection, until_ms: int, limit: int) -> list[str | None]:
    """Sessions with a turn from `until_ms` or before that is part of no episode yet, the one that waits longest first.

    None is what was said outside of any session.
    """
    rows = conn.execute(
        f"SELECT session_id, min(seq) AS first FROM memories AS turn WHERE {_WAITING} AND happened_ms <= ?"
        " GROUP BY session_id ORDER BY first LIMIT ?",
        (until_ms, limit),
    )
    return [session_id for session_id, _ in rows]


def waiting_turns(conn: sqlite3.Connection, session_id: str | None, limit: int) -> list[int]:
    """The `seq` of a session's turns that are part of no episode yet, oldest first."""
    rows = conn.execute(
        f"SELECT seq FROM memories AS turn WHERE session_id IS ? AND {_WAITING} ORDER BY seq LIMIT ?",
        (session_id, limit),
    )
    return [seq for (seq,) in rows]


def delete_expired(conn: sqlite3.Connection, now_ms: int, limit: int) -> list[int]:
    """Take away turns that are over their time and part of an episode; their `seq`.

    What was noticed in them and the episodes that tell of them stay tied: such an episode goes with the fact.
    """
    rows = conn.execute(
        "SELECT seq FROM memories AS turn WHERE kind = 'working'"
        f" AND expires_ms <= ? AND NOT ({_WAITING}) ORDER BY seq LIMIT ?",
        (now_ms, limit),
    ).fetchall()
    expired = [seq for (seq,) in rows]
    wanted = (json.dumps(expired),)
    conn.execute(
        "INSERT OR IGNORE INTO memory_links (kind, memory, other)"
        " SELECT 'derived', told.memory, noticed.memory FROM memory_links AS told"
        " JOIN memory_links AS noticed ON noticed.other = told.other AND noticed.kind = 'derived'"
        " JOIN memories AS episode ON episode.seq = told.memory AND episode.kind = 'episodic'"
        " JOIN memories AS fact ON fact.seq = noticed.memory AND fact.kind = 'semantic'"
        " WHERE told.kind = 'derived' AND told.other IN (SELECT value FROM json_each(?))",
        wanted,
    )
    conn.execute("DELETE FROM memories WHERE seq IN (SELECT value FROM json_each(?))", wanted)
    return expired


def progress_of(conn: sqlite3.Connection, task: str) -> int:
    """How far a task of consolidation has come: the `seq` that it looked at last, 0 before the first."""
    row = conn.execute("SELECT seq FROM consolidation WHERE task = ?", (task,)).fetchone()
    return int(row[0]) if row else 0


def set_progress(conn: sqlite3.Connection, task: str, seq: int) -> None:
    """Note how far a task has come."""
    conn.execute(
        "INSERT INTO consolidation (task, seq) VALUES (?, ?) ON CONFLICT (task) DO UPDATE SET seq = excluded.seq",
        (task, seq),
    )


def facts_after(conn: sqlite3.Connection, seq: int, limit: int) -> list[int]:
    """The `seq` of the next semantic memories that were merged into none, oldest first."""
    rows = conn.execute(
        "SELECT seq FROM memories WHERE seq > ? AND kind = 'semantic' AND merged_into IS NULL ORDER BY seq LIMIT ?",
        (seq, limit),
    )
    return [found for (found,) in rows]
