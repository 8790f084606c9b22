"""How revisions came through the trust pipeline, stage by stage, and what was measured of them here and elsewhere.

What a stage means and what follows from it is decided elsewhere; here it is kept and read back.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from identity.cid import Cid
from identity.did import Did

StageName = Literal[
    "limits", "signature", "schema", "author", "red_lines", "duplicates", "gate", "canary", "owner"
]  # in the order in which they are passed; the owner's own word comes last and counts most
Outcome = Literal["passed", "noted", "pending", "quarantined", "rejected"]

_ORDER: Final[Mapping[str, int]] = {name: n for n, name in enumerate(get_args(StageName), 1)}

MAX_RESULTS_PER_AUTHOR: Final = 1000
"""Gate results kept of one other twin, the newest: one for each revision that anybody still looks at."""

MAX_RESULTS_PER_REVISION: Final = 64
"""Gate results of others kept of one revision: more than an owner reads."""

_RESULT: Final = "cid, payload_cid, revision, playbook, author, checks, passed_without, passed_with, answered_by, ts_ms"


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage found, with its reason in one line. `noted` has passed, with something to know about it."""

    name: StageName
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class GateRow:
    """A signed gate result: how many of `checks` were answered rightly without and with a revision's bullets."""

    cid: Cid
    payload_cid: Cid
    revision: Cid
    playbook: str
    author: Did
    checks: int
    passed_without: int
    passed_with: int
    answered_by: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A revision that waits at a stage."""

    playbook: str
    cid: Cid
    author: Did


def put_stages(conn: sqlite3.Connection, cid: Cid, stages: Iterable[Stage], *, ts_ms: int) -> None:
    """Put the stages of a revision in place of all that were kept of it. Those that stay the same keep their time."""
    revision = str(cid)
    wanted = {_ORDER[stage.name]: stage for stage in stages}
    kept = {
        n: (Stage(name, outcome, reason), since_ms)
        for n, name, outcome, reason, since_ms in conn.execute(
            "SELECT n, stage, outcome, reason, ts_ms FROM revision_stages WHERE cid = ?", (revision,)
        )
    }
    if kept:
        conn.execute("DELETE FROM revision_stages WHERE cid = ?", (revision,))
    conn.executemany(
        "INSERT INTO revision_stages (cid, n, stage, outcome, reason, ts_ms) VALUES (?,?,?,?,?,?)",
        [
            (
                *(revision, n, stage.name, stage.outcome, stage.reason),
                kept[n][1] if n in kept and kept[n][0] == stage else ts_ms,
            )
            for n, stage in wanted.items()
        ],
    )


def stages_of(conn: sqlite3.Connection, cid: Cid) -> list[tuple[Stage, int]]:
    """The stages of one revision in their order, each with the time since when it stands so."""
    rows = conn.execute(
        "SELECT stage, outcome, reason, ts_ms FROM revision_stages WHERE cid = ? ORDER BY n", (str(cid),)
    )
    return [(Stage(name, outcome, reason), ts_ms) for name, outcome, reason, ts_ms in rows]


def stages_by_revision(conn: sqlite3.Connection, playbook: str) -> dict[Cid, tuple[Stage, ...]]:
    """The stages of every revision of a playbook, in their order."""
    found: dict[str, list[Stage]] = {}
    for cid, name, outcome, reason in conn.execute(
        "SELECT cid, stage, outcome, s.reason FROM revision_stages s JOIN revisions USING (cid)"
        " WHERE playbook = ? ORDER BY n",
        (playbook,),
    ):
        found.setdefault(cid, []).append(Stage(name, outcome, reason))
    return {Cid.parse(cid): tuple(stages) for cid, stages in found.items()}


def waiting_at(conn: sqlite3.Connection, stage: StageName) -> list[Waiting]:
    """The revisions that are `pending` at a stage, the one that came first first."""
    rows = conn.execute(
        "SELECT playbook, cid, author FROM revision_stages JOIN revisions USING (cid)"
        " WHERE stage = ? AND outcome = 'pending' ORDER BY seq",
        (stage,),
    )
    return [Waiting(playbook, Cid.parse(cid), Did(author)) for playbook, cid, author in rows]


# Canaries


def set_share(conn: sqlite3.Connection, cid: Cid, share: float | None) -> None:
    """The share of the goals that are given a canary's bullets; None for one that is none any more."""
    if share is None:
        conn.execute("DELETE FROM canaries WHERE cid = ?", (str(cid),))
    else:
        conn.execute(
            "INSERT INTO canaries (cid, share) VALUES (?,?) ON CONFLICT (cid) DO UPDATE SET share = excluded.share",
            (str(cid), share),
        )


def canaries(conn: sqlite3.Connection, playbook: str) -> dict[Cid, float]:
    """The revisions of a playbook with status `canary`, each with its share."""
    rows = conn.execute(
        "SELECT cid, share FROM revisions JOIN canaries USING (cid)"
        " WHERE playbook = ? AND status = 'canary' ORDER BY height, cid",
        (playbook,),
    )
    return {Cid.parse(cid): share for cid, share in rows}


def early(conn: sqlite3.Connection, playbook: str, before_ms: int) -> list[Cid]:
    """The revisions that waited for their time, if that is before this, in ms since 1970."""
    rows = conn.execute(
        "SELECT cid FROM revisions JOIN revision_stages USING (cid) WHERE playbook = ? AND status = 'quarantined'"
        " AND stage = 'limits' AND outcome = 'pending' AND revisions.ts_ms <= ? ORDER BY height, cid",
        (playbook, before_ms),
    )
    return [Cid.parse(cid) for (cid,) in rows]


# Gate results


def put_result(conn: sqlite3.Connection, row: GateRow, *, own: Did) -> list[Cid]:
    """Keep a result in place of its author's older one on that revision, within the bounds on all but our own.

    Gives the CIDs of both blocks of what had to go for it; its own if it is older than what is kept, or finds no room.
    """
    values = (
        *(str(row.cid), str(row.payload_cid), str(row.revision), row.playbook, row.author),
        *(row.checks, row.passed_without, row.passed_with, row.answered_by, row.ts_ms),
    )
    before = _results(conn, "revision = ? AND author = ?", (str(row.revision), row.author))
    if any((old.ts_ms, old.cid) >= (row.ts_ms, row.cid) for old in before):
        return [] if before[0].cid == row.cid else [row.cid, row.payload_cid]
    conn.execute("DELETE FROM gate_results WHERE revision = ? AND author = ?", (str(row.revision), row.author))
    conn.execute(f"INSERT INTO gate_results ({_RESULT}) VALUES (?,?,?,?,?,?,?,?,?,?)", values)
    over = _results(conn, "author = ? AND author != ?", (row.author, own))[MAX_RESULTS_PER_AUTHOR:]
    others = _results(conn, "revision = ? AND author != ?", (str(row.revision), own))
    over += [old for old in others[MAX_RESULTS_PER_REVISION:] if old not in over]
    for old in over:
        conn.execute("DELETE FROM gate_results WHERE cid = ?", (str(old.cid),))
    return [cid for old in (*before, *over) for cid in (old.cid, old.payload_cid)]


def results_of(conn: sqlite3.Connection, revision: Cid) -> list[GateRow]:
    """What was measured of one revision, the newest first."""
    return _results(conn, "revision = ?", (str(revision),))


def result_cids(conn: sqlite3.Connection) -> set[Cid]:
    """Both blocks of every result that is kept."""
    rows = conn.execute("SELECT cid FROM gate_results UNION SELECT payload_cid FROM gate_results")
    return {Cid.parse(cid) for (cid,) in rows}


def _results(conn: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[GateRow]:
    rows = conn.execute(f"SELECT {_RESULT} FROM gate_results WHERE {where} ORDER BY ts_ms DESC, cid", values)
    return [
        GateRow(Cid.parse(cid), Cid.parse(payload), Cid.parse(revision), playbook, Did(author), *numbers)
        for cid, payload, revision, playbook, author, *numbers in rows
    ]
