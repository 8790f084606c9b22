import asyncio
import sqlite3
from pathlib import Path

import pytest

from identity.cid import Cid
from node.mind.meta.transfer import AB_TASKS, Transfer
from storage import learning
from storage.learning import Given, JobOutcome, Use
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


async def tried(mind: Mind, action: MetaAction, *, with_it: int, without: int) -> None:
    """How many of AB_TASKS goals went well with the revision and without."""
    name, revision = action.undo["revision"][0], Cid.parse(action.undo["revision"][1])
    bullet = (await mind.hive.detail(name, revision)).bullets[0].id

    def store(conn: sqlite3.Connection) -> None:
        arms: tuple[tuple[Given, int], ...] = (("tried", with_it), ("kept_back", without))
        for arm, good in arms:
            for n in range(AB_TASKS):
                outcome = JobOutcome(f"{arm} {n}", name, "good" if n < good else "bad", "owner", True, 1)
                learning.put(conn, outcome, [Use(bullet, revision, arm)])

    await mind.node.database.write(store)


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
        needs={},
        undo=taken.undo,
        ts_ms=1,
        updated_ms=1,
    )


def test_the_best_quarter_of_the_leaders_rules_is_tried_on_half_of_the_others_goals(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await teach(mind, "mill", *RULES)
            await count(mind, "mill", RULES[3], 4)
            await count(mind, "mill", RULES[5], 2)
            await report(mind, "mill", 0.9)
            await report(mind, "oven", 0.4)
            case = Transfer(mind.hive)
            finding = await case.look()
            assert finding is not None
            assert not finding.harmless
            assert finding.about == "mill to oven"
            assert [text for _, text in finding.needs["rules"]] == [RULES[3], RULES[5]]
            await case.act(finding)
            assert (await mind.hive.view("oven")).bullets == ()  # nothing is adopted yet
            assert list((await mind.hive.canaries("oven")).values()) == [0.5]
            assert await case.look() is None  # what is being tried is not tried twice

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
            assert await Transfer(mind.hive).look() is None

    asyncio.run(main())


@pytest.mark.parametrize(("with_it", "outlook", "kept"), [(8, "keep", 2), (6, "revert", 0)])
def test_it_stays_only_if_so_many_more_goals_go_well(tmp_path: Path, with_it: int, outlook: str, kept: int) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            await teach(mind, "mill", *RULES)
            await report(mind, "mill", 0.9)
            await report(mind, "oven", 0.4)
            case = Transfer(mind.hive)
            action = await acted(mind, case)
            assert await case.outlook(action) is None
            await tried(mind, action, with_it=with_it, without=5)
            assert await case.outlook(action) == outlook
            assert len((await mind.hive.view("oven")).bullets) == kept

    asyncio.run(main())
