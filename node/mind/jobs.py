"""Jobs: each goal with its steps, recorded before they run, and what came of it."""

import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from node.clock import NowMs, now_ms
from node.errors import JobUnknown
from storage import jobs as rows
from storage.database import Database
from storage.page import Page

RUNNING: Final = "running"


@dataclass(frozen=True, slots=True)
class Step:
    """One action: what went in, what came out (None until it has ended), and how long it took."""

    n: int
    action: str
    input: Mapping[str, Any]
    output: Mapping[str, Any] | None
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A goal and what came of it. `status` is `running` or a status of `POST /v1/interact`."""

    id: str
    goal: str
    session_id: str | None
    status: str
    created_ms: int
    answer: str | None
    reflection: str | None
    steps: tuple[Step, ...]


class Jobs:
    """The jobs of this twin, on disk."""

    def __init__(self, database: Database, now: NowMs = now_ms) -> None:
        self._database = database
        self._now = now

    async def start(self, goal: str, session_id: str | None) -> str:
        """Record a new job; return its id."""
        job_id = str(uuid.uuid4())
        await self._database.write(
            lambda conn: rows.put_job(
                conn, job_id, goal=goal, session_id=session_id, status=RUNNING, created_ms=self._now()
            )
        )
        return job_id

    async def record(self, job_id: str, step: Step) -> None:
        """Record a step before it runs (no output), or again after it."""
        output = None if step.output is None else orjson.dumps(step.output)
        await self._database.write(
            lambda conn: rows.put_step(
                conn, job_id, n=step.n, action=step.action, input=orjson.dumps(step.input), output=output, ms=step.ms
            )
        )

    async def note(self, job_id: str, level: str, text: str) -> None:
        """Add a line to the job's log. `level` is plan, tool, memory, error, warn or info."""
        await self._database.write(lambda conn: rows.add_log(conn, job_id, self._now(), level, text))

    async def finish(
        self,
        job_id: str,
        *,
        status: str,
        answer: str,
        reflection: str | None,
        also: Callable[[sqlite3.Connection], None] = lambda conn: None,
    ) -> None:
        """Record how the job ended, and in the same transaction whatever `also` writes."""

        def store(conn: sqlite3.Connection) -> None:
            rows.finish_job(conn, job_id, status=status, answer=answer, reflection=reflection)
            also(conn)

        await self._database.write(store)

    async def interrupted(self) -> int:
        """Mark the jobs that a crash left running as failed; return how many there were."""
        return await self._database.write(
            lambda conn: rows.end_all(conn, RUNNING, status="failed", answer="The twin stopped before this was done.")
        )

    async def list(self, limit: int, after: str | None = None) -> Page[Job]:
        """Jobs without their steps, newest first."""
        page = await self._database.read(lambda conn: rows.list_jobs(conn, limit=limit, after=after))
        return Page(tuple(_job(row) for row in page.items), page.next)

    async def get(self, job_id: str) -> Job:
        """One job with its steps. Raises JobUnknown."""
        row = await self._database.read(lambda conn: rows.get_job(conn, job_id))
        if row is None:
            raise JobUnknown(f"no job {job_id}")
        return _job(row)

    async def log(self, job_id: str) -> Sequence[rows.LogLine]:
        """The first thousand lines of the job's log, oldest first. Raises JobUnknown."""
        await self.get(job_id)
        return (await self._database.read(lambda conn: rows.job_log(conn, job_id, limit=1000))).items


def _job(row: rows.JobRow) -> Job:
    return Job(
        id=row.id,
        goal=row.goal,
        session_id=row.session_id,
        status=row.status,
        created_ms=row.created_ms,
        answer=row.answer,
        reflection=row.reflection,
        steps=tuple(_step(step) for step in row.steps),
    )


def _step(row: rows.StepRow) -> Step:
    output = None if row.output is None else orjson.loads(row.output)
    return Step(row.n, row.action, orjson.loads(row.input), output, row.ms)
