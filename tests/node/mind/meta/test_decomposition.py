import asyncio
from pathlib import Path

from node.mind.meta.decomposition import DEPTH, LEAST_FAILED, Decomposition
from node.mind.meta.metrics import Metrics
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.meta.traces import ended
from tests.node.net.fake import FakeSwarm


def case_of(mind: Mind) -> Decomposition:
    return Decomposition(Metrics(mind.node.database, now=mind.node.clock), mind.parts.tuning, mind.learning.guiding)


def test_goals_that_come_to_nothing_and_that_nothing_is_about_are_taken_apart_further(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            for number in range(LEAST_FAILED):
                await ended(mind, f"stars {number}", status="failed" if number else "done", outcome="bad")
            finding = await case.look()
            assert finding is not None
            assert finding.harmless
            await case.act(finding)
            assert mind.parts.tuning.get("max_depth") == DEPTH
            assert await case.look() is None

    asyncio.run(main())


def test_it_does_nothing_where_few_fail_or_a_rule_is_about_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            for number in range(LEAST_FAILED - 1):
                await ended(mind, f"stars {number}", status="failed")
            await ended(mind, "stars", outcome="good")
            assert await case.look() is None
            add = {"op": "add", "section": "work", "text": "how bright stars shine"}
            await mind.hive.propose("common", "why", [add])
            for _ in range(LEAST_FAILED):
                await ended(mind, "how bright stars shine", status="failed")
            assert await case.look() is None

    asyncio.run(main())


def test_a_refusal_is_no_goal_that_came_to_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            for number in range(LEAST_FAILED):
                await ended(mind, f"zebra {number}", status="refused", outcome="bad")
            assert await case_of(mind).look() is None

    asyncio.run(main())
