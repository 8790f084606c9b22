"""What is due after a job ends, whatever happens."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from storage import jobs as rows
from tests.node.mind.assembly import open_mind
from tests.node.net.fake import FakeSwarm
from tests.node.parts import soon


@pytest.mark.parametrize("empty", [True, False])
def test_what_cannot_be_remembered_is_given_up_once(tmp_path: Path, empty: bool) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            kept = 0

            async def fails(*arguments: Any, **options: Any) -> str:
                nonlocal kept
                kept += 1
                raise RuntimeError("a defect")

            mind.remembering.working.append = fails  # type: ignore[method-assign]
            answer = "" if empty else "two"
            job_id = await mind.jobs.create("how many?", "s")
            await mind.jobs.finish(job_id, status="done", answer=answer, to_reflect=True, turn_due=True)
            later = await mind.jobs.create("and now?", "s")
            await mind.jobs.finish(later, status="cancelled", answer="no", to_reflect=True)
            working = asyncio.create_task(mind.executive._afterwards.run())
            await soon(mind.executive.reflected(later))
            assert await mind.node.database.read(lambda conn: rows.afterwards(conn, 9)) == []
            assert kept == (0 if empty else 1)
            working.cancel()

    asyncio.run(main())
