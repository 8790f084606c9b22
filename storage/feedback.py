"""What the owner says of answers, and what was right where they were not. It never leaves this twin."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["told", "waiting", "learnt", "nothing"]
"""`told`: there is nothing to learn from. `waiting`: for a lesson. `nothing`: no lesson that was tried helped."""

_COLUMNS: Final = "feedback.job_id, feedback.playbook, good, expected, because, share, state, ts_ms, goal, answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What was said of one job. `expected` is what a right answer holds, `because` how it comes about.

    `share` is whether a lesson of it may go into the playbook, where everybody can read it.
    """

    job_id: str
    playbook: str
    good: bool
    expected: str | None
    because: str | None
    share: bool
    state: State
    ts_ms: int
    goal: str
    answer: str


def put(
    conn: sqlite3.Connection,
    job_id: str,
    playbook: str,
    *,
    good: bool,
    expected: str | None,
    because: str | None,
    share: bool,
    ts_ms: int,
) -> None:
    """Keep what was said of a job, in place of what was said before. The same again changes nothing.

    The job must be here.
    """
    state: State = "waiting" if expected is not None and not good else "told"
    conn.execute(
        "INSERT INTO feedback (job_id, playbook, good, expected, because, share, state, ts_ms) VALUES (?,?,?,?,?,?,?,?)"
        " ON CONFLICT (job_id) DO UPDATE SET playbook = excluded.playbook, good = excluded.good,"
        " expected = excluded.expected, because = excluded.because, share = excluded.share, state = excluded.state,"
        " ts_ms = excluded.ts_ms WHERE (feedback.good, feedback.expected, feedback.because, feedback.share) IS NOT"
        " (excluded.good, excluded.expected, excluded.because, excluded.share)",
        (job_id, playbook, int(good), expected, because, int(share), state, ts_ms),
    )


def get(conn: sqlite3.Connection, job_id: str) -> Feedback | None:
    """What was said of one job, or None."""
    found = _select(conn, "WHERE feedback.job_id = ?", (job_id,))
    return found[0] if found else None


def waiting(conn: sqlite3.Connection, playbook: str, limit: int) -> list[Feedback]:
    """Failures that nothing was learnt from yet, the oldest first."""
    return _select(
        conn,
        "WHERE state = 'waiting' AND feedback.playbook = ? ORDER BY ts_ms, feedback.job_id LIMIT ?",
        (playbook, limit),
    )


def waiting_counts(conn: sqlite3.Connection) -> dict[str, int]:
    """How many failures wait, by playbook."""
    return dict(conn.execute("SELECT playbook, COUNT(*) FROM feedback WHERE state = 'waiting' GROUP BY playbook"))


def set_state(conn: sqlite3.Connection, told: Sequence[Feedback], state: State) -> None:
    """Something was learnt from these, or nothing could be. One of which something new was said since is left."""
    conn.executemany(
        "UPDATE feedback SET state = ? WHERE job_id = ? AND ts_ms = ?", [(state, one.job_id, one.ts_ms) for one in told]
    )


def since(conn: sqlite3.Connection, ts_ms: int, limit: int) -> list[Feedback]:
    """What was said since then, the newest first."""
    return _select(conn, "WHERE ts_ms >= ? ORDER BY ts_ms DESC, feedback.job_id LIMIT ?", (ts_ms, limit))


def _select(conn: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[Feedback]:
    rows = conn.execute(f"SELECT {_COLUMNS} FROM feedback JOIN jobs ON jobs.id = feedback.job_id {where}", values)
    return [
        Feedback(
            job_id=job_id,
            playbook=playbook,
            good=bool(good),
            expected=expected,
            because=because,
            share=bool(share),
            state=state,
            ts_ms=ts_ms,
            goal=goal,
            answer=answer or "",
        )
        for job_id, playbook, good, expected, because, share, state, ts_ms, goal, answer in rows
    ]
