"""Gate results on disk: no collection comes between the blocks of one and its row."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from node.content.assembly import make_content
from node.content.content import Content
from protocols import limits
from storage import judging as rows
from tests.node.hive.judging.pipeline_parts import Judge, new_keys, open_judge, taught
from tests.node.net.fake import FakeSwarm
from tests.node.parts import PATIENCE_S, Clock, Node, soon

ANNA = new_keys()
GOAL = "how many tonnes does the flour mill grind"
HELPS = taught(ANNA, "the flour mill questions: answer two tonnes")


async def answer(goal: str, bullets: Sequence[str]) -> str:
    return "two tonnes" if bullets else "I do not know"


def collecting_before_each_write(node: Node, monkeypatch: pytest.MonkeyPatch) -> Content:
    """From now on a whole collection comes before every row."""
    content = make_content(store=node.blocks, database=node.database, network=node.network)
    write = node.database.write

    async def collect_and_write(fn: Callable[[Connection], Any]) -> Any:
        await content.collect()
        return await write(fn)

    monkeypatch.setattr(node.database, "write", collect_and_write)
    return content


async def the_result(judge: Judge) -> rows.GateRow:
    async def wait() -> rows.GateRow:
        while not (found := (await judge.hive.detail("common", HELPS.cid)).results):  # noqa: ASYNC110 - rows tell nobody
            await asyncio.sleep(0.001)
        ((result, _),) = found
        return result

    return await soon(wait())


async def assert_that_it_stays(node: Node, content: Content, result: rows.GateRow) -> None:
    for _ in range(2):
        assert all(node.blocks.get(cid) is not None for cid in (result.cid, result.payload_cid))
        assert (await content.collect()).blocks == 0


@asynccontextmanager
async def judge_and_listener(folder: Path) -> AsyncIterator[tuple[Judge, Judge]]:
    """One that tries what ANNA teaches, and one that hears of it and knows the revision."""
    swarm = FakeSwarm()
    async with (
        open_judge(folder / "a", swarm=swarm, attempt=answer, run=True) as a,
        open_judge(folder / "b", swarm=swarm, run=True) as b,
    ):
        await a.node.dial(b.node)
        await b.trust(a.node.did)
        await a.trust(ANNA)
        await a.hive.checks.add("common", GOAL, "two tonnes")
        await b.hive.take_in([HELPS])
        yield a, b


def test_our_own_result_and_one_that_is_told_outlive_collections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with judge_and_listener(tmp_path) as (a, b):
            own, told = (collecting_before_each_write(judge.node, monkeypatch) for judge in (a, b))
            await a.hive.take_in([HELPS])
            result = await the_result(a)
            assert (await the_result(b)).cid == result.cid
            await assert_that_it_stays(a.node, own, result)
            await assert_that_it_stays(b.node, told, result)

    asyncio.run(main())


def test_a_result_from_the_future_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with judge_and_listener(tmp_path) as (a, b):
            ahead = Clock()
            ahead.advance(limits.CLOCK_SKEW_S + 1)
            a.hive._decisions._results._now = ahead
            await a.hive.take_in([HELPS])
            await the_result(a)
            async with asyncio.timeout(PATIENCE_S):
                while not b.hive.counters["gate_results_not_kept"]:  # noqa: ASYNC110 - counters tell nobody
                    await asyncio.sleep(0.001)
            assert (await b.hive.detail("common", HELPS.cid)).results == []

    asyncio.run(main())
