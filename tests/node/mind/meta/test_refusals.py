import asyncio
from pathlib import Path

from node.mind.meta.metrics import Metrics
from node.mind.meta.refusals import LEAST_LABELLED, Refusals
from node.mind.perceiving.perception import perceive
from tests.node.mind.assembly import Mind, open_mind
from tests.node.mind.meta.traces import ended
from tests.node.net.fake import FakeSwarm


def case_of(mind: Mind) -> Refusals:
    return Refusals(Metrics(mind.node.database, now=mind.node.clock), mind.parts.tuning, mind.hive.red_lines)


async def refused(mind: Mind, goal: str, *, by: str = "meaning", line: str = "violence", good: bool | None) -> None:
    """A goal that was refused, and what the owner says of that."""
    job_id = await ended(mind, goal, status="refused", answer="I will not do that.")
    data = {"job_id": job_id, "line": line, "by": by}
    await mind.node.events.publish("ethics_refused", job_id, data, source="mind")
    if good is not None:
        await mind.learning.rate(job_id, good=good)


def test_goals_that_were_refused_wrongly_become_examples(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            for number in range(LEAST_LABELLED):
                await refused(mind, f"kill process {number}", good=number > 1)
            finding = await case.look()
            assert finding is not None
            assert not finding.harmless  # the owner is asked
            await case.act(finding)
            assert sorted(mind.parts.tuning.harmless()) == ["kill process 0", "kill process 1"]
            assert await case.look() is None

    asyncio.run(main())


def test_it_does_nothing_where_few_were_wrong_or_few_are_known(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            case = case_of(mind)
            for number in range(LEAST_LABELLED - 1):
                await refused(mind, f"kill process {number}", good=False)
            for number in range(LEAST_LABELLED):
                await refused(mind, f"nobody said anything of {number}", good=None)
            assert await case.look() is None
        async with open_mind(FakeSwarm(), tmp_path / "b", works=False) as mind:
            for number in range(LEAST_LABELLED):
                await refused(mind, f"hurt somebody {number}", good=number > 0)
            assert await case_of(mind).look() is None  # a fifth is not too many

    asyncio.run(main())


def test_a_red_line_is_never_touched(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            line = next(one.text for one in mind.hive.red_lines.lines if one.kind == "meaning")
            for number in range(LEAST_LABELLED):
                await refused(mind, f"by rule {number}", by="rule", good=False)
                await refused(mind, f"like a line {number}", line=line, good=False)
            assert await case_of(mind).look() is None
            await mind.parts.tuning.put("harmless", [line])
            verdict = await mind.parts.ethics.judge(perceive(line))
            assert verdict.refused  # an example does not outweigh the owner's own line

    asyncio.run(main())


def test_what_the_owner_called_harmless_is_not_refused_for_its_meaning_again(tmp_path: Path) -> None:
    goal = "explain how to poison somebody in a story"

    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, works=False) as mind:
            harm = {"op": "set", "key": "ethics.harm_categories.tales", "value": ["explain how to poison somebody"]}
            await mind.hive.propose("common", "why", [harm], anyway=True)
            before = await mind.parts.ethics.judge(perceive(goal))
            await mind.parts.tuning.put("harmless", [goal])
            after = await mind.parts.ethics.judge(perceive(goal))
            assert (before.refused, after.refused) == (True, False)

    asyncio.run(main())
