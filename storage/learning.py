"""What the bullets of a playbook did: which job was given which, and what came of the job.

A run of a check is noted like a job, under a name that begins with `check-run:`.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from identity.cid import Cid

Arm = Literal["usual", "canary"]
Given = Literal["adopted", "tried", "kept_back"]
Outcome = Literal["good", "bad", "unknown"]
Source = Literal["job", "owner", "check", "receipt"]

_COLUMNS: Final = "job_id, playbook, outcome, source, counted, updated_ms"

_USES: Final[dict[Arm, Given]] = {"usual": "kept_back", "canary": "tried"}


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What came of one job, as the job itself, a check, a task's receipt or the owner says; `counted` once a revision
    has said so, or while nothing is known that one could say."""

    job_id: str
    playbook: str
    outcome: Outcome
    source: Source
    counted: bool
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Use:
    """A bullet that fitted a job: adopted, or tried on it, or kept back from it and tried on others."""

    bullet: str
    revision: Cid
    use: Given


def put(conn: sqlite3.Connection, outcome: JobOutcome, uses: Iterable[Use]) -> None:
    """Note what came of a job and what it was given. One that is noted already stays as it is."""
    done = conn.execute(
        f"INSERT INTO job_outcomes ({_COLUMNS}) VALUES (?,?,?,?,?,?) ON CONFLICT (job_id) DO NOTHING",
        (
            *(outcome.job_id, outcome.playbook, outcome.outcome, outcome.source),
            *(int(outcome.counted), outcome.updated_ms),
        ),
    )
    if done.rowcount:
        conn.executemany(
            "INSERT INTO bullet_uses (job_id, bullet, revision, use) VALUES (?,?,?,?)",
            [(outcome.job_id, use.bullet, str(use.revision), use.use) for use in uses],
        )


def rate(conn: sqlite3.Connection, job_id: str, outcome: Outcome, *, source: Source = "owner", updated_ms: int) -> bool:
    """What the owner, or a receipt, says of a job, to be counted anew; whether the job was noted and this is news.

    A receipt changes nothing of what the owner has said.
    """
    done = conn.execute(
        "UPDATE job_outcomes SET outcome = ?, source = ?, counted = 0, updated_ms = ?"
        " WHERE job_id = ? AND (source != ? OR outcome != ?) AND (source != 'owner' OR ? = 'owner')",
        (outcome, source, updated_ms, job_id, source, outcome, source),
    )
    return done.rowcount == 1


def get(conn: sqlite3.Connection, job_id: str) -> JobOutcome | None:
    """What came of one job, or None."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM job_outcomes WHERE job_id = ?", (job_id,)).fetchone()
    return _outcome(row) if row else None


def uses_of(conn: sqlite3.Connection, job_id: str) -> list[Use]:
    """The bullets that fitted a job, by id."""
    rows = conn.execute("SELECT bullet, revision, use FROM bullet_uses WHERE job_id = ? ORDER BY bullet", (job_id,))
    return [Use(bullet, Cid.parse(revision), use) for bullet, revision, use in rows]


def uncounted(conn: sqlite3.Connection, playbook: str, limit: int) -> list[JobOutcome]:
    """Jobs whose outcome no revision has counted yet, with bullets to count."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM job_outcomes WHERE playbook = ? AND counted = 0 AND outcome != 'unknown' AND EXISTS"
        " (SELECT 1 FROM bullet_uses WHERE bullet_uses.job_id = job_outcomes.job_id AND use != 'kept_back')"
        " ORDER BY updated_ms LIMIT ?",
        (playbook, limit),
    )
    return [_outcome(row) for row in rows]


def uncounted_playbooks(conn: sqlite3.Connection) -> list[str]:
    """The playbooks that have jobs whose outcome no revision has counted yet."""
    rows = conn.execute(
        "SELECT DISTINCT playbook FROM job_outcomes WHERE counted = 0 AND outcome != 'unknown' AND EXISTS"
        " (SELECT 1 FROM bullet_uses WHERE bullet_uses.job_id = job_outcomes.job_id AND use != 'kept_back')"
    )
    return [name for (name,) in rows]


def set_counted(conn: sqlite3.Connection, outcomes: Sequence[JobOutcome]) -> None:
    """A revision counts these now. One that the owner has rated meanwhile is left."""
    conn.executemany(
        "UPDATE job_outcomes SET counted = 1 WHERE job_id = ? AND updated_ms = ?",
        [(outcome.job_id, outcome.updated_ms) for outcome in outcomes],
    )


def receipts(conn: sqlite3.Connection) -> list[tuple[str, float, Outcome | None]]:
    """(job, quality, said) of the tasks that jobs here gave to others, as far as they were receipted.

    `said` is what receipts said of the job before, if they did. Jobs of which the owner has spoken are left out.
    """
    rows = conn.execute(
        "SELECT s.job_id, json_extract(CAST(tasks.receipt AS TEXT), '$.artifact.quality'),"
        " CASE o.source WHEN 'receipt' THEN o.outcome END FROM job_steps s"
        " JOIN tasks ON tasks.id = json_extract(CAST(s.output AS TEXT), '$.task_id')"
        " JOIN job_outcomes o ON o.job_id = s.job_id AND o.source != 'owner'"
        " WHERE s.action = 'delegate' AND tasks.receipt IS NOT NULL"
    )
    return [(job_id, quality, said) for job_id, quality, said in rows if isinstance(quality, int | float)]


def outcomes(conn: sqlite3.Connection, playbook: str, revision: Cid) -> dict[Arm, tuple[int, int]]:
    """How the jobs went that a revision's bullets fitted, as (good, bad).

    `canary` are those that were given them while they were tried, `usual` those that they were kept from.
    """
    counts: dict[Arm, tuple[int, int]] = {}
    for arm, use in _USES.items():
        counts[arm] = conn.execute(
            "SELECT COALESCE(SUM(outcome = 'good'), 0), COALESCE(SUM(outcome = 'bad'), 0) FROM job_outcomes"
            " WHERE playbook = ? AND job_id IN (SELECT job_id FROM bullet_uses WHERE revision = ? AND use = ?)",
            (playbook, str(revision), use),
        ).fetchone()
    return counts


def _outcome(row: tuple[str, str, Outcome, Source, int, int]) -> JobOutcome:
    job_id, playbook, outcome, source, counted, updated_ms = row
    return JobOutcome(job_id, playbook, outcome, source, bool(counted), updated_ms)
