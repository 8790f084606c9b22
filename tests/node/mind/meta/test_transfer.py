import asyncio
import uuid
from pathlib import Path

import pytest

from node.mind.meta.case import Taken
from node.mind.meta.transfer import AB_TASKS, Transfer
from node.mind.meta.undoing import Undoing
from protocols.playbook.merge import Bullet
from storage import learning
from storage.learning import JobOutcome, Outcome
from storage.meta_learning import MetaAction
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm

RULES = [f"grind grain number{n} slowly" for n in range(8)]


async def report(mind: Mind, name: str, rate: float, count: int = 10) -> None:
    """Goals that were done by a playbook, and how many of them went well."""
    await mind.hive.propose(
        name, "why", [{"op": "metric", "name": "success_rate", "sum": rate * count, "count": count}]
    )


async def teach(mind: Mind, name: str, *texts: str) -> None:
    await mind.hive.propose(name, "why", [{"op": "add", "section": "work", "text": text} for text in texts])


async def count(mind: Mind, name: str, text: str, helpful: int) -> None:
    bullets = (await mind.hive.view(name)).bullets
    bullet = next(one.id for one in bullets if one.text == text)
    await mind.hive.propose(name, "why", [{"op": "helpful", "id": bullet, "n": helpful}])


def case_of(mind: Mind) -> Transfer:
    return Transfer(mind.node.database, mind.parts.tuning, mind.hive)


async def apart(mind: Mind) -> None:
    """Two playbooks of which one does far better."""
    await teach(mind, "mill", *RULES)
    await count(mind, "mill", RULES[3], 4)
    await count(mind, "mill", RULES[5], 2)
    await report(mind, "mill", 0.9)
    await report(mind, "oven", 0.4)


async def acted(mind: Mind, case: Transfer) -> MetaAction:
    finding = await case.look()
    assert finding is not None
    taken = await case.act(finding)
    assert taken.trying
    return MetaAction(
        id="a",
        matter=case.name,
        about=finding.about,
        state="trying",
        finding="",
        action="",
        measured={},
        needs=finding.needs,
        undo=taken.undo,
        ts_ms=1,
        updated_ms=1,
    )


async def tried(mind: Mind, *, with_it: int, without: int) -> None:
    """Goals that are given what they would be given; how many of AB_TASKS went well with the rules and without."""
    left = {"tried": [True] * with_it + [False] * (AB_TASKS - with_it)}
    left["kept_back"] = [True] * without + [False] * (AB_TASKS - without)
    while any(left.values()):
        job_id = str(uuid.uuid4())
        guidance = await mind.learning.guidance(job_id, RULES[3])
        assert guidance.playbook == "oven"
        arm = guidance.uses[0].use
        assert {use.use for use in guidance.uses} == {arm}  # all of the rules or none
        if left[arm]:
            outcome: Outcome = "good" if left[arm].pop() else "bad"
            noted = JobOutcome(job_id, "oven", outcome, "owner", True, 1)
            await mind.node.database.write(
                lambda conn, noted=noted, uses=guidance.uses: learning.put(conn, noted, uses)  # type: ignore[misc]
            )


def test_the_best_quarter_of_the_leaders_rules_is_tried_on_half_of_the_others_goals(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await apart(mind)
            case = case_of(mind)
            finding = await case.look()
            assert finding is not None
            assert not finding.harmless
            assert finding.about == "mill to oven"
            assert [text for _, text in finding.needs["rules"]] == [RULES[3], RULES[5]]
            await case.act(finding)
            assert (await mind.hive.view("oven")).bullets == ()  # nobody else hears of it yet
            assert await case.look() is None  # one trial at a time

    asyncio.run(main())


@pytest.mark.parametrize(("leader", "laggard", "reported"), [(0.9, 0.65, 10), (0.9, 0.4, 9)])
def test_playbooks_that_differ_little_or_of_which_little_is_known_are_left(
    tmp_path: Path, leader: float, laggard: float, reported: int
) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await teach(mind, "mill", *RULES)
            await report(mind, "mill", leader)
            await report(mind, "oven", laggard, reported)
            assert await case_of(mind).look() is None

    asyncio.run(main())


@pytest.mark.parametrize(("with_it", "spread"), [(8, 2), (6, 0)])
def test_it_is_spread_only_if_so_many_more_goals_go_well(tmp_path: Path, with_it: int, spread: int) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await apart(mind)
            await mind.hive.propose("mill", "why", [{"op": "remove", "id": one.id} for one in await bullets(mind)])
            case = case_of(mind)
            await teach(mind, "mill", *RULES)
            action = await acted(mind, case)
            await mind.hive.propose("mill", "why", [{"op": "remove", "id": one.id} for one in await bullets(mind)])
            assert await case.outlook(action) is None
            await tried(mind, with_it=with_it, without=5)
            outlook = await case.outlook(action)
            assert (outlook == "revert") == (spread == 0)
            assert len((await mind.hive.view("oven")).bullets) == spread

    asyncio.run(main())


def test_a_stop_while_it_is_spread_spreads_it_once_and_it_can_still_be_taken_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await apart(mind)
            case = case_of(mind)
            action = await acted(mind, case)
            await mind.hive.propose("mill", "why", [{"op": "remove", "id": one.id} for one in await bullets(mind)])
            await tried(mind, with_it=8, without=5)
            await case.outlook(action)
            trial = action.undo["now"]
            await mind.parts.tuning.put("trial", trial)  # as it was when the revision was out
            height = (await mind.hive.view("oven")).height
            again = await case.outlook(action)
            assert isinstance(again, Taken)
            assert (await mind.hive.view("oven")).height == height
            await Undoing(mind.parts.tuning, mind.hive).undo(again.undo, also=lambda conn: None)
            assert (await mind.hive.view("oven")).bullets == ()

    asyncio.run(main())


async def bullets(mind: Mind) -> tuple[Bullet, ...]:
    return (await mind.hive.view("mill")).bullets
