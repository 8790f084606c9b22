import asyncio
from pathlib import Path

import pytest

from node.hive.judging.gate import NotTried
from node.mind.errors import WorkStopped
from node.mind.learning import trying
from node.mind.learning.trying import Trying
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import Mind, open_mind
from tests.node.net.fake import FakeSwarm


def trying_of(mind: Mind) -> Trying:
    return Trying(
        database=mind.node.database,
        recall=mind.remembering.recall,
        model=mind.model,
        writer=mind.writer,
        tools=mind.tools,
        recall_items=3,
    )


def test_a_check_is_answered_from_memory_with_the_bullets_as_rules(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine(script=lambda turns: "two tonnes")
        async with open_mind(FakeSwarm(), tmp_path, engine=engine) as mind:
            await mind.remember("flour mill tonnes two", namespace="private")
            assert await trying_of(mind).attempt("flour mill tonnes", ["Name the unit."]) == "two tonnes"
            system, user = engine.asked[-1]
            assert "Name the unit." in system.content
            assert "flour mill tonnes two" in user.content
            assert (await mind.jobs.list(limit=5)).items == ()  # it leaves no trace
            assert len((await mind.memory.list()).items) == 1

    asyncio.run(main())


def test_what_a_small_model_makes_up_is_tried_as_the_owner_would_hear_it(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine(script=lambda turns: "banana", capable=False)
        async with open_mind(FakeSwarm(), tmp_path, engine=engine) as mind:
            await mind.remember("flour mill tonnes two", namespace="private")
            assert await trying_of(mind).attempt("flour mill tonnes", ["Say banana."]) == "flour mill tonnes two"

    asyncio.run(main())


def test_without_a_model_nothing_is_tried(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path) as mind:
            with pytest.raises(NotTried, match="there is no model here"):
                await trying_of(mind).attempt("flour mill tonnes", [])

    asyncio.run(main())


async def under_way(mind: Mind) -> str:
    """A goal that is worked on."""
    job_id = await mind.jobs.create("a goal", None)
    assert await mind.jobs.move(job_id, "running", among=("queued",))
    return job_id


def test_goals_go_first_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "_LOOK_EVERY_S", 0.001)

    async def main() -> None:
        engine = ScriptedEngine(script=lambda turns: "two tonnes")
        async with open_mind(FakeSwarm(), tmp_path, engine=engine, works=False) as mind:
            await mind.remember("flour mill tonnes two")
            job = await under_way(mind)
            check = asyncio.create_task(trying_of(mind).attempt("flour mill tonnes", []))
            for _ in range(50):
                await asyncio.sleep(0)
            assert not check.done()
            assert engine.asked == []
            await mind.jobs.finish(job, status="done", answer="")
            assert await check == "two tonnes"
            monkeypatch.setattr(trying, "PATIENCE_S", 0.0)
            await under_way(mind)
            assert await trying_of(mind).attempt("flour mill tonnes", []) == "two tonnes"

    asyncio.run(main())


def test_where_nothing_is_remembered_the_bullets_are_what_is_answered_from(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=ScriptedEngine()) as mind:
            assert "- two tonnes" in await trying_of(mind).attempt("flour mill tonnes", ["two tonnes"])
            assert "I do not know" in await trying_of(mind).attempt("flour mill tonnes", [])

    asyncio.run(main())


def test_a_capable_model_works_out_what_nothing_is_remembered_of(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine(script=lambda turns: '{"expression": "3 * 37.5"}', capable=True)
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine) as mind:
            answer = await trying_of(mind).attempt("How many litres are 3 kegs?", ["A keg holds 37.5 litres."])
            assert answer == "112.5"
            assert "A keg holds 37.5 litres." in engine.asked[-1][-1].content

    asyncio.run(main())


def test_while_all_work_is_stopped_nothing_is_tried(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine(script=lambda turns: "two tonnes")
        async with open_mind(FakeSwarm(), tmp_path, engine=engine) as mind:
            await mind.remember("flour mill tonnes two")
            await mind.parts.kill_switch.order(stops=True)
            with pytest.raises(WorkStopped):
                await mind.parts.trying.attempt("flour mill tonnes", [])
            assert not engine.asked
            await mind.parts.kill_switch.order(stops=False)
            assert await mind.parts.trying.attempt("flour mill tonnes", []) == "two tonnes"

    asyncio.run(main())
