"""Memories by what came of the answers that rest on them: more important where the owner was content, less where not.

Only what the owner, or the receipt of a task, says counts: what a job says of itself would make whatever is recalled be
recalled again. Each job is reckoned with once, and anew if another thing is said of it, in one transaction.
"""

import sqlite3
from typing import Final

import orjson

from storage import memories
from storage import weighing as rows
from storage.database import Database

STEP: Final = 0.05
"""What one outcome moves a memory's importance, of 0 to 1. Ten answers found bad take one from the usual half to 0."""

MAX_AT_ONCE: Final = 100
"""Jobs of one transaction: others that write wait for it."""

_DIRECTION: Final = {"good": 1, "bad": -1}


class Weighing:
    """Goes over the outcomes that are new."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def weigh(self) -> int:
        """Adjust the memories of all jobs that are due; how many adjustments that were."""
        total = 0
        while done := await self._database.write(_weigh_some):
            total += done[1]
        return total


def _weigh_some(conn: sqlite3.Connection) -> tuple[int, int] | None:
    due = rows.due(conn, MAX_AT_ONCE)
    adjusted = 0
    for job in due:
        delta = STEP * (_DIRECTION[job.outcome] - (_DIRECTION[job.before] if job.before else 0))
        for memory_id in _rested_on(job.output):
            adjusted += memories.adjust_importance(conn, memory_id, delta) is not None
        rows.set_weighed(conn, job.job_id, job.outcome)
    return (len(due), adjusted) if due else None


def _rested_on(output: bytes | None) -> list[str]:
    """The memories that an answer rests on, of this twin: those of another one are its own affair."""
    told = orjson.loads(output) if output else {}
    if not isinstance(told, dict) or told.get("from") != "memory":
        return []
    return [one for one in told.get("memories", ()) if isinstance(one, str)]
