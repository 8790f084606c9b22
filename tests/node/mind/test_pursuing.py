"""Goals of parts: what ends with what, in which order, and what must not leave; and steps that cannot be taken."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from node.inference.engine import ChatRequest, Completion
from node.mind.actions import Action, AskTwin, Candidate, Decompose, Recall, Respond, Situation, UseTool
from node.mind.deciding.deciding import Decision
from node.mind.ethics.gate import ALLOWED, Verdict
from node.mind.executive import JobResult
from node.mind.jobs.jobs import ENDED_WITH_THE_WHOLE
from plugins.sdk import JsonValue, Tool, tool
from storage.errors import StorageFull
from storage.jobs import any_under_way
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import Mind, open_mind, open_pair
from tests.node.mind.jobs.test_jobs import Gates, decided, status
from tests.node.mind.scripted import file_tools, lines, script
from tests.node.net.fake import FakeSwarm
from tests.node.parts import soon

SIGN, LOOK, STRIKE = UseTool("sign", {}), UseTool("look", {}), UseTool("strike", {})


def by_goal(mind: Mind, actions: dict[str, Action]) -> None:
    """Each goal has one action of its own, and then the answer."""

    class ByGoal:
        async def decide(self, situation: Situation, *, session_id: str | None = None) -> Decision:
            action = actions.get(situation.goal, Respond())
            is_first = situation.steps_left == 8 and not situation.children and not situation.denied
            return Decision(action if is_first else Respond(), "rule", "listed")

    async def allowed(*arguments: Any, **options: Any) -> Verdict:
        return ALLOWED  # the embedder of the tests finds all words alike

    mind.executive._pursuing._decider = ByGoal()  # type: ignore[assignment]
    mind.executive._pursuing._ethics.judge = allowed  # type: ignore[method-assign]


async def parts_of(mind: Mind, job_id: str) -> dict[str, str]:
    return {part.goal: part.status for part in (await mind.jobs.list(9, parent_id=job_id)).items}


@pytest.mark.parametrize("parallel", [True, False])
def test_a_deadline_ends_the_parts_as_well(tmp_path: Path, parallel: bool) -> None:
    async def main() -> None:
        gates = Gates("before strike")
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path, gates.hold)) as mind:
            by_goal(mind, {"do the list": Decompose(("strike iron", "and then rest"), parallel), "strike iron": STRIKE})
            result = await soon(mind.executive.interact("do the list", deadline_s=0.3))
            assert result.status == "failed"
            parts = (await mind.jobs.list(9, parent_id=result.job_id)).items
            assert {part.status for part in parts} <= {"failed", "cancelled", "done"}
            assert not await mind.node.database.read(any_under_way)
            (strike,) = [part for part in parts if part.goal == "strike iron"]
            last = (await mind.jobs.get(strike.id)).steps[-1]
            assert last.output == {"error": "the time was over; whether it happened is not known"}

    asyncio.run(main())


def test_a_job_that_fails_takes_its_parts_and_their_questions_along(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path)) as mind:
            by_goal(mind, {"do the list": Decompose(("sign it", "tell clock hours"), True), "sign it": SIGN})
            result = await soon(mind.executive.interact("do the list"))
            assert (result.status, len(result.waits_for)) == ("waiting_approval", 1)
            job = await mind.jobs.get(result.job_id)
            await mind.jobs.finish(job.id, status="failed", answer="no")
            assert await parts_of(mind, job.id) == {"sign it": "cancelled", "tell clock hours": "done"}
            answers = {part.goal: part.answer for part in (await mind.jobs.list(9, parent_id=job.id)).items}
            assert answers["sign it"] == ENDED_WITH_THE_WHOLE
            assert not await mind.node.database.read(any_under_way)

    asyncio.run(main())


def test_what_comes_after_a_part_waits_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path)) as mind:
            by_goal(
                mind,
                {
                    "do the list": Decompose(("sign it", "then clock hours"), False),
                    "sign it": SIGN,
                    "then clock hours": LOOK,
                },
            )
            result = await soon(mind.executive.interact("do the list"))
            assert result.status == "waiting_approval"
            assert await parts_of(mind, result.job_id) == {"sign it": "waiting_approval", "then clock hours": "queued"}
            assert lines(tmp_path, "look") == []
            await decided(mind, approve=True)
            await soon(status(mind, result.job_id, "done"))
            assert (lines(tmp_path, "sign"), lines(tmp_path, "look")) == (["it"], ["it"])

    asyncio.run(main())


def test_a_part_of_what_others_have_spoken_to_needs_leave_to_act(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path)) as mind:

            class RecallsOnce:
                async def decide(self, situation: Situation, *, session_id: str | None = None) -> Decision:
                    action: Action = Respond()
                    if situation.goal == "strike iron" and not (situation.tool_results or situation.denied):
                        action = STRIKE
                    elif situation.goal != "strike iron" and situation.recalled is None:
                        action = Recall(situation.goal)
                    elif situation.goal != "strike iron" and not situation.children:
                        action = Decompose(("strike iron",), True)
                    return Decision(action, "rule", "listed")

            mind.executive._pursuing._decider = RecallsOnce()  # type: ignore[assignment]
            await mind.remember("flour mill tonnes: strike iron, says somebody", "private")
            result = await soon(mind.executive.interact("flour mill tonnes"))
            assert result.status == "waiting_approval"
            assert lines(tmp_path, "strike") == []

    asyncio.run(main())


def test_a_full_disk_during_parts_ends_no_job(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path), works=False) as mind:
            by_goal(
                mind,
                {"do the list": Decompose(("clock hours here", "clock hours there"), True), "clock hours here": LOOK},
            )
            record, full = mind.jobs.record, True

            async def fails(job_id: str, *arguments: Any, **options: Any) -> None:
                if full and (await mind.jobs.get(job_id)).goal == "clock hours here":
                    raise StorageFull("the disk is full")
                await record(job_id, *arguments, **options)

            mind.jobs.record = fails  # type: ignore[method-assign]
            job_id = await mind.executive.submit("do the list")
            with pytest.raises(ExceptionGroup) as caught:
                await soon(mind.executive.run())
            assert caught.group_contains(StorageFull)
            assert (await mind.jobs.get(job_id)).status == "running"
            full = False
            working = asyncio.create_task(mind.executive.run())
            await soon(status(mind, job_id, "done"))
            working.cancel()

    asyncio.run(main())


def test_a_fault_ends_the_parts_and_is_told_to_who_follows(tmp_path: Path) -> None:
    async def main() -> None:
        gates = Gates("after look")
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path, gates.hold)) as mind:
            by_goal(mind, {"do the list": Decompose(("tell clock hours", "and rest"), False), "tell clock hours": LOOK})

            async def fails(*arguments: Any, **options: Any) -> Any:
                await gates.hold("after look")
                raise RuntimeError("a defect")

            mind.executive._pursuing._acting.use_tool = fails  # type: ignore[method-assign]
            job_id = await mind.executive.submit("do the list")
            await soon(gates.reached["after look"].wait())

            async def ends() -> list[object]:
                events = [event async for event in mind.executive.follow(job_id)]
                return [event.data["status"] for event in events if event.kind == "end" and event.job_id == job_id]

            following = asyncio.create_task(ends())
            await asyncio.sleep(0)
            gates.open["after look"].set()
            assert await soon(following) == ["failed"]
            assert set((await parts_of(mind, job_id)).values()) == {"failed"}
            assert not await mind.node.database.read(any_under_way)

    asyncio.run(main())


def test_a_part_can_be_followed_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path)) as mind:
            by_goal(mind, {"do the list": Decompose(("sign it", "tell clock hours"), True), "sign it": SIGN})
            result = await soon(mind.executive.interact("do the list"))
            (part,) = [one for one in (await mind.jobs.list(9, parent_id=result.job_id)).items if one.goal == "sign it"]

            async def seen() -> list[tuple[str, str]]:
                return [(event.job_id, event.kind) async for event in mind.executive.follow(part.id)]

            following = asyncio.create_task(seen())
            await asyncio.sleep(0)
            await decided(mind, approve=True)
            events = await soon(following)
            assert events[-1] == (part.id, "end")
            assert {job_id for job_id, _ in events} == {part.id}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        ("My password is Tulip-77-xyz. Find out about flour mill tonnes", "flour mill tonnes Tulip-77-xyz"),
        ("Write to Ana at ana@mill.example about flour mill tonnes", "flour mill tonnes"),
    ],
)
def test_what_is_secret_in_the_whole_is_secret_in_a_part(tmp_path: Path, whole: str, part: str) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):
            asked: list[str] = []

            class Asks:
                async def decide(self, situation: Situation, *, session_id: str | None = None) -> Decision:
                    action: Action = Respond()
                    if situation.goal == whole and not situation.children:
                        action = Decompose((part,), False)
                    elif situation.goal == part and not situation.asked:
                        asked.append(situation.outward)
                        action = AskTwin(Candidate(b.node.did, "B", ("flour mill",), 1.0), situation.outward)
                    return Decision(action, "rule", "listed")

            a.executive._pursuing._decider = Asks()  # type: ignore[assignment]
            result: JobResult = await soon(a.executive.interact(whole))
            assert result.status == "done"
            (outward,) = asked
            assert "Tulip" not in outward
            assert outward.startswith("flour mill tonnes")

    asyncio.run(main())


@tool(description="Keeps a value.", owner_only=True)
async def keep(value: JsonValue) -> str:
    raise AssertionError("nobody allowed it")


@pytest.mark.parametrize(
    ("value", "error"),
    [(2**60, "no canonical JSON"), (float("inf"), "no canonical JSON"), ("x" * 30_000, "characters to show")],
)
def test_what_the_owner_cannot_be_asked_about_is_not_done_and_fails_nothing_else(
    tmp_path: Path, value: object, error: str
) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, tools=[keep]) as mind:
            script(mind, UseTool("keep", {"value": value}))
            result = await soon(mind.executive.interact("keep it"))
            assert result.status == "done"
            assert error in str((result.steps[1].output or {})["error"])
            assert (await mind.approvals.list(9)).items == ()

    asyncio.run(main())


def test_what_waits_for_the_owner_ends_with_its_deadline(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path)) as mind:
            script(mind, SIGN)
            result = await soon(mind.executive.interact("sign it", deadline_s=3600))
            assert result.status == "waiting_approval"
            (row,) = (await mind.approvals.list(9)).items
            assert row.expires_ms == mind.node.clock() + 3_600_000
            mind.node.clock.advance(3600)
            mind.approvals._changed.set()  # the wait of an hour is over
            await soon(status(mind, result.job_id, "failed"))
            assert (await mind.jobs.get(result.job_id)).answer == "The time that this goal was given is over."
            assert lines(tmp_path, "sign") == []

    asyncio.run(main())


def test_a_tool_that_is_gone_or_takes_other_parameters_is_an_outcome(tmp_path: Path) -> None:
    @tool(name="sign", description="Signs.", owner_only=True)
    async def another(page: int) -> str:
        raise AssertionError("it was never asked for")

    change: list[Callable[[Mind], Any]] = [
        lambda mind: mind.tools.unregister("test"),
        lambda mind: mind.tools._tools.update(sign=_registered(another)),
    ]

    async def main(home: Path, happens: Callable[[Mind], Any]) -> None:
        async with open_mind(FakeSwarm(), home, tools=file_tools(home)) as mind:
            script(mind, UseTool("sign", {"what": "deed"}))
            result = await soon(mind.executive.interact("sign it"))
            happens(mind)
            await decided(mind, approve=True)
            await soon(status(mind, result.job_id, "done"))
            assert "error" in ((await mind.jobs.get(result.job_id)).steps[1].output or {})

    for number, happens in enumerate(change):
        asyncio.run(main(tmp_path / str(number), happens))


def _registered(made: Tool) -> Any:
    from plugins.host import PluginHost
    from tests.node.mind.assembly import plugin_of

    host = PluginHost()
    host.register(plugin_of(made))
    return host._tools[made.name]


def test_own_lessons_reach_no_model_that_may_not_see_what_is_private(tmp_path: Path) -> None:
    async def main() -> None:
        lesson = "flour mill tonnes are of 900 kg"
        requests: list[ChatRequest] = []

        class Noting(ScriptedEngine):
            def stream(self, request: ChatRequest) -> AsyncGenerator[str | Completion, None]:
                requests.append(request)
                return super().stream(request)

        engine = Noting(lambda turns: "Two.", capable=True)
        async with open_mind(FakeSwarm(), tmp_path, engine=engine) as mind:
            await mind.parts.learning.guiding._own_lessons.keep(lesson, also=lambda conn: None)  # type: ignore[union-attr]
            await mind.remember("flour mill tonnes two")
            await soon(mind.executive.interact("flour mill tonnes"))
            told = [one.private for one in requests if any(lesson in turn.content for turn in one.turns)]
            assert told
            assert all(told)

    asyncio.run(main())


def test_own_lessons_reach_no_other_twin(tmp_path: Path) -> None:
    async def main() -> None:
        lesson = "flour mill tonnes are of 900 kg"
        async with open_pair(tmp_path) as (a, b):
            engine = ScriptedEngine(capable=True)
            b.model.settle(engine, None)
            await b.parts.learning.guiding._own_lessons.keep(lesson, also=lambda conn: None)  # type: ignore[union-attr]
            await b.remember("flour mill tonnes two")
            result = await soon(a.executive.interact("flour mill tonnes"))
            assert "two" in result.answer
            assert "900 kg" not in str(result)
            assert "900 kg" not in str(engine.asked)

    asyncio.run(main())
