"""What this twin has seen others do: the first-hand evidence behind a reputation.

One row for each (twin, kind, reference), so that noting the same thing twice counts once. Of each twin the newest
rows are kept.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from identity.did import Did

MAX_EXPERIENCES_PER_TWIN: Final = 512
"""Older ones weigh less and less; so many fill a page of evidence several times."""


@dataclass(frozen=True, slots=True)
class Experience:
    """One thing that a twin did. `ref` says which: a job, a receipt's CID, a bullet. `good` and `bad` are weights."""

    did: Did
    kind: str
    ref: str
    good: float
    bad: float
    ts_ms: int


def note(conn: sqlite3.Connection, experience: Experience) -> None:
    """Keep an experience, in place of the one of the same kind and reference."""
    conn.execute(
        "INSERT INTO experiences (did, kind, ref, good, bad, ts_ms) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT (did, kind, ref) DO UPDATE SET good = excluded.good, bad = excluded.bad, ts_ms = excluded.ts_ms",
        (experience.did, experience.kind, experience.ref, experience.good, experience.bad, experience.ts_ms),
    )
    conn.execute(
        # What was good goes first: nobody pushes its bad deeds out with many small favours.
        "DELETE FROM experiences WHERE seq IN (SELECT seq FROM experiences WHERE did = ?"
        " ORDER BY bad > good DESC, seq DESC LIMIT -1 OFFSET ?)",
        (experience.did, MAX_EXPERIENCES_PER_TWIN),
    )


def forget(conn: sqlite3.Connection, did: Did, kind: str, ref: str) -> None:
    """Take an experience back."""
    conn.execute("DELETE FROM experiences WHERE did = ? AND kind = ? AND ref = ?", (did, kind, ref))


def of_twin(conn: sqlite3.Connection, did: Did) -> list[Experience]:
    """All that is kept of one twin, newest first."""
    rows = conn.execute(
        "SELECT did, kind, ref, good, bad, ts_ms FROM experiences WHERE did = ? ORDER BY seq DESC", (did,)
    )
    return [Experience(Did(did), *row) for did, *row in rows]


def of_all(conn: sqlite3.Connection) -> Mapping[Did, Sequence[Experience]]:
    """All that is kept, by twin."""
    found: defaultdict[Did, list[Experience]] = defaultdict(list)
    for did, *row in conn.execute("SELECT did, kind, ref, good, bad, ts_ms FROM experiences ORDER BY seq DESC"):
        found[Did(did)].append(Experience(Did(did), *row))
    return found


def succeed(conn: sqlite3.Connection, old: Did, new: Did) -> None:
    """A twin goes by another name now: what it did stays with it."""
    conn.execute("UPDATE OR IGNORE experiences SET did = ? WHERE did = ?", (new, old))
    conn.execute("DELETE FROM experiences WHERE did = ?", (old,))
