"""A message is acted on once, also when the inbox was read just before the message was finished."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

from identity.did import Did
from protocols.conversations.reply import Reply
from protocols.message import Message
from storage.database import Database
from storage.mailbox import Unhandled
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, open_node, running, soon

T = TypeVar("T")

ASK, ANSWER = "https://test.example/1.0/ask", "https://test.example/1.0/answer"


class LateReads(Database):
    """A read sees the database as it is when it begins. The first that sees two messages at once tells it late."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.seen = asyncio.Event()
        self.tell = asyncio.Event()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        result = await self._database.read(fn)
        if isinstance(result, list) and len([row for row in result if isinstance(row, Unhandled)]) == 2:
            self.seen.set()
            await self.tell.wait()
        return result

    async def write(self, fn: Callable[[Connection], T]) -> T:
        return await self._database.write(fn)


def test_a_message_that_is_finished_while_the_inbox_is_read_is_not_acted_on_again(tmp_path: Path) -> None:
    acted_on: list[str] = []
    started, go_on, last = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(sender: Did, message: Message) -> Sequence[Reply]:
        acted_on.append(message.body["name"])
        if message.body["name"] == "first":
            started.set()
            await go_on.wait()
        if message.body["name"] == "third":
            last.set()
        return [Reply(ANSWER, {})]

    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as asking, open_node(swarm, tmp_path / "b") as asked:
            await asking.name(asked)
            await asked.name(asking)
            late = asked.database = LateReads(asked.database)
            a, b = Mail(asking), Mail(asked)
            b.office.handle(ASK, answer)
            await asking.dial(asked)
            async with running(a.office.run(), b.office.run()):
                await a.office.send(asked.did, ASK, {"name": "first"})
                await soon(started.wait())
                await a.office.send(asked.did, ASK, {"name": "second"})
                await soon(late.seen.wait())
                go_on.set()
                while not (await b.office.outbox(10)).items:  # noqa: ASYNC110 - the answer is stored with the end
                    await asyncio.sleep(0.005)
                late.tell.set()
                await a.office.send(asked.did, ASK, {"name": "third"})
                await soon(last.wait())
        assert acted_on == ["first", "second", "third"]

    asyncio.run(main())
