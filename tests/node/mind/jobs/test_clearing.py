"""Jobs are forgotten whole, and nothing of them stays on disk."""

import asyncio
from pathlib import Path
from sqlite3 import Connection

import pytest

from node.errors import JobUnknown
from node.memory.forgetting import Target
from node.mind.actions import Decompose, UseTool
from node.mind.errors import JobUnderWay
from tests.node.mind.assembly import open_mind
from tests.node.mind.scripted import file_tools, script
from tests.node.net.fake import FakeSwarm
from tests.node.parts import soon

SECRET = "the heron nests at Xanthopan lane"
TABLES = ("jobs", "job_steps", "job_log", "approvals", "job_outcomes", "bullet_uses", "feedback")


def left(conn: Connection) -> list[str]:
    return [table for table in TABLES if conn.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0]]


def on_disk(home: Path) -> bool:
    return any(b"Xanthopan" in path.read_bytes() for path in home.glob("node.db*"))


def test_a_job_goes_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path)) as mind:
            script(mind, Decompose((f"see that {SECRET}", f"hear that {SECRET}"), True))
            done = await soon(mind.executive.interact(f"tell me that {SECRET}"))
            await mind.learning.rate(done.job_id, good=True)
            script(mind, UseTool("sign", {"what": SECRET}))
            waits = await soon(mind.executive.interact("sign the deed"))
            assert waits.status == "waiting_approval"
            clearing = mind.parts.clearing
            with pytest.raises(JobUnderWay):
                await clearing.forget(waits.job_id)
            part = (await mind.jobs.list(9, parent_id=done.job_id)).items[0]
            with pytest.raises(JobUnderWay):
                await clearing.forget(part.id)
            await mind.executive.cancel(waits.job_id)
            assert await clearing.forget(done.job_id) == 1
            assert await clearing.forget(waits.job_id) == 1
            with pytest.raises(JobUnknown):
                await clearing.forget(done.job_id)
            assert await mind.node.database.read(left) == []
            turns = [row.id for row in (await mind.memory.list()).items]
            await mind.remembering.forgetting.forget(Target(ids=tuple(turns)))
            assert not on_disk(tmp_path)

    asyncio.run(main())


def test_old_jobs_go_and_the_others_stay(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path)) as mind:
            script(mind)
            old = await soon(mind.executive.interact("an old goal"))
            await soon(mind.executive.reflected(old.job_id))
            paused = await mind.jobs.create("one that waits", None)
            await mind.jobs.pause(paused, "")
            mind.node.clock.advance(3 * 86_400)
            new = await soon(mind.executive.interact("a new goal"))
            assert await mind.parts.clearing.forget_older(2) == 1
            assert await mind.parts.clearing.forget_older(2) == 0
            assert {job.id for job in (await mind.jobs.list(9)).items} == {paused, new.job_id}

    asyncio.run(main())
