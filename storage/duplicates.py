"""Pairs of playbook bullets that say the same, as it was decided here. A bullet may be in none, one or many."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """Two bullets and the cosine of their texts. `split`: the owner said that they do not say the same."""

    a: str
    b: str
    likeness: float
    split: bool = False


def put(conn: sqlite3.Connection, playbook: str, pairs: Iterable[Pair], *, ts_ms: int) -> None:
    """Keep pairs; one that is known stays as it is, split or not."""
    conn.executemany(
        "INSERT INTO duplicate_bullets (playbook, a, b, likeness, split, ts_ms) VALUES (?,?,?,?,0,?)"
        " ON CONFLICT DO NOTHING",
        [(playbook, *sorted((pair.a, pair.b)), pair.likeness, ts_ms) for pair in pairs],
    )


def split(conn: sqlite3.Connection, playbook: str, a: str, b: str, *, ts_ms: int) -> None:
    """Keep that two bullets do not say the same, whatever was or will be found."""
    low, high = sorted((a, b))
    conn.execute(
        "INSERT INTO duplicate_bullets (playbook, a, b, likeness, split, ts_ms) VALUES (?,?,?,0,1,?)"
        " ON CONFLICT (playbook, a, b) DO UPDATE SET split = 1, ts_ms = excluded.ts_ms",
        (playbook, low, high, ts_ms),
    )


def of_playbook(conn: sqlite3.Connection, playbook: str) -> list[Pair]:
    """All pairs of a playbook, also of bullets that are not in effect now."""
    rows = conn.execute(
        "SELECT a, b, likeness, split FROM duplicate_bullets WHERE playbook = ? ORDER BY a, b", (playbook,)
    )
    return [Pair(a, b, likeness, bool(split)) for a, b, likeness, split in rows]
