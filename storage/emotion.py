"""The twin's mood as it last was: one row."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MoodRow:
    """A mood with its activation, at `felt_ms`."""

    mood: str
    activation: float
    felt_ms: int


def get(conn: sqlite3.Connection) -> MoodRow | None:
    """The row; None before the first."""
    found = conn.execute("SELECT mood, activation, felt_ms FROM emotion").fetchone()
    return None if found is None else MoodRow(*found)


def put(conn: sqlite3.Connection, row: MoodRow) -> None:
    """Keep this in place of what was."""
    conn.execute(
        "INSERT INTO emotion (only, mood, activation, felt_ms) VALUES (1,?,?,?) ON CONFLICT (only) DO UPDATE SET"
        " mood = excluded.mood, activation = excluded.activation, felt_ms = excluded.felt_ms",
        (row.mood, row.activation, row.felt_ms),
    )
