"""Forgetting jobs: the record of a goal with its parts, steps, log, approvals and ratings, and nothing of it on disk.

Jobs are kept until their owner takes them away: ratings, lessons and the list itself live from them. What the twin
remembers of a conversation, and what it learnt, are no part of a job: `pagi memory forget` takes those away.
"""

from sqlite3 import Connection
from typing import Final

from node.clock import NowMs, now_ms
from node.memory.forgetting import Forgetting
from node.mind.errors import JobUnderWay
from node.mind.jobs.jobs import Jobs
from storage import jobs as rows

DAY_MS: Final = 86_400_000
AT_ONCE: Final = 500
"""Jobs taken away in one transaction, which all other writes wait for."""


class Clearing:
    """Takes jobs away that have ended."""

    def __init__(self, jobs: Jobs, forgetting: Forgetting, now: NowMs = now_ms) -> None:
        self._jobs = jobs
        self._forgetting = forgetting
        self._now = now

    async def forget(self, job_id: str) -> int:
        """Take one job away, with its parts. Raises JobUnknown, JobUnderWay; 1."""
        job = await self._jobs.get(job_id)
        if not job.ended:
            raise JobUnderWay(f"the job {job_id} is {job.status}")
        if job.parent_id is not None:
            raise JobUnderWay(f"the job {job_id} is a part of {await self._jobs.root_of(job_id)}, and goes with it")
        await self._forgetting.records(lambda conn: _delete(conn, [job_id]))
        return 1

    async def forget_older(self, days: float) -> int:
        """Take away all that ended more than so many days ago; how many goals that was."""
        before, done = self._now() - int(days * DAY_MS), 0
        while ids := await self._jobs.write(lambda conn: rows.ended_before(conn, before, AT_ONCE)):
            await self._forgetting.records(lambda conn, ids=ids: _delete(conn, ids))  # type: ignore[misc]
            done += len(ids)
        return done


def _delete(conn: Connection, root_ids: list[str]) -> list[str]:
    return rows.delete(conn, [one for root_id in root_ids for one in rows.family(conn, root_id)])
