"""After the answer: remembering it, and reflecting on the job. Never on the answer's path, and not lost in a crash.

What is due stands in the job's row and goes with the transaction that does it: a turn is kept once, and a lesson
becomes one revision, whenever the twin stops.
"""

import asyncio
import logging
import sqlite3
from dataclasses import replace
from typing import Final, Protocol

from identity.errors import PagiError
from node.config import MindConfig
from node.hive.hive import Hive
from node.mind.actions import Recall, Situation
from node.mind.answering.conversing import Conversing
from node.mind.jobs.folding import observed, restored
from node.mind.jobs.jobs import Job, Jobs
from node.mind.learning.reflection import Lesson
from node.mind.perceiving.perception import perceive
from protocols.playbook.merge import Bullet
from storage.errors import StorageError

logger = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Jobs looked up at a time."""


class Reflects(Protocol):
    """What this needs of reflection.py."""

    def __call__(
        self, situation: Situation, *, job_id: str, seconds: float, bullets: tuple[Bullet, ...]
    ) -> Lesson | None: ...


class Afterwards:
    """Does what is due after jobs have ended, one after the other."""

    def __init__(
        self, *, config: MindConfig, jobs: Jobs, conversing: Conversing, hive: Hive, reflects: Reflects
    ) -> None:
        self._config = config
        self._jobs = jobs
        self._conversing = conversing
        self._hive = hive
        self._reflects = reflects
        self._due = asyncio.Event()
        self._done = asyncio.Event()

    def wake(self) -> None:
        """A job has ended."""
        self._due.set()

    async def settled(self, job_id: str) -> Job:
        """The job, once nothing more is due after it."""
        while True:
            done = self._done
            job = await self._jobs.get(job_id)
            if job.ended and not job.to_reflect:
                return job
            await done.wait()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._due.clear()
            while due := await self._jobs.afterwards(AT_ONCE):
                for job_id in due:
                    await self._after(await self._jobs.get(job_id))
            await self._due.wait()

    async def _after(self, job: Job) -> None:
        try:
            await self._conversing.answered(job)
            if job.to_reflect:
                await self._reflect(job)
        except StorageError:
            raise
        except Exception:  # one job's record that cannot be read must not keep all later ones from being learned from
            logger.exception("job %s could not be remembered or reflected on", job.id)
            await self._jobs.write(lambda conn: self._given_up(conn, job.id))
        done, self._done = self._done, asyncio.Event()
        done.set()

    def _given_up(self, conn: sqlite3.Connection, job_id: str) -> None:
        """Nothing is due after this job any more: what failed would fail again, and would never end."""
        self._jobs.turn_kept(conn, job_id)
        self._jobs.reflected(conn, job_id, None)

    async def _reflect(self, job: Job) -> None:
        bullets = (await self._hive.view(self._config.playbook)).bullets
        seconds = ((job.ended_ms or job.created_ms) - job.created_ms) / 1000
        lesson = self._reflects(_folded(job), job_id=job.id, seconds=seconds, bullets=tuple(bullets))
        if lesson is None:
            await self._jobs.write(lambda conn: self._jobs.reflected(conn, job.id, None))
            return

        def also(conn: sqlite3.Connection) -> None:
            self._jobs.reflected(conn, job.id, lesson.critique)
            self._jobs.store_note(conn, job.id, "plan", f"lesson kept in playbook {self._config.playbook}")

        try:
            await self._hive.propose(self._config.playbook, lesson.critique, lesson.ops, lesson.evidence, also=also)
        except StorageError:
            raise
        except PagiError as error:
            logger.warning("the lesson of job %s was not kept: %s", job.id, error)
            await self._jobs.note(job.id, "warn", f"the lesson was not kept: {error}")
            await self._jobs.write(lambda conn: self._jobs.reflected(conn, job.id, None))


def _folded(job: Job) -> Situation:
    """The situation at the job's end, as its record has it: without what was recalled."""
    goal = perceive(job.goal)
    situation = Situation(goal=goal.text, redacted=goal.redacted, steps_left=job.max_steps, depth=job.depth)
    for step in job.steps:
        action = restored(step.action, step.input)
        if step.output is not None and not isinstance(action, Recall):
            situation = observed(situation, action, step.output)
    return replace(situation, asked=[asked for asked in situation.asked if not asked.reused])  # which taught before
