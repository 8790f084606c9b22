"""Working on the parts of a goal: each is a job of its own, the same one again after a stop."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from node.mind.acting import Output, derived_id
from node.mind.actions import Candidate, Child, Decompose
from node.mind.deciding.teams import Teams
from node.mind.jobs.jobs import Job, Jobs
from node.mind.jobs.permitting import Parked
from node.mind.jobs.record import Run
from node.mind.jobs.running import Control, Halted


class Pursue(Protocol):
    """What this needs of pursuing.py."""

    async def __call__(
        self, job_id: str, control: Control, before: Sequence[Child], *, first: Candidate | None, within: Run | None
    ) -> Job: ...


class Parts:
    """The parts of goals."""

    def __init__(self, jobs: Jobs, teams: Teams, pursue: Pursue) -> None:
        self._jobs = jobs
        self._teams = teams
        self._pursue: Final = pursue

    async def work_on(self, run: Run, n: int, action: Decompose, *, max_depth: int) -> Output:
        """The output of step `n`: what came of each part. Raises Parked if one waits, Halted."""
        if run.job.depth >= max_depth:
            return {"error": f"this is {run.job.depth} parts deep, and no goal is split further"}
        ids = [derived_id(run.job.id, n, number) for number in range(len(action.goals))]
        for job_id, goal in zip(ids, action.goals, strict=True):
            await self._jobs.create(
                goal, run.job.session_id, max_steps=run.job.max_steps, parent=run.job, job_id=job_id
            )
        team = await self._teams.assigned(run.job.goal, action.goals)
        firsts = [team.get(goal) for goal in action.goals]
        ended = await (self._at_once if action.parallel else self._in_turn)(run, ids, firsts)
        run.control.check()
        if len(ended) < len(ids):
            raise Parked
        return {"parts": [_shown(job) for job in ended]}

    async def _at_once(self, run: Run, ids: Sequence[str], firsts: Sequence[Candidate | None]) -> list[Job]:
        """The parts that have ended. What goes wrong in one lets the others come to where they get first."""
        working = (self._part(run, job_id, (), first) for job_id, first in zip(ids, firsts, strict=True))
        ended: list[Job] = []
        for one in await asyncio.gather(*working, return_exceptions=True):
            if isinstance(one, BaseException):
                raise one
            ended += [one] if one is not None else []
        return ended

    async def _in_turn(self, run: Run, ids: Sequence[str], firsts: Sequence[Candidate | None]) -> list[Job]:
        """The parts that have ended: none is begun before the one that it comes after has."""
        ended: list[Job] = []
        for job_id, first in zip(ids, firsts, strict=True):
            part = await self._part(run, job_id, [_child(job) for job in ended], first)
            if part is None:
                break
            ended.append(part)
        return ended

    async def _part(self, run: Run, job_id: str, before: Sequence[Child], first: Candidate | None) -> Job | None:
        """A part that has ended; None if it waits or was halted: others may finish the step that they are at."""
        try:
            part = await self._pursue(job_id, run.control, before, first=first, within=run)
        except Halted:
            return None
        return part if part.ended else None


def _child(job: Job) -> Child:
    return Child(job.id, job.goal, job.status, job.answer or "", job.degraded is not None)


def _shown(job: Job) -> Output:
    child = _child(job)
    return {
        "job_id": child.job_id,
        "goal": child.goal,
        "status": child.status,
        "answer": child.answer,
        "degraded": child.degraded,
    }
