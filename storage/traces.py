"""What jobs did, for whoever learns from many of them at once: read within bounds from what other modules keep."""

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

import orjson

from identity.did import Did

ASKED: Final = "ask_twin"

MAX_TEXT_CHARS: Final = 16_384
"""Of a goal or an answer. What is longer is a document, and no example of how to answer."""


@dataclass(frozen=True, slots=True)
class AskedStep:
    """A question to another twin. `helped`: an answer came. `reused`: an older one served, and nobody was asked."""

    job_id: str
    created_ms: int
    did: Did
    question: str
    ms: float
    helped: bool
    reused: bool


@dataclass(frozen=True, slots=True)
class JobTrace:
    """A job that has ended and what is known of how it went: `outcome` is good, bad or unknown, as `source` says.

    Of a goal or an answer that is longer than MAX_TEXT_CHARS there is one character more than that, and no further one.
    """

    job_id: str
    parent_id: str | None
    goal: str
    answer: str
    status: str
    degraded: bool
    created_ms: int
    outcome: str
    source: str
    playbook: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused goal: what the owner says of it (None for nothing), and by what it was refused."""

    job_id: str
    goal: str
    good: bool | None
    line: str | None
    by: str | None


def asked_since(conn: sqlite3.Connection, ts_ms: int, limit: int) -> list[AskedStep]:
    """The questions of jobs since then that have ended, the newest jobs first."""
    rows = conn.execute(
        "SELECT j.id, j.created_ms, s.input, s.output, s.ms FROM job_steps s INDEXED BY job_steps_asked"
        " JOIN jobs j ON j.id = s.job_id WHERE s.action = 'ask_twin' AND s.output IS NOT NULL AND j.created_ms >= ?"
        " ORDER BY j.seq DESC, s.n DESC LIMIT ?",
        (ts_ms, limit),
    )
    found = []
    for job_id, created_ms, given, output, ms in rows:
        told, said = _object(given), _object(output)
        answer = said.get("answer")
        helped = isinstance(answer, dict) and bool(answer.get("answer"))
        question, did = str(told.get("question", "")), Did(str(told.get("did", "")))
        found.append(AskedStep(job_id, created_ms, did, question, float(ms), helped, bool(said.get("reused"))))
    return found


def jobs_since(conn: sqlite3.Connection, ts_ms: int, limit: int) -> list[JobTrace]:
    """The jobs since then that have ended, newest first. A refusal is none of them: it teaches nothing."""
    rows = conn.execute(
        "SELECT j.id, j.parent_id, substr(j.goal, 1, ?), substr(COALESCE(j.answer, ''), 1, ?), j.status,"
        " j.degraded IS NOT NULL, j.created_ms,"
        " COALESCE(o.outcome, 'unknown'), COALESCE(o.source, 'job'), o.playbook FROM jobs j"
        " LEFT JOIN job_outcomes o ON o.job_id = j.id WHERE j.created_ms >= ? AND j.ended_ms IS NOT NULL"
        " AND j.status != 'refused' ORDER BY j.seq DESC LIMIT ?",
        (MAX_TEXT_CHARS + 1, MAX_TEXT_CHARS + 1, ts_ms, limit),
    )
    return [
        JobTrace(job_id, parent_id, goal, answer, status, bool(degraded), *rest)
        for job_id, parent_id, goal, answer, status, degraded, *rest in rows
    ]


def refusals_since(conn: sqlite3.Connection, ts_ms: int, limit: int) -> list[Refusal]:
    """The refused goals since then, newest first."""
    rows = conn.execute(
        "SELECT j.id, j.goal, f.good, (SELECT payload FROM event_log e WHERE e.event_type = 'ethics_refused'"
        " AND e.subject = j.id ORDER BY seq DESC LIMIT 1) FROM jobs j LEFT JOIN feedback f ON f.job_id = j.id"
        " WHERE j.status = 'refused' AND j.created_ms >= ? ORDER BY j.seq DESC LIMIT ?",
        (ts_ms, limit),
    )
    found = []
    for job_id, goal, good, payload in rows:
        told = _object(payload)
        found.append(Refusal(job_id, goal, None if good is None else bool(good), told.get("line"), told.get("by")))
    return found


def children_of(conn: sqlite3.Connection, parent_id: str) -> list[str]:
    """The jobs that were parts of one."""
    return [job_id for (job_id,) in conn.execute("SELECT id FROM jobs WHERE parent_id = ? ORDER BY seq", (parent_id,))]


def steps_of(conn: sqlite3.Connection, job_id: str, most: int) -> list[tuple[str, Any, Any]]:
    """(action, input, output) of a job's first steps."""
    rows = conn.execute(
        "SELECT action, input, output FROM job_steps WHERE job_id = ? ORDER BY n LIMIT ?", (job_id, most)
    )
    return [(action, _object(given), _object(output)) for action, given, output in rows]


def _object(text: bytes | str | None) -> dict[str, Any]:
    value = orjson.loads(text) if text else {}
    return value if isinstance(value, dict) else {}
