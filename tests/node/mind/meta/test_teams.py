import asyncio
from pathlib import Path

from identity.did import Did
from node.mind.meta.metrics import Metrics
from node.mind.meta.teams import LEAST_GOALS, Teams
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.meta.traces import Status, asking, ended
from tests.node.net.fake import FakeSwarm
from tests.node.parts import new_did

MILLER, BAKER = sorted(new_did() for _ in range(2))
TOPICS = {MILLER: ["flour", "rye"], BAKER: ["bread"]}


def case_of(mind: Mind) -> Teams:
    metrics = Metrics(mind.node.database, now=mind.node.clock)
    return Teams(mind.node.database, metrics, mind.hive, playbook="common")


async def goals(mind: Mind, count: int, *members: Did, status: Status = "done", helped: bool = True) -> None:
    """Goals of several parts, each of which a twin helped with."""
    for _ in range(count):
        parent = await mind.jobs.create("a large goal", None)
        for did in members:
            step = asking(did, helped=helped, topics=TOPICS[did])
            await ended(mind, "a part", parent=parent, steps=[step])
        await mind.jobs.finish(parent, status=status, answer="so")


def test_twins_that_did_several_goals_well_together_become_a_template(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            await goals(mind, LEAST_GOALS, MILLER, BAKER)
            finding = await case.look()
            assert finding is not None
            assert not finding.harmless
            await case.act(finding)
            templates = (await mind.hive.view("common")).templates
            assert templates == {"flour and bread": [{"did": did, "topics": TOPICS[did]} for did in (MILLER, BAKER)]}
            assert await case.look() is None

    asyncio.run(main())


def test_it_does_nothing_for_few_goals_failures_single_twins_or_answers_that_never_came(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            await goals(mind, LEAST_GOALS, MILLER)
            await goals(mind, LEAST_GOALS, MILLER, BAKER, helped=False)
            await goals(mind, LEAST_GOALS - 1, MILLER, BAKER)
            assert await case.look() is None
            await goals(mind, 1, MILLER, BAKER, status="failed")
            assert await case.look() is None  # three of four are not more than three of four

    asyncio.run(main())
