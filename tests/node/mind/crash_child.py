"""A mind that works on one goal until it comes to a point, says so, and stays there until it is killed.

Usage: crash_child.py HOME SEED GOAL POINT ACTION…; an action is a step as JSON, `["use_tool", {…}]`. What it asks its
owner is allowed. Beside it, in HOME/other, is a twin whose key is the SHA-256 of the seed, which it may ask.
"""

import asyncio
import json
import sys
from pathlib import Path

from identity.did import Did
from identity.keys import KeyPair
from node.mind.jobs.folding import restored
from protocols.conversations.reply import Reply
from protocols.message import Message
from protocols.task import ASK
from tests.node.mind.assembly import open_mind
from tests.node.mind.scripted import befriend, file_tools, forever, other_keys, say, script
from tests.node.net.fake import FakeSwarm


async def main(home: Path, seed: str, goal: str, point: str, *steps: str) -> None:
    async def hold(reached: str) -> None:
        if reached == point:
            await forever(point)

    keys, swarm = KeyPair(bytes.fromhex(seed)), FakeSwarm()
    async with (
        open_mind(swarm, home, keys=keys, tools=file_tools(home, hold)) as mind,
        open_mind(swarm, home / "other", keys=other_keys(bytes.fromhex(seed))) as other,
    ):
        await befriend(mind, other)
        script(mind, *(restored(*json.loads(step)) for step in steps), hold=hold)
        responding, afterwards = mind.executive._pursuing._ending._responding, mind.executive._afterwards
        respond, reflect = responding.respond, afterwards._reflect

        answering = 0

        async def held_respond(*arguments: object) -> object:
            nonlocal answering
            answering += 1
            await hold("answering" if answering == 1 else f"answering {answering}")
            return await respond(*arguments)  # type: ignore[arg-type]

        async def held_reflect(*arguments: object) -> None:
            await hold("reflecting")
            await reflect(*arguments)  # type: ignore[arg-type]

        ask, wait = mind.colleagues.ask, mind.requester.wait

        async def held_ask(*arguments: object, **options: object) -> object:
            asked = await ask(*arguments, **options)  # type: ignore[arg-type]
            await hold("replied")
            return asked

        async def held_wait(task_id: str) -> object:
            await hold("posted")
            return await wait(task_id)

        async def held_answer(sender: Did, message: Message) -> list[Reply]:
            await hold("asked")
            return list(await other.colleagues._answer(sender, message))

        mind.colleagues.ask = held_ask  # type: ignore[method-assign, assignment]
        mind.requester.wait = held_wait  # type: ignore[method-assign, assignment]
        other.mail.office._handlers[ASK] = held_answer
        responding.respond = held_respond  # type: ignore[method-assign, assignment]
        afterwards._reflect = held_reflect  # type: ignore[method-assign, assignment]
        result = await mind.executive.interact(goal, session_id="s")
        await hold(result.status)
        for approval in (await mind.approvals.list(9, status="pending")).items:
            await mind.approvals.decide(approval.id, approve=True)
            async for event in mind.executive.follow(result.job_id):
                if event.kind == "end":
                    break
        await mind.executive.reflected(result.job_id)
        say(f"ended as {result.status}: {result.answer}")  # the test waits for a point that did not come


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
