"""Small tasks with known answers, by which new playbook bullets are tried. They never leave this twin."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from storage.page import LAST_SEQ, Page, page_of, position

Origin = Literal["owner", "history"]
"""Who made a check: the owner, or a job that the owner found good."""

_COLUMNS: Final = "seq, id, playbook, goal, expected, origin, created_ms"


@dataclass(frozen=True, slots=True)
class Check:
    """A goal, and what its answer must hold."""

    seq: int
    id: str
    playbook: str
    goal: str
    expected: str
    origin: Origin
    created_ms: int


def put(
    conn: sqlite3.Connection, *, check_id: str, playbook: str, goal: str, expected: str, origin: Origin, created_ms: int
) -> None:
    """Keep a check, in place of one with the same goal; but what the owner wrote is not replaced by history."""
    conn.execute(
        "INSERT INTO checks (id, playbook, goal, expected, origin, created_ms) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT (playbook, goal) DO UPDATE SET id = excluded.id, expected = excluded.expected,"
        " origin = excluded.origin, created_ms = excluded.created_ms"
        " WHERE excluded.origin = 'owner' OR origin = 'history'",
        (check_id, playbook, goal, expected, origin, created_ms),
    )


def trim(conn: sqlite3.Connection, playbook: str, origin: Origin, *, keep: int) -> None:
    """Keep the newest of one origin."""
    conn.execute(
        "DELETE FROM checks WHERE seq IN (SELECT seq FROM checks WHERE playbook = ? AND origin = ?"
        " ORDER BY created_ms DESC, seq DESC LIMIT -1 OFFSET ?)",
        (playbook, origin, keep),
    )


def count(conn: sqlite3.Connection, playbook: str, origin: Origin) -> int:
    """How many checks of one origin there are."""
    row = conn.execute("SELECT COUNT(*) FROM checks WHERE playbook = ? AND origin = ?", (playbook, origin)).fetchone()
    return int(row[0])


def get(conn: sqlite3.Connection, check_id: str) -> Check | None:
    """One check, or None."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM checks WHERE id = ?", (check_id,)).fetchone()
    return Check(*row) if row else None


def by_goal(conn: sqlite3.Connection, playbook: str, goal: str) -> Check | None:
    """The check of a goal, or None."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM checks WHERE playbook = ? AND goal = ?", (playbook, goal)).fetchone()
    return Check(*row) if row else None


def of_playbook(conn: sqlite3.Connection, playbook: str) -> list[Check]:
    """All checks of a playbook, oldest first."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM checks WHERE playbook = ? ORDER BY seq", (playbook,))
    return [Check(*row) for row in rows]


def list_checks(conn: sqlite3.Connection, playbook: str | None, *, limit: int, after: str | None = None) -> Page[Check]:
    """Checks of one playbook, or of all, the newest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM checks WHERE (? IS NULL OR playbook = ?) AND seq < ? ORDER BY seq DESC LIMIT ?",
        (playbook, playbook, position(after, start=LAST_SEQ), limit + 1),
    )
    return page_of([Check(*row) for row in rows], limit, lambda check: check.seq)


def remove_from_history(conn: sqlite3.Connection, playbook: str, goal: str) -> None:
    """Take out the check of a goal, unless the owner wrote it."""
    conn.execute("DELETE FROM checks WHERE playbook = ? AND goal = ? AND origin = 'history'", (playbook, goal))


def forget_from_history(conn: sqlite3.Connection, tells: Callable[[str], bool]) -> None:
    """Take out the checks whose goal or answer tells what is forgotten; those that the owner wrote stay."""
    rows = conn.execute("SELECT seq, goal, expected FROM checks WHERE origin = 'history'").fetchall()
    told = [(seq,) for seq, goal, expected in rows if tells(goal) or tells(expected)]
    conn.executemany("DELETE FROM checks WHERE seq = ?", told)


def remove(conn: sqlite3.Connection, check_id: str) -> bool:
    """Whether there was such a check."""
    return conn.execute("DELETE FROM checks WHERE id = ?", (check_id,)).rowcount == 1
