"""The answer: what a model is given of what is known, by what it may see."""

import asyncio
from pathlib import Path

import pytest

from node.inference.engine import ChatRequest, Completion
from node.inference.local import LocalModel
from node.mind.actions import UseTool
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import open_mind
from tests.node.mind.scripted import file_tools, script
from tests.node.net.fake import FakeSwarm


@pytest.mark.parametrize("allowed", [True, False])
def test_where_no_model_may_see_what_is_private_it_is_asked_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    monkeypatch.setattr(LocalModel, "may_see_private", allowed)
    asked: list[ChatRequest] = []

    class Engine(ScriptedEngine):
        async def stream(self, request: ChatRequest):  # type: ignore[no-untyped-def]
            asked.append(request)
            async for item in ScriptedEngine.stream(self, request):
                yield item

        async def complete(self, request: ChatRequest) -> Completion:
            asked.append(request)
            return await ScriptedEngine.complete(self, request)

    async def main() -> None:
        engine = Engine(lambda turns: "Two tonnes.", capable=True)
        async with open_mind(FakeSwarm(), tmp_path, engine=engine) as mind:
            await mind.remember("flour mill grinds two tonnes", "shared")
            await mind.remember("flour mill belongs to Ines", "private")
            result = await mind.executive.interact("flour mill tonnes")
            assert result.status == "done"
            answering = [
                "\n".join(turn.content for turn in request.turns) for request in asked if request.private == allowed
            ]
            assert any("two tonnes" in words for words in answering)
            assert any("belongs to Ines" in words for words in answering) == allowed

    asyncio.run(main())


SMALL: dict[str, str] = {
    "Hello, I am Clara.": "I will remember: My name is Clara.",
    "good evening": "Good evening, Clara.",
    "I had a good day.": "I hear you.",  # the model only repeated it
    "Who are you?": "I am Test, Clara's digital twin.",
    "The wifi password is hunter2-Xy99!": "That has a secret in it (password).",
}


def test_what_a_small_model_would_make_up_is_answered_by_rule(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine(lambda turns: turns[-1].content)
        async with open_mind(FakeSwarm(), tmp_path, engine=engine) as mind:
            for said, begins in SMALL.items():
                result = await mind.executive.interact(said, session_id="talk")
                assert result.answer.startswith(begins), (said, result.answer)

    asyncio.run(main())


def test_what_was_built_is_said_in_words(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path) as mind:
            goal = "build a tool area(width, height) = width * height"
            built = await mind.executive.interact(goal)
            assert built.answer.startswith("The tool area is there now: Works out area by the formula width * height.")

    asyncio.run(main())


def test_what_was_done_is_said_whatever_the_model_makes_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine(lambda turns: "I cannot assist with that.", capable=True)
        async with open_mind(FakeSwarm(), tmp_path, tools=file_tools(tmp_path), engine=engine) as mind:
            script(mind, UseTool("strike", {}))
            acted = await mind.executive.interact("strike the bell")
            assert acted.answer.startswith("I used strike with {}. It gave ")
            assert acted.answer.count("\n") == 0
            script(mind, UseTool("look", {}), UseTool("strike", {}))
            job_id = await mind.executive.submit("look and strike the bell")
            (asked,) = (await mind.executive.wait(job_id)).waits_for
            await mind.approvals.decide(asked, approve=True)
            async for event in mind.executive.follow(job_id):
                if event.kind == "end":
                    break
            said, *acts = (await mind.executive.result(job_id)).answer.splitlines()
            assert said == "I cannot assist with that."
            assert acts[-1].startswith("I used strike with {}. It gave ")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "answer"),
    [("Use the calculator for it.", "Use the calculator for it.\n12 * 85 = 1020"), ("1,020 grams.", "1,020 grams.")],
)
def test_what_came_of_a_sum_is_said(tmp_path: Path, said: str, answer: str) -> None:
    async def main() -> None:
        async with open_mind(FakeSwarm(), tmp_path, engine=ScriptedEngine(lambda turns: said, capable=True)) as mind:
            script(mind, UseTool("calculator", {"expression": "12 * 85"}))
            result = await mind.executive.interact("How much food do my cats need?")
            assert result.answer == f"{answer}\n(with calculator)"

    asyncio.run(main())


def test_what_a_tool_failed_with_is_no_result_and_no_origin(tmp_path: Path) -> None:
    async def main() -> None:
        engine = ScriptedEngine(lambda turns: "I cannot work that out.", capable=True)
        async with open_mind(FakeSwarm(), tmp_path, engine=engine) as mind:
            script(mind, UseTool("calculator", {"expression": "sha256(hello)"}))
            result = await mind.executive.interact("How much is the fingerprint of hello?")
            assert result.answer == "I cannot work that out."
            (asked,) = [turns for turns in engine.asked if "sha256" in turns[-1].content]
            assert "failed and gave nothing" in asked[-1].content

    asyncio.run(main())
