"""Jobs: a goal, the steps that were taken for it, what came of it, and its log."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from storage.page import LAST_SEQ, Page, page_of, position

_COLUMNS: Final = (
    "seq, id, goal, session_id, status, created_ms, answer, reflection, parent_id, depth, max_steps, deadline_ms,"
    " ended_ms, progress, doing, degraded, turn_due, to_reflect"
)


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. `input` and `output` are JSON; `ms` is how long it took. One that has not `begun` only waits."""

    n: int
    action: str
    input: bytes
    output: bytes | None
    ms: float
    begun: bool = True


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. Lists leave `steps` empty; `get_job` fills it. `degraded` is why it is, None where it is not.

    `turn_due` is 1 while the goal, or after the end the answer, is not remembered; `to_reflect` while nobody has
    reflected on how it ended.
    """

    seq: int
    id: str
    goal: str
    session_id: str | None
    status: str
    created_ms: int
    answer: str | None
    reflection: str | None
    parent_id: str | None = None
    depth: int = 0
    max_steps: int = 8
    deadline_ms: int | None = None
    ended_ms: int | None = None
    progress: float = 0.0
    doing: str = ""
    degraded: str | None = None
    turn_due: int = 0
    to_reflect: int = 0
    steps: tuple[StepRow, ...] = ()


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log."""

    seq: int
    ts_ms: int
    level: str
    text: str


def put_job(
    conn: sqlite3.Connection,
    job_id: str,
    goal: str,
    session_id: str | None,
    status: str,
    created_ms: int,
    *,
    parent_id: str | None = None,
    depth: int = 0,
    max_steps: int = 8,
    deadline_ms: int | None = None,
    turn_due: bool = False,
) -> bool:
    """Keep a new job; whether it is new. An id that is here already changes nothing."""
    put = conn.execute(
        "INSERT INTO jobs (id, goal, session_id, status, created_ms, parent_id, depth, max_steps, deadline_ms,"
        " turn_due) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING",
        (job_id, goal, session_id, status, created_ms, parent_id, depth, max_steps, deadline_ms, turn_due),
    )
    return put.rowcount == 1


def put_step(
    conn: sqlite3.Connection,
    job_id: str,
    n: int,
    action: str,
    input: bytes,  # noqa: A002 - the interface's own name for it
    output: bytes | None,
    ms: float,
    *,
    begun: bool = True,
) -> None:
    """Keep step `n` of a job, or what has become of it since. The job must be here."""
    conn.execute(
        "INSERT INTO job_steps (job_id, n, action, input, output, ms, begun) VALUES (?,?,?,?,?,?,?)"
        " ON CONFLICT (job_id, n) DO UPDATE SET action = excluded.action, input = excluded.input,"
        " output = excluded.output, ms = excluded.ms, begun = excluded.begun",
        (job_id, n, action, input, output, ms, begun),
    )


def begin_step(conn: sqlite3.Connection, job_id: str, n: int) -> None:
    """From now on step `n` may have happened."""
    conn.execute("UPDATE job_steps SET begun = 1 WHERE job_id = ? AND n = ?", (job_id, n))


def set_status(conn: sqlite3.Connection, job_id: str, status: str, *, among: Sequence[str]) -> bool:
    """Move a job whose status is one of `among`; whether it was."""
    marks = ",".join("?" * len(among))
    done = conn.execute(
        f"UPDATE jobs SET status = ? WHERE id = ? AND status IN ({marks})",
        (status, job_id, *among),
    )
    return done.rowcount == 1


def set_progress(conn: sqlite3.Connection, job_id: str, progress: float, doing: str) -> None:
    """Keep how far a job is (0 to 1), and what it does."""
    conn.execute("UPDATE jobs SET progress = ?, doing = ? WHERE id = ?", (progress, doing, job_id))


def set_doing(conn: sqlite3.Connection, job_id: str, doing: str) -> None:
    """Keep what a job does, or why it does nothing."""
    conn.execute("UPDATE jobs SET doing = ? WHERE id = ?", (doing, job_id))


def finish_job(
    conn: sqlite3.Connection,
    job_id: str,
    status: str,
    answer: str | None,
    *,
    ended_ms: int,
    degraded: str | None = None,
    to_reflect: bool = False,
    turn_due: bool = False,
) -> bool:
    """Note what came of a job; False if it is not known or had ended already, and then nothing changes."""
    done = conn.execute(
        "UPDATE jobs SET status = ?, answer = ?, ended_ms = ?, degraded = ?, to_reflect = ?, turn_due = ?, doing = '',"
        " progress = CASE WHEN ? = 'done' THEN 1.0 ELSE progress END WHERE id = ? AND ended_ms IS NULL",
        (status, answer, ended_ms, degraded, to_reflect, turn_due, status, job_id),
    )
    return done.rowcount == 1


def set_reflected(conn: sqlite3.Connection, job_id: str, reflection: str | None) -> None:
    """Note what was learned of a job: it is not reflected on again."""
    conn.execute("UPDATE jobs SET to_reflect = 0, reflection = ? WHERE id = ?", (reflection, job_id))


def turn_kept(conn: sqlite3.Connection, job_id: str) -> None:
    """The turn that was due is in the working memory."""
    conn.execute("UPDATE jobs SET turn_due = 0 WHERE id = ?", (job_id,))


def afterwards(conn: sqlite3.Connection, limit: int) -> list[str]:
    """Jobs that have ended and are not remembered or reflected on yet, oldest first."""
    rows = conn.execute(
        "SELECT id FROM jobs WHERE (to_reflect = 1 OR turn_due = 1) AND ended_ms IS NOT NULL ORDER BY seq LIMIT ?",
        (limit,),
    )
    return [row[0] for row in rows]


def get_job(conn: sqlite3.Connection, job_id: str) -> JobRow | None:
    """One job with its steps, or None."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if not found:
        return None
    steps = conn.execute(
        "SELECT n, action, input, output, ms, begun FROM job_steps WHERE job_id = ? ORDER BY n", (job_id,)
    )
    return replace(JobRow(*found), steps=tuple(_step(row) for row in steps))


def list_jobs(
    conn: sqlite3.Connection, *, limit: int, after: str | None = None, parent_id: str | None = None
) -> Page[JobRow]:
    """Jobs without their steps, newest first: those that the owner gave, or the parts of one."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE seq < ? AND parent_id IS ? ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), parent_id, limit + 1),
    )
    return page_of([JobRow(*row) for row in rows], limit, lambda job: job.seq)


def roots_with(conn: sqlite3.Connection, statuses: Sequence[str]) -> list[str]:
    """The jobs with one of these statuses that are no parts of others, oldest first."""
    marks = ",".join("?" * len(statuses))
    rows = conn.execute(
        f"SELECT id FROM jobs WHERE status IN ({marks}) AND parent_id IS NULL ORDER BY seq",
        tuple(statuses),
    )
    return [row[0] for row in rows]


def family(conn: sqlite3.Connection, job_id: str) -> list[str]:
    """The job and all its parts, and their parts."""
    rows = conn.execute(
        "WITH RECURSIVE family (id) AS (SELECT ? UNION SELECT jobs.id FROM jobs JOIN family"
        " ON jobs.parent_id = family.id) SELECT id FROM family",
        (job_id,),
    )
    return [row[0] for row in rows]


def root_of(conn: sqlite3.Connection, job_id: str) -> str:
    """The job that this is a part of, at the very top; itself if it is no part."""
    found = conn.execute(
        "WITH RECURSIVE line (id, parent_id) AS (SELECT id, parent_id FROM jobs WHERE id = ? UNION"
        " SELECT jobs.id, jobs.parent_id FROM jobs JOIN line ON jobs.id = line.parent_id)"
        " SELECT id FROM line WHERE parent_id IS NULL",
        (job_id,),
    ).fetchone()
    return job_id if found is None else str(found[0])


def delete(conn: sqlite3.Connection, job_ids: Sequence[str]) -> list[str]:
    """Take jobs away, with their steps, logs, approvals and ratings; what they told."""
    wanted = (json.dumps(list(job_ids)),)
    these = "IN (SELECT value FROM json_each(?))"
    told = conn.execute(
        f"SELECT goal FROM jobs WHERE id {these} UNION SELECT answer FROM jobs WHERE id {these} AND answer IS NOT NULL",
        wanted * 2,
    ).fetchall()
    conn.execute(f"DELETE FROM jobs WHERE id {these}", wanted)
    return [text for (text,) in told]


def ended_before(conn: sqlite3.Connection, ended_ms: int, limit: int) -> list[str]:
    """The jobs, no parts of others, that ended before a time, oldest first."""
    rows = conn.execute(
        "SELECT id FROM jobs WHERE ended_ms < ? AND parent_id IS NULL ORDER BY seq LIMIT ?", (ended_ms, limit)
    )
    return [row[0] for row in rows]


def count(conn: sqlite3.Connection, status: str) -> int:
    """How many jobs have this status."""
    return int(conn.execute("SELECT COUNT(*) FROM jobs WHERE status = ?", (status,)).fetchone()[0])


def any_under_way(conn: sqlite3.Connection) -> bool:
    """Whether a goal waits for its turn or is worked on; not one that waits for the owner."""
    row = conn.execute("SELECT EXISTS (SELECT 1 FROM jobs WHERE status IN ('queued', 'running'))").fetchone()
    return bool(row[0])


def add_log(conn: sqlite3.Connection, job_id: str, ts_ms: int, level: str, text: str) -> None:
    """Add a line to a job's log. The job must be here."""
    conn.execute("INSERT INTO job_log (job_id, ts_ms, level, text) VALUES (?,?,?,?)", (job_id, ts_ms, level, text))


def job_log(conn: sqlite3.Connection, job_id: str, *, limit: int, after: str | None = None) -> Page[LogLine]:
    """A job's log, oldest line first."""
    rows = conn.execute(
        "SELECT seq, ts_ms, level, text FROM job_log WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        (job_id, position(after, start=0), limit + 1),
    )
    return page_of([LogLine(*row) for row in rows], limit, lambda line: line.seq)


def _step(row: tuple[Any, ...]) -> StepRow:
    n, action, given, output, ms, begun = row
    return StepRow(n, action, given, output, ms, bool(begun))
