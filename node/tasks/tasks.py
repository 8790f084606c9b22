"""The tasks of one twin, given and done: what the API shows of them, and the clock that both sides need."""

import asyncio
import sqlite3
from collections.abc import Sequence

from identity.did import Did
from node.clock import NowMs, now_ms, wait_within
from node.errors import TaskUnknown
from node.tasks.requester import DEFAULT_DEADLINE_S, Requester
from node.tasks.worker import Worker
from storage import tasks as rows
from storage.database import Database
from storage.page import Page
from storage.tasks import ContractRow, TaskRow


class Tasks:
    """Both sides of the contract net."""

    def __init__(
        self, *, own: Did, database: Database, requester: Requester, worker: Worker, now: NowMs = now_ms
    ) -> None:
        self._own = own
        self._database = database
        self._requester = requester
        self._worker = worker
        self._now = now
        self._changed = asyncio.Event()
        requester.on_change = worker.on_change = self._changed.set

    async def post(self, task: str, requirements: Sequence[str] = (), deadline_s: int = DEFAULT_DEADLINE_S) -> TaskRow:
        """Broadcast a task to the swarm, where everybody can read it. Raises LocalProtocolError if it is too long."""
        return await self._requester.post(task, requirements, deadline_s)

    async def rate(self, task_id: str, quality: float) -> TaskRow:
        """Say how good a result was, from 0 to 1. Raises TaskUnrateable."""
        return await self._requester.rate(task_id, quality)

    async def list(self, limit: int, after: str | None = None) -> Page[TaskRow]:
        """Tasks given and bid for, newest first."""
        return await self._database.read(lambda conn: rows.tasks(conn, limit=limit, after=after))

    async def get(self, task_id: str) -> tuple[TaskRow, Sequence[ContractRow]]:
        """One task with the contracts about it. Raises TaskUnknown."""

        def read(conn: sqlite3.Connection) -> tuple[TaskRow, Sequence[ContractRow]] | None:
            row = rows.find_task(conn, self._own, task_id)
            return None if row is None else (row, rows.contracts(conn, row.requester, row.id))

        found = await self._database.read(read)
        if found is None:
            raise TaskUnknown(f"no task {task_id[:80]!r} is known here")
        return found

    async def run(self) -> None:
        """Choose among bids and keep deadlines until cancelled."""
        for row in await self._database.read(lambda conn: rows.tasks_with(conn, ("open", "awarded"))):
            if row.requester == self._own:
                await self._requester.repeat(row)
        while True:
            self._changed.clear()
            for row in await self._database.read(lambda conn: rows.due_tasks(conn, self._now())):
                await (self._requester.on_due(row.id) if row.requester == self._own else self._worker.expire(row))
            await self._wait()

    async def _wait(self) -> None:
        at = await self._database.read(rows.next_due_ms)
        await wait_within(self._changed, None if at is None else max(0.0, (at - self._now()) / 1000))
