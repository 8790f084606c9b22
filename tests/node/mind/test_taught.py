"""A goal after a lesson: what the owner corrected is done rightly the next time, from the feedback to the answer."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.inference.engine import ChatTurn
from tests.node.inference.fake import ScriptedEngine
from tests.node.mind.assembly import open_mind
from tests.node.net.fake import FakeSwarm

RULE = "litres of our keg units are 37.5 litres * how many keg units"
GOAL = "how many litres are 7 of our keg units"


def script(turns: Sequence[ChatTurn]) -> str:
    """Knows nothing of kegs, does what it is told, and never uses a tool unasked."""
    asked = turns[-1].content
    if "Right:" in asked:
        return json.dumps({"rule": RULE})
    if "Rules:" in asked:
        number = next(word for word in asked.split("Question: ")[1].split() if word.isdigit())
        return json.dumps({"expression": f"{number} * {37.5 if RULE in asked else 2}"})
    if "262.5" in asked:
        return "It is 262.5 litres."
    return json.dumps({"tool": "none"})


@pytest.mark.parametrize("share", [True, False])
def test_what_was_corrected_is_right_the_next_time(tmp_path: Path, share: bool) -> None:
    async def main() -> None:
        engine = ScriptedEngine(script=script, capable=True)
        async with open_mind(FakeSwarm(), tmp_path, engine=engine) as mind:
            for kegs in (3, 5):
                result = await mind.pursue(GOAL.replace("7", str(kegs)))
                assert f"{kegs * 37.5:g}" not in result.answer
                await mind.learning.rate(result.job_id, good=False, expected=f"{kegs * 37.5:g}", share=share)
            (kept,) = (await mind.parts.proposing.improve("common")).kept
            assert (kept.revision is not None) == share
            result = await mind.pursue(GOAL)
            assert "262.5" in result.answer
            calls = [step.input for step in result.steps if step.action == "use_tool"]
            assert calls == [{"tool": "calculator", "parameters": {"expression": "7 * 37.5"}}]

    asyncio.run(main())
