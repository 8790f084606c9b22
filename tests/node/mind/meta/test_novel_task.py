import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.hive.judging.gate import NotTried
from node.mind.meta.errors import CasePostponed
from node.mind.meta.metrics import Metrics
from node.mind.meta.novel_task import TESTED_ON, NovelTask
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.meta.traces import ended
from tests.node.net.fake import FakeSwarm

GOAL = "grind rye flour and bake bread"
MILL = "grind rye flour mornings while mill stones turn cool"
OVEN = "bake bread evenings once dough has risen twice"


def case_of(mind: Mind, right: bool = True) -> NovelTask:
    """Answers rightly if it is given the rules of both playbooks."""

    async def attempt(goal: str, rules: Sequence[str]) -> str:
        return "right" if right and {MILL, OVEN} <= set(rules) else "wrong"

    metrics = Metrics(mind.node.database, now=mind.node.clock)
    return NovelTask(metrics, mind.parts.tuning, mind.learning.guiding, mind.hive, attempt)


async def teach(mind: Mind) -> None:
    for name, text in (("mill", MILL), ("oven", OVEN)):
        await mind.hive.propose(name, "why", [{"op": "add", "section": "work", "text": text}])


async def check(mind: Mind) -> None:
    for number in range(TESTED_ON):
        await mind.hive.checks.add("mill", f"{GOAL} {number}", "right")


def test_a_goal_that_fits_two_playbooks_a_little_is_given_both_if_that_helps(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await teach(mind)
            await check(mind)
            await ended(mind, GOAL, outcome="bad")
            assert len((await mind.learning.guidance("job", GOAL)).texts) == 1
            case = case_of(mind)
            finding = await case.look()
            assert finding is not None
            assert finding.about == "mill and oven"
            assert "adopted: with the rules of both 3 of 3" in (await case.act(finding)).text
            assert set((await mind.learning.guidance("job", GOAL)).texts) == {MILL, OVEN}
            assert await case.look() is None

    asyncio.run(main())


def test_it_looks_away_where_a_playbook_fits_or_nothing_can_be_tested(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await teach(mind)
            case = case_of(mind)
            await ended(mind, GOAL, outcome="bad")
            assert await case.look() is None  # no check is like it
            await check(mind)
            assert await case.look() is not None

    asyncio.run(main())


def test_goals_that_went_well_or_fit_one_playbook_are_not_novel(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await teach(mind)
            await check(mind)
            await ended(mind, GOAL, outcome="good")
            await ended(mind, MILL, outcome="bad")
            assert await case_of(mind).look() is None

    asyncio.run(main())


def test_a_blend_that_does_not_help_is_not_adopted_and_without_a_model_it_waits(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await teach(mind)
            await check(mind)
            await ended(mind, GOAL, outcome="bad")
            case = case_of(mind, right=False)
            finding = await case.look()
            assert finding is not None
            assert "not adopted" in (await case.act(finding)).text
            assert len((await mind.learning.guidance("job", GOAL)).texts) == 1

            async def nobody(goal: str, rules: Sequence[str]) -> str:
                raise NotTried("there is no model")

            without = NovelTask(
                Metrics(mind.node.database), mind.parts.tuning, mind.learning.guiding, mind.hive, attempt=nobody
            )
            with pytest.raises(CasePostponed):
                await without.act(finding)

    asyncio.run(main())
