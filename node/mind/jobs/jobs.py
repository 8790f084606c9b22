"""Jobs: each goal with its steps, recorded before they run, and what came of it."""

import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import orjson

from node.clock import NowMs, now_ms
from node.errors import JobUnknown
from storage import jobs as rows
from storage.database import Database
from storage.page import Page

T = TypeVar("T")

Status = Literal[
    "queued", "running", "paused", "waiting_approval", "done", "refused", "failed", "throttled", "cancelled"
]
"""`queued` waits for its turn; `paused` and `waiting_approval` wait for the owner; the last five are ends."""

RUNNING: Final = "running"
ACTIVE: Final = ("queued", "running")
PARKED: Final = ("paused", "waiting_approval")
ENDS: Final = frozenset({"done", "refused", "failed", "throttled", "cancelled"})

ENDED_WITH_THE_WHOLE: Final = "The goal that this is a part of has ended."

MAX_STEPS: Final = 8
"""A recall, a tool, the answer, and more twins asked than anybody waits for."""

Also = Callable[[sqlite3.Connection], None]
"""Writes in the transaction that is open."""


def _nothing(conn: sqlite3.Connection) -> None:
    """No more is written."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action: what went in, what came out (None until it has ended), and how long it took.

    Until it has `begun` it only waits for the owner: nothing of it has happened.
    """

    n: int
    action: str
    input: Mapping[str, Any]
    output: Mapping[str, Any] | None
    ms: float
    begun: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A goal and what came of it. `degraded` says why it is, None where it is not.

    `depth` is 0 for what the owner gave and one more for each part of a part; `deadline_ms` is Unix time; `progress`
    goes from 0 to 1, and `doing` is what is done now. `turn_due`: the goal, or after the end the answer, is not
    remembered yet; `to_reflect`: nobody has reflected on how it ended.
    """

    id: str
    goal: str
    session_id: str | None
    status: str
    created_ms: int
    answer: str | None
    reflection: str | None
    steps: tuple[Step, ...]
    parent_id: str | None = None
    depth: int = 0
    max_steps: int = MAX_STEPS
    deadline_ms: int | None = None
    ended_ms: int | None = None
    progress: float = 0.0
    doing: str = ""
    degraded: str | None = None
    turn_due: bool = False
    to_reflect: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDS


class Jobs:
    """The jobs of this twin, on disk."""

    def __init__(self, database: Database, now: NowMs = now_ms) -> None:
        self._database = database
        self._now = now

    async def create(
        self,
        goal: str,
        session_id: str | None,
        *,
        max_steps: int = MAX_STEPS,
        deadline_s: float | None = None,
        parent: Job | None = None,
        job_id: str | None = None,
    ) -> str:
        """Record a new job, which waits for its turn; return its id. A `job_id` that is here already stays as it is."""
        job_id, now = job_id or str(uuid.uuid4()), self._now()
        deadline_ms = None if deadline_s is None else now + int(deadline_s * 1000)
        await self._database.write(
            lambda conn: rows.put_job(
                conn,
                job_id,
                goal,
                session_id,
                "queued",
                now,
                parent_id=None if parent is None else parent.id,
                depth=0 if parent is None else parent.depth + 1,
                max_steps=max_steps,
                deadline_ms=deadline_ms if parent is None else parent.deadline_ms,
                turn_due=parent is None,
            )
        )
        return job_id

    async def record(self, job_id: str, step: Step, *, also: Also = _nothing) -> None:
        """Record a step before it runs (no output), or after it, and in the same transaction what `also` writes."""

        def store(conn: sqlite3.Connection) -> None:
            self.store_step(conn, job_id, step)
            also(conn)

        await self._database.write(store)

    @staticmethod
    def store_step(conn: sqlite3.Connection, job_id: str, step: Step) -> None:
        """`record` as a part of somebody else's transaction."""
        output = None if step.output is None else orjson.dumps(step.output)
        given = orjson.dumps(step.input)
        rows.put_step(conn, job_id, step.n, step.action, given, output, step.ms, begun=step.begun)

    async def note(self, job_id: str, level: str, text: str) -> None:
        """Add a line to the job's log. `level` is plan, tool, memory, error, warn or info."""
        await self._database.write(lambda conn: self.store_note(conn, job_id, level, text))

    def store_note(self, conn: sqlite3.Connection, job_id: str, level: str, text: str) -> None:
        """`note` as a part of somebody else's transaction."""
        rows.add_log(conn, job_id, self._now(), level, text)

    async def move(self, job_id: str, status: Status, *, among: Sequence[str]) -> bool:
        """Change the status of a job that has one of `among`; whether it had."""
        return await self._database.write(lambda conn: rows.set_status(conn, job_id, status, among=among))

    async def pause(self, job_id: str, doing: str) -> bool:
        """Have a job that has not ended wait until the owner lets it go on; whether there is one."""

        def store(conn: sqlite3.Connection) -> bool:
            paused = rows.set_status(conn, job_id, "paused", among=(*ACTIVE, *PARKED))
            if paused:
                rows.set_doing(conn, job_id, doing)
            return paused

        return await self._database.write(store)

    async def finish(
        self,
        job_id: str,
        *,
        status: Status,
        answer: str,
        degraded: str | None = None,
        to_reflect: bool = False,
        turn_due: bool = False,
        also: Also = _nothing,
    ) -> bool:
        """Record how the job ended, and in the same transaction what `also` writes; False if it had ended before, and
        then nothing is written. Parts that have not ended end with it: nobody would take them up again."""
        assert status in ENDS

        def store(conn: sqlite3.Connection) -> bool:
            now = self._now()
            ended = rows.finish_job(
                conn,
                job_id,
                status,
                answer,
                ended_ms=now,
                degraded=degraded,
                to_reflect=to_reflect,
                turn_due=turn_due,
            )
            if ended:
                for part in rows.family(conn, job_id):
                    rows.finish_job(conn, part, "cancelled", ENDED_WITH_THE_WHOLE, ended_ms=now)
                also(conn)
            return ended

        return await self._database.write(store)

    @staticmethod
    def turn_kept(conn: sqlite3.Connection, job_id: str) -> None:
        """Note that no turn of the conversation is due any more, in the transaction that is open."""
        rows.turn_kept(conn, job_id)

    @staticmethod
    def reflected(conn: sqlite3.Connection, job_id: str, reflection: str | None) -> None:
        """Note what was learned of a job, in the transaction that is open."""
        rows.set_reflected(conn, job_id, reflection)

    async def write(self, also: Callable[[sqlite3.Connection], T]) -> T:
        """Run `also` in a transaction: for what belongs together with rows of others."""
        return await self._database.write(also)

    async def afterwards(self, limit: int) -> list[str]:
        """The jobs that have ended and are not remembered or reflected on yet, oldest first."""
        return await self._database.read(lambda conn: rows.afterwards(conn, limit))

    async def roots_with(self, statuses: Sequence[str]) -> list[str]:
        """The jobs that the owner gave and that have one of these statuses, oldest first."""
        return await self._database.read(lambda conn: rows.roots_with(conn, statuses))

    async def root_of(self, job_id: str) -> str:
        """The job of the owner's that this is a part of, or itself."""
        return await self._database.read(lambda conn: rows.root_of(conn, job_id))

    async def family(self, job_id: str) -> list[str]:
        """The job and all its parts."""
        return await self._database.read(lambda conn: rows.family(conn, job_id))

    async def list(self, limit: int, after: str | None = None, *, parent_id: str | None = None) -> Page[Job]:
        """Jobs without their steps, newest first: what the owner gave, or the parts of one."""
        page = await self._database.read(
            lambda conn: rows.list_jobs(conn, limit=limit, after=after, parent_id=parent_id)
        )
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
        parent_id=row.parent_id,
        depth=row.depth,
        max_steps=row.max_steps,
        deadline_ms=row.deadline_ms,
        ended_ms=row.ended_ms,
        progress=row.progress,
        doing=row.doing,
        degraded=row.degraded,
        turn_due=bool(row.turn_due),
        to_reflect=bool(row.to_reflect),
    )


def _step(row: rows.StepRow) -> Step:
    output = None if row.output is None else orjson.loads(row.output)
    return Step(row.n, row.action, orjson.loads(row.input), output, row.ms, row.begun)
