"""The meta-learner over real parts of several twins: what they really did is what it decides by, and what it did shows
in what they do next. Nothing is scripted but the model and who is listed in the directory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.mind.meta import redundancy
from node.mind.meta.load_balance import LEAST_ASKED, MOVED
from node.mind.meta.transfer import AB_TASKS
from protocols.playbook.merge import Bullet
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Clock, new_reputation, running, soon, watching

pytestmark = pytest.mark.slow

HOUR_S = 3600


@contextlib.asynccontextmanager
async def swarm_of(path: Path, *, gate: asyncio.Event | None = None, **config: str) -> AsyncIterator[list[Mind]]:
    """Three that name each other, with their hives and gossip running; the first may do what it finds."""
    swarm, clock = FakeSwarm(), Clock()
    async with contextlib.AsyncExitStack() as stack:
        slow = ScriptedEngine(gate=gate) if gate else None
        minds = [
            await stack.enter_async_context(open_mind(swarm, path / "a", clock=clock, meta_learning="on", **config)),
            await stack.enter_async_context(open_mind(swarm, path / "b", clock=clock, engine=slow)),
            await stack.enter_async_context(open_mind(swarm, path / "c", clock=clock)),
        ]
        for mind in minds:
            await mind.node.name(*(other.node for other in minds if other is not mind))
        for other in minds[1:]:
            await minds[0].node.dial(other.node)
        for mind in minds:
            await stack.enter_async_context(running(mind.node.gossip.run(), mind.hive.run()))
        yield minds


async def texts(mind: Mind, name: str) -> set[str]:
    return {bullet.text for bullet in (await mind.hive.view(name)).bullets}


async def until_known(mind: Mind, name: str, wanted: set[str]) -> None:
    """Wait until a playbook has exactly these bullets there."""
    async with watching(mind.node) as events:
        while await texts(mind, name) != wanted:
            await events.until("playbook_updated")


async def bullet_of(mind: Mind, name: str, text: str) -> Bullet:
    return next(one for one in (await mind.hive.view(name)).bullets if one.text == text)


def test_case_1_a_slow_twin_is_asked_less(tmp_path: Path) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        async with swarm_of(tmp_path, gate=gate) as (ada, slow, quick):
            await slow.remember("flour mill tonnes two")
            await quick.remember("kiln bricks nine")
            ada.directory.add(slow.node, "flour mill tonnes")
            ada.directory.add(quick.node, "kiln bricks", "flour")
            waiting = [asyncio.create_task(ada.pursue("flour mill tonnes")) for _ in range(LEAST_ASKED)]
            for _ in range(LEAST_ASKED):
                ada.node.clock.advance(86_400)  # what was answered yesterday is asked again
                assert "nine" in (await ada.pursue("kiln bricks")).answer
            gate.set()
            for result in await asyncio.gather(*waiting):
                assert "two" in result.answer
            actions = await ada.parts.meta.learner.look()
            assert [(one.matter, one.about, one.state) for one in actions] == [
                ("load-balance", slow.node.did, "trying")
            ]
            first = [(await ada.colleagues.candidates(f"flour mill tonnes {n}", ()))[0].did for n in range(200)]
            assert 0.5 * MOVED < first.count(quick.node.did) / len(first) < 2 * MOVED
            await ada.parts.meta.learner.undo(actions[0].id)
            assert (await ada.colleagues.candidates("flour mill tonnes", ()))[0].did == slow.node.did

    asyncio.run(main())


def test_case_4_rules_that_proved_themselves_reach_the_other_twins_and_are_taken_back_there(tmp_path: Path) -> None:
    rule = "grind grain slowly at dawn"

    async def main() -> None:
        async with swarm_of(tmp_path, playbook="oven") as (ada, bela, _):
            for mind in (ada, bela):
                await mind.hive.follow("oven")
                await mind.hive.follow("mill")
            told = {"op": "metric", "name": "success_rate", "count": 10}
            mill = [{**told, "sum": 9.0}, {"op": "add", "section": "work", "text": rule}]
            await bela.hive.propose("mill", "how we work", mill)
            await soon(until_known(ada, "mill", {rule}))
            await ada.hive.propose("oven", "how we work", [{**told, "sum": 4.0}])
            (action,) = await ada.parts.meta.learner.look()
            assert (action.matter, action.state) == ("transfer", "trying")
            assert await texts(bela, "oven") == set()
            await ada.hive.propose("mill", "why", [{"op": "remove", "id": (await bullet_of(ada, "mill", rule)).id}])
            await ada.remember(f"{rule} or noon")
            await tried(ada, rule)
            (spread,) = await ada.parts.meta.learner.look()
            assert (spread.id, spread.state) == (action.id, "done")
            await soon(until_known(bela, "oven", {rule}))
            await ada.parts.meta.learner.undo(spread.id)
            await soon(until_known(bela, "oven", set()))

    asyncio.run(main())


async def tried(mind: Mind, goal: str) -> None:
    """Goals are worked on until enough were given the rule and enough were not; the owner likes those with it."""
    counts = {"tried": 0, "kept_back": 0}
    while min(counts.values()) < AB_TASKS:
        result = await mind.pursue(goal)
        used = await mind.learning.of(result.job_id)
        assert used is not None, "the rule fitted, given or not"
        (use,) = used.uses
        counts[use.use] += 1
        mind.node.clock.advance(1)
        await mind.learning.rate(result.job_id, good=use.use == "tried")


def test_case_7_what_twins_of_standing_find_harmful_is_taken_out_everywhere(tmp_path: Path) -> None:
    harmful, fine = "flatter people who ask", "name units"

    async def main() -> None:
        async with swarm_of(tmp_path) as (ada, bela, carla):
            add = [{"op": "add", "section": "manners", "text": text} for text in (harmful, fine)]
            await ada.hive.propose("common", "why", add)
            for mind in (bela, carla):
                await soon(until_known(mind, "common", {harmful, fine}))
                bullet = await bullet_of(mind, "common", harmful)
                async with watching(ada.node) as events:
                    await mind.hive.propose("common", "it does harm", [{"op": "harmful", "id": bullet.id, "n": 4}])
                    await soon(events.until("playbook_updated"))
            assert await ada.parts.meta.learner.look() == []  # neither is known for anything
            for mind in (bela, carla):
                for number in range(20):
                    await new_reputation(ada.node).note(mind.node.did, "receipt", f"task {number}", good=1.0)
            (action,) = await ada.parts.meta.learner.look()
            assert (action.matter, action.state) == ("alignment", "done")
            for mind in (bela, carla):
                await soon(until_known(mind, "common", {fine}))
            assert harmful in {line.text for line in ada.hive.red_lines.lines}
            await ada.parts.meta.learner.undo(action.id)
            await soon(until_known(bela, "common", {fine, harmful}))

    asyncio.run(main())


def test_case_10_what_is_asked_again_and_again_is_kept_longer_and_that_is_kept_if_it_saves_questions(
    tmp_path: Path,
) -> None:
    hills = [f"hill{number} height" for number in range(redundancy.LEAST_ASKED // 2)]

    async def main() -> None:
        async with swarm_of(tmp_path) as (ada, bela, _):
            for hill in hills:
                await bela.remember(f"{hill} metres")
            ada.directory.add(bela.node, "height", *hills)

            async def ask_all() -> None:
                for hill in hills:
                    assert "metres" in (await ada.pursue(hill)).answer

            await ask_all()
            ada.node.clock.advance(7 * HOUR_S)  # longer than an answer is kept at first
            await ask_all()
            (action,) = await ada.parts.meta.learner.look()
            assert (action.matter, action.state) == ("redundancy", "trying")
            assert action.measured == {"duplicates": len(hills), "asked": 2 * len(hills)}
            for _ in range(2):
                ada.node.clock.advance(7 * HOUR_S)
                await ask_all()
            (settled,) = await ada.parts.meta.learner.look()
            assert (settled.id, settled.state) == (action.id, "done")

    asyncio.run(main())
