"""The owner's red lines: what nobody may suggest to this twin."""

import sqlite3
from dataclasses import dataclass
from typing import Literal

Kind = Literal["phrase", "pattern", "meaning"]


@dataclass(frozen=True, slots=True)
class RedLine:
    """One line. How its text is compared depends on its kind."""

    id: str
    kind: Kind
    text: str
    created_ms: int


def put(conn: sqlite3.Connection, line: RedLine) -> bool:
    """Keep a line; False if one of this id is there already."""
    done = conn.execute(
        "INSERT INTO red_lines (id, kind, text, created_ms) VALUES (?,?,?,?) ON CONFLICT (id) DO NOTHING",
        (line.id, line.kind, line.text, line.created_ms),
    )
    return done.rowcount == 1


def everything(conn: sqlite3.Connection) -> list[RedLine]:
    """All lines, oldest first."""
    return [RedLine(*row) for row in conn.execute("SELECT id, kind, text, created_ms FROM red_lines ORDER BY seq")]


def remove(conn: sqlite3.Connection, line_id: str) -> bool:
    """Whether there was such a line."""
    return conn.execute("DELETE FROM red_lines WHERE id = ?", (line_id,)).rowcount == 1
