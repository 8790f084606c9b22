import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from identity.did import Did
from node.errors import MessageTimeout
from node.inference.errors import GoalTooLong
from node.memory.errors import BadMemory
from node.mind.executive import MAX_GOAL_BYTES, JobResult
from node.mind.learning.reflection import ROUTING
from protocols import limits
from protocols.conversations.reply import Reply
from protocols.message import Message
from protocols.task import ANSWER, Answer, Source
from storage import memories as memory_rows
from storage import outbox
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import NO_MODEL_REASON, Mind, open_mind, open_pair
from tests.node.net.fake import FakeSwarm
from tests.node.parts import soon

GOAL = "flour mill tonnes"
FACT = "flour mill tonnes two"


def actions(result: JobResult) -> list[str]:
    return [step.action for step in result.steps]


async def stored_steps(mind: Mind, job_id: str) -> list[tuple[str, Any]]:
    return [(step.action, step.output) for step in (await mind.jobs.get(job_id)).steps]


def test_what_it_remembers_it_answers_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=ScriptedEngine(lambda turns: "Two tonnes.")) as mind:
            memory_id = await mind.remember(FACT, "private")
            result = await mind.executive.interact(GOAL)
            answer = f"Two tonnes.\n(from memory {memory_id}: “{FACT}”)"
            assert (result.status, result.answer) == ("done", answer)
            assert (result.degraded, result.reason) == (True, "scripted is too small to choose steps: fixed rules did")
            assert actions(result) == ["recall", "respond"]
            assert result.steps[1].output == {"from": "memory", "memories": [memory_id], "model": "scripted"}
            assert result.reflection is None
            job = await mind.jobs.get(result.job_id)
            assert (job.status, job.answer, job.steps) == ("done", answer, result.steps)

    asyncio.run(main())


def test_what_it_does_not_remember_a_lesson_may_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=ScriptedEngine(lambda turns: "Two tonnes.")) as mind:
            ops = [{"op": "add", "section": "facts", "text": text} for text in (FACT, "flour of rye", "kilns")]
            await mind.hive.propose("common", "why", ops)
            (bullet,) = (bullet for bullet in (await mind.hive.view("common")).bullets if bullet.text == FACT)
            result = await mind.executive.interact(GOAL)
            origin = f"from playbook common, taught by {mind.node.did}, lesson {bullet.id}"
            assert result.answer == f"Two tonnes.\n({origin}: “{FACT}”)"
            assert actions(result) == ["recall", "respond"]
            assert (result.steps[0].output or {})["taught"] == [bullet.id]
            assert mind.engine is not None
            (turns,) = mind.engine.asked
            assert f"- {FACT}" in turns[-1].content
            assert "kilns" not in turns[-1].content

    asyncio.run(main())


def test_what_it_remembers_comes_before_a_lesson(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a") as mind:
            memory_id = await mind.remember(FACT)
            await mind.hive.propose("common", "why", [{"op": "add", "section": "facts", "text": f"{FACT} hundred"}])
            assert (await mind.executive.interact(GOAL)).answer == f"{FACT}\n(from memory {memory_id})"

    asyncio.run(main())


def test_without_a_model_it_quotes_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a") as mind:
            memory_id = await mind.remember(FACT)
            result = await mind.executive.interact(GOAL)
            answer = f"{FACT}\n(from memory {memory_id})"
            assert (result.status, result.answer, result.degraded) == ("done", answer, True)
            assert result.steps[-1].output is not None
            assert result.steps[-1].output["degraded"] == NO_MODEL_REASON
            for goal, said in (("Who painted it?", "I do not know"), ("Paint something else", "I could not do this")):
                unknown = await mind.executive.interact(goal)
                assert (unknown.degraded, said in unknown.answer) == (True, True), unknown

    asyncio.run(main())


def test_a_model_that_fails_is_said_too(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine()
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine) as mind:
            memory_id = await mind.remember(FACT)
            await engine.aclose()
            result = await mind.executive.interact(GOAL)
            assert (result.answer, result.degraded) == (f"{FACT}\n(from memory {memory_id})", True)

    asyncio.run(main())


def test_bullets_that_fit_guide_the_answer_and_those_on_whom_to_ask_do_not(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine(lambda turns: "Two tonnes.")
        async with open_mind(FakeSwarm(), tmp_path / "a", engine=engine) as mind:
            await mind.remember(FACT)
            added: list[dict[str, object]] = [
                {"op": "add", "section": "style", "text": "flour in tonnes"},
                {"op": "add", "section": "style", "text": "owls by name"},
                {"op": "add", "section": ROUTING, "text": "flour mill tonnes", "tags": [f"ask:{mind.node.did}"]},
            ]
            await mind.hive.propose("common", "three rules", added)
            await mind.executive.interact(GOAL)
            assert engine.asked[0][0].content.endswith("Learned rules:\n- flour in tonnes")

    asyncio.run(main())


def test_a_tool_answers_what_it_can(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a") as mind:
            result = await mind.executive.interact("What is 17 * 23?")
            assert actions(result) == ["recall", "use_tool", "respond"]
            assert (result.answer, result.degraded) == ("17 * 23 = 391", False)  # a model would add nothing

    asyncio.run(main())


def test_another_twin_answers_and_is_recommended(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):
            memory_id = await b.remember(FACT)
            result = await a.pursue(GOAL)
            assert actions(result) == ["recall", "ask_twin", "respond"]
            assert result.answer == f"{FACT}\n(from {b.node.did}, its memory {memory_id})"
            assert result.degraded  # the other twin has no model
            bullets = (await a.hive.view("common")).bullets
            assert [bullet.text for bullet in bullets] == [f"Questions about flour mill: ask {b.node.did}."]
            assert "answered from its memory" in (result.reflection or "")
            again = await a.pursue(GOAL)
            assert again.answer == result.answer
            assert (again.steps[1].output or {})["reused"]  # not asked twice
            assert again.reflection is None
            await a.pursue(f"{GOAL} now")
            assert [bullet.helpful for bullet in (await a.hive.view("common")).bullets] == [1]
            turns = (await a.memory.list(kind="working")).items
            assert [row.role for row in turns] == ["assistant", "user"] * 3
            named = await a.pursue(f"Ask {again.steps[1].input['name']} {GOAL}")
            assert named.steps[1].input["question"] == GOAL
            assert "reused" not in (named.steps[1].output or {}), "the owner says whom to ask"

    asyncio.run(main())


def test_a_twin_answers_only_from_what_it_shares(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):
            for namespace in ("private", "ask", "other"):
                await b.remember(FACT, namespace)
            result = await a.executive.interact(GOAL)
            assert actions(result) == ["recall", "ask_twin", "respond"]
            assert result.steps[1].output is not None
            assert result.steps[1].output["answer"]["answer"] == ""
            assert result.steps[1].output["answer"]["sources"] == []
            assert "two" not in result.answer
            assert "could not help" in result.answer

    asyncio.run(main())


def test_only_twins_that_are_named_there_and_fit_are_asked(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_mind(swarm, tmp_path / "a") as a,
            open_mind(swarm, tmp_path / "stranger") as stranger,
            open_mind(swarm, tmp_path / "blocked") as blocked,
            open_mind(swarm, tmp_path / "other") as other,
            open_mind(swarm, tmp_path / "away") as away,
        ):
            for mind in (stranger, blocked):
                a.directory.add(mind.node, "flour mill")
            a.directory.add(a.node, "flour mill")
            a.directory.add(other.node, "kiln bricks")
            a.directory.add(away.node, "flour mill", online=False)
            await a.node.name(a.node, blocked.node, other.node, away.node, block=[blocked.node])
            result = await a.executive.interact(GOAL)
            assert actions(result) == ["recall", "respond"]
            assert (await a.node.database.read(lambda conn: outbox.list_outbound(conn, limit=9))).items == ()
            assert [step.action for step in await a.executive.plan(GOAL)] == ["recall", "respond"]
            await a.node.name(stranger.node)
            assert [step.action for step in await a.executive.plan(GOAL)] == ["recall", "ask_twin", "respond"]

    asyncio.run(main())


@pytest.mark.parametrize("max_asked", [0, 1])
def test_no_more_are_asked_than_the_owner_allows(tmp_path: Path, max_asked: int) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with (
            open_mind(swarm, tmp_path / "a", max_asked=max_asked) as a,
            open_mind(swarm, tmp_path / "b") as b,
            open_mind(swarm, tmp_path / "c") as c,
        ):
            await a.node.name(b.node, c.node)
            for other in (b, c):
                await other.node.name(a.node)
                await a.node.dial(other.node)
                a.directory.add(other.node, "flour mill")
            planned = [step.action for step in await a.executive.plan(GOAL)]
            assert planned.count("ask_twin") == max_asked
            assert actions(await a.executive.interact(GOAL)).count("ask_twin") == max_asked

    asyncio.run(main())


def test_one_that_is_named_no_longer_is_not_asked(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, _):
            candidates = await a.colleagues.candidates(GOAL, ())
            assert len(candidates) == 1
            await a.node.name()
            asked = await a.colleagues.ask(candidates[0], GOAL, 20)
            assert not asked.helped
            assert (await a.node.database.read(lambda conn: outbox.list_outbound(conn, limit=9))).items == ()

    asyncio.run(main())


class Colleague:
    """Replies to every ask with what the test says."""

    def __init__(self, mind: Mind, reply: Reply) -> None:
        self.reply = reply
        mind.mail.office._handlers["https://pagi.ai/task/1.0/ask"] = self._answer

    async def _answer(self, sender: Did, message: Message) -> Sequence[Reply]:
        return [self.reply]


@pytest.mark.parametrize(
    "reply",
    [
        Reply("https://test.example/1.0/" + GOAL.replace(" ", "-"), {}),
        Reply(ANSWER, {"answer": GOAL}),
        Reply(ANSWER, Answer(GOAL, (), 0.1, "model", degraded=False).to_body()),
    ],
)
def test_what_a_hostile_colleague_says_is_not_used_and_not_published(tmp_path: Path, reply: Reply) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):
            a.directory.listed.clear()
            a.directory.add(b.node, "flour")
            Colleague(b, reply)
            result = await a.pursue(GOAL)
            assert result.status == "done"
            assert "could not help" in result.answer
            lessons = (await a.hive.revisions("common")).items
            assert len(lessons) == 1
            for row in lessons:
                assert GOAL not in row.critique
                assert GOAL.replace(" ", "-") not in row.critique

    asyncio.run(main())


def test_the_longest_answer_is_given_also_if_it_cannot_be_remembered(tmp_path: Path) -> None:
    text = "x" * limits.MAX_ANSWER_BYTES

    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):
            Colleague(b, Reply(ANSWER, Answer(text, (Source("m", "t", 1),), 1.0, "model", degraded=False).to_body()))
            result = await a.executive.interact(GOAL)
            assert result.status == "done"
            assert result.answer.startswith(text)
            assert (await a.jobs.get(result.job_id)).status == "done"
            assert any("not remembered" in line.text for line in await a.jobs.log(result.job_id))

    asyncio.run(main())


def test_each_step_is_on_disk_before_it_is_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):
            asked = asyncio.Event()
            answer = asyncio.Event()

            async def slow(sender: Did, message: Message) -> Sequence[Reply]:
                asked.set()
                await answer.wait()
                return [Reply(ANSWER, Answer("two", (), 1.0, "model", degraded=False).to_body())]

            b.mail.office._handlers["https://pagi.ai/task/1.0/ask"] = slow
            work = asyncio.create_task(a.executive.interact(GOAL))
            await soon(asked.wait())
            job = (await a.jobs.list(9)).items[0]
            assert job.status == "running"
            assert [(name, output is None) for name, output in await stored_steps(a, job.id)] == [
                ("recall", False),
                ("ask_twin", True),
            ]
            answer.set()
            result = await work
            assert await stored_steps(a, result.job_id) == [(step.action, step.output) for step in result.steps]

    asyncio.run(main())


class Fault(Exception):
    """A defect."""


@pytest.mark.parametrize("fault", [BadMemory("no"), Fault("oops")])
def test_a_failure_ends_the_job_and_keeps_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, _):

            async def fails(*args: Any, **options: Any) -> Any:
                raise fault

            monkeypatch.setattr(a.colleagues, "ask", fails)
            result = await a.executive.interact(GOAL)
            assert (result.status, actions(result)) == ("failed", ["recall", "ask_twin"])
            assert result.answer == ("no" if isinstance(fault, BadMemory) else "The work met a fault of this program.")
            assert (await a.executive.interact("What is 2 + 2?")).answer == "2 + 2 = 4"

    asyncio.run(main())


def test_a_job_does_not_need_its_caller(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):
            asked, answer = asyncio.Event(), asyncio.Event()

            async def slow(sender: Did, message: Message) -> Sequence[Reply]:
                asked.set()
                await answer.wait()
                return [Reply(ANSWER, Answer("two", (), 1.0, "model", degraded=False).to_body())]

            b.mail.office._handlers["https://pagi.ai/task/1.0/ask"] = slow
            work = asyncio.create_task(a.executive.interact(GOAL))
            await soon(asked.wait())
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            (job,) = (await a.jobs.list(9)).items
            assert job.status == "running"
            answer.set()
            assert (await soon(a.executive.wait(job.id))).status == "done"

    asyncio.run(main())


def test_a_colleague_that_is_silent_is_an_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):

            async def silent(*args: Any, **options: Any) -> Message:
                raise MessageTimeout("no reply")

            monkeypatch.setattr(a.mail.office, "request", silent)
            result = await a.pursue(GOAL)
            assert result.status == "done"
            assert f"{b.node.did}: no reply" in result.answer
            assert "no answer came" in (result.reflection or "")

    asyncio.run(main())


@pytest.mark.parametrize("goal", ["", " \n"])
def test_an_empty_goal_fails(tmp_path: Path, goal: str) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a") as mind:
            assert (await mind.executive.interact(goal)).status == "failed"
            assert [job.status for job in (await mind.jobs.list(9)).items] == ["failed"]

    asyncio.run(main())


def test_a_goal_that_is_too_long_is_no_job(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path / "a") as mind:
            with pytest.raises(GoalTooLong):
                await mind.executive.interact("x" * (MAX_GOAL_BYTES + 1))
            assert (await mind.jobs.list(9)).items == ()

    asyncio.run(main())


def test_nothing_private_leaves_when_another_twin_is_answered(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pair(tmp_path) as (a, b):
            await b.remember(FACT)
            await b.remember("flour mill tonnes secret", "private")
            await a.executive.interact(GOAL)
            sent = (await b.node.database.read(lambda conn: outbox.list_outbound(conn, limit=9))).items
            assert len(sent) == 1
            assert b"secret" not in sent[0].plaintext
            assert [source["text"] for source in orjson.loads(sent[0].plaintext)["body"]["sources"]] == [FACT]

    asyncio.run(main())


def test_more_sources_than_an_answer_holds_are_cut(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_mind(swarm, tmp_path / "a") as a, open_mind(swarm, tmp_path / "b", recall_items=32) as b:
            await a.node.name(b.node)
            await b.node.name(a.node)
            await a.node.dial(b.node)
            a.directory.add(b.node, "flour mill")
            for n in range(limits.MAX_SOURCES + 4):
                await b.remember(f"{FACT} {n}")
            result = await a.executive.interact(GOAL)
            assert result.steps[1].output is not None
            assert len(result.steps[1].output["answer"]["sources"]) == limits.MAX_SOURCES
            count = await b.node.database.read(lambda conn: len(memory_rows.list_memories(conn, limit=99).items))
            assert count == limits.MAX_SOURCES + 4

    asyncio.run(main())
