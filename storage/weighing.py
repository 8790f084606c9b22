"""Which jobs' outcomes the memories have been weighed by."""

import sqlite3
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["good", "bad"]


@dataclass(frozen=True, slots=True)
class Due:
    """A job to reckon with: its outcome, the one that was reckoned with before, and the JSON output of its answer."""

    job_id: str
    outcome: Outcome
    before: Outcome | None
    output: bytes | None


def due(conn: sqlite3.Connection, limit: int) -> list[Due]:
    """Jobs of whose outcome the owner or a receipt has said something that was not reckoned with."""
    rows = conn.execute(
        "SELECT o.job_id, o.outcome, w.outcome, (SELECT output FROM job_steps s WHERE s.job_id = o.job_id"
        " AND s.action = 'respond' ORDER BY n DESC LIMIT 1) FROM job_outcomes o JOIN jobs ON jobs.id = o.job_id"
        " LEFT JOIN weighed_jobs w ON w.job_id = o.job_id WHERE o.source IN ('owner', 'receipt')"
        " AND o.outcome IN ('good', 'bad') AND w.outcome IS NOT o.outcome LIMIT ?",
        (limit,),
    )
    return [Due(*row) for row in rows]


def set_weighed(conn: sqlite3.Connection, job_id: str, outcome: Outcome) -> None:
    """A job has been reckoned with."""
    conn.execute(
        "INSERT INTO weighed_jobs (job_id, outcome) VALUES (?,?)"
        " ON CONFLICT (job_id) DO UPDATE SET outcome = excluded.outcome",
        (job_id, outcome),
    )
