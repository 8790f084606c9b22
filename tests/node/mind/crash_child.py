"""A mind that works on one goal until it comes to a point, says so, and stays there until it is killed.

Usage: crash_child.py HOME SEED GOAL POINT ACTION…; an action is a step as JSON, `["use_tool", {…}]`.
"""

import asyncio
import json
import sys
from pathlib import Path

from identity.keys import KeyPair
from node.mind.folding import restored
from tests.node.mind.assembly import open_mind
from tests.node.mind.scripted import file_tools, forever, say, script
from tests.node.net.fake import FakeSwarm


async def main(home: Path, seed: str, goal: str, point: str, *steps: str) -> None:
    async def hold(reached: str) -> None:
        if reached == point:
            await forever(point)

    keys = KeyPair(bytes.fromhex(seed))
    async with open_mind(FakeSwarm(), home, keys=keys, tools=file_tools(home, hold)) as mind:
        script(mind, *(restored(*json.loads(step)) for step in steps), hold=hold)
        responding, afterwards = mind.executive._pursuing._ending._responding, mind.executive._afterwards
        respond, reflect = responding.respond, afterwards._reflect

        async def held_respond(*arguments: object) -> object:
            await hold("answering")
            return await respond(*arguments)  # type: ignore[arg-type]

        async def held_reflect(*arguments: object) -> None:
            await hold("reflecting")
            await reflect(*arguments)  # type: ignore[arg-type]

        responding.respond = held_respond  # type: ignore[method-assign, assignment]
        afterwards._reflect = held_reflect  # type: ignore[method-assign, assignment]
        result = await mind.executive.interact(goal, session_id="s")
        await hold(result.status)
        await mind.executive.reflected(result.job_id)
        say(f"ended as {result.status}: {result.answer}")  # the test waits for a point that did not come


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
