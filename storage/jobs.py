"""Jobs: a goal, the steps that were taken for it, what came of it, and its log."""

import sqlite3
from dataclasses import dataclass, replace
from typing import Final

from storage.page import LAST_SEQ, Page, page_of, position

_COLUMNS: Final = "seq, id, goal, session_id, status, created_ms, answer, reflection"


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. `input` and `output` are JSON; `ms` is how long it took."""

    n: int
    action: str
    input: bytes
    output: bytes | None
    ms: float


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. Lists leave `steps` empty; `get_job` fills it."""

    seq: int
    id: str
    goal: str
    session_id: str | None
    status: str
    created_ms: int
    answer: str | None
    reflection: str | None
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
) -> None:
    """Keep a new job. An id that is here already changes nothing."""
    conn.execute(
        "INSERT INTO jobs (id, goal, session_id, status, created_ms) VALUES (?,?,?,?,?) ON CONFLICT (id) DO NOTHING",
        (job_id, goal, session_id, status, created_ms),
    )


def put_step(
    conn: sqlite3.Connection,
    job_id: str,
    n: int,
    action: str,
    input: bytes,  # noqa: A002 - the interface's own name for it
    output: bytes | None,
    ms: float,
) -> None:
    """Keep step `n` of a job, or what has become of it since. The job must be here."""
    conn.execute(
        "INSERT INTO job_steps (job_id, n, action, input, output, ms) VALUES (?,?,?,?,?,?) ON CONFLICT (job_id, n)"
        " DO UPDATE SET action = excluded.action, input = excluded.input, output = excluded.output, ms = excluded.ms",
        (job_id, n, action, input, output, ms),
    )


def finish_job(
    conn: sqlite3.Connection,
    job_id: str,
    status: str,
    answer: str | None,
    reflection: str | None,
) -> bool:
    """Note what came of a job; whether it is known."""
    done = conn.execute(
        "UPDATE jobs SET status = ?, answer = ?, reflection = ? WHERE id = ?", (status, answer, reflection, job_id)
    )
    return done.rowcount == 1


def get_job(conn: sqlite3.Connection, job_id: str) -> JobRow | None:
    """One job with its steps, or None."""
    found = conn.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if not found:
        return None
    steps = conn.execute("SELECT n, action, input, output, ms FROM job_steps WHERE job_id = ? ORDER BY n", (job_id,))
    return replace(JobRow(*found), steps=tuple(StepRow(*row) for row in steps))


def list_jobs(conn: sqlite3.Connection, *, limit: int, after: str | None = None) -> Page[JobRow]:
    """Jobs without their steps, newest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        (position(after, start=LAST_SEQ), limit + 1),
    )
    return page_of([JobRow(*row) for row in rows], limit, lambda job: job.seq)


def count(conn: sqlite3.Connection, status: str) -> int:
    """How many jobs have this status."""
    return int(conn.execute("SELECT COUNT(*) FROM jobs WHERE status = ?", (status,)).fetchone()[0])


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


def end_all(conn: sqlite3.Connection, running: str, *, status: str, answer: str) -> int:
    """End every job that stands at `running`, as after a crash; return how many there were."""
    return conn.execute("UPDATE jobs SET status = ?, answer = ? WHERE status = ?", (status, answer, running)).rowcount
