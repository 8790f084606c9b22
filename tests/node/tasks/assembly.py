"""Twins that give tasks to each other: real mail and gossip; what they know is scripted."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from identity.did import Did
from identity.keys import KeyPair
from node.content.assembly import make_content
from node.reputation.reputation import Reputation
from node.tasks.requester import Requester
from node.tasks.tasks import Tasks
from node.tasks.worker import Worker
from protocols.swarm import TOPIC
from protocols.task import Answer, Source
from storage.tasks import ContractRow, TaskRow
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Clock, Mail, Node, new_reputation, open_node, running, watching


@dataclass
class Hand:
    """One twin with tasks. `knows` is how sure it is of everything; `says` what it answers."""

    node: Node
    mail: Mail
    reputation: Reputation
    tasks: Tasks
    worker: Worker
    knows: float = 0.0
    says: Callable[[str], str] = field(default=lambda task: f"done: {task}")
    worked: list[str] = field(default_factory=list)

    async def confidence(self, task: str) -> float:
        return self.knows

    async def answer(self, task: str) -> Answer:
        self.worked.append(task)
        text = self.says(task)
        return Answer(text, (Source("memory-1", "a note", 0.9),) if text else (), self.knows, "none", degraded=True)

    async def task(self, task_id: str) -> TaskRow:
        return (await self.tasks.get(task_id))[0]

    async def contract(self, task_id: str, peer: Did) -> ContractRow:
        found = {contract.peer: contract for contract in (await self.tasks.get(task_id))[1]}
        return found[peer]

    async def until(self, event_type: str, task_id: str) -> None:
        async with watching(self.node) as watch:
            await watch.until(event_type, lambda event: event.subject == task_id)


@contextlib.asynccontextmanager
async def open_hand(
    swarm: FakeSwarm, home: Path, *, knows: float = 0.0, clock: Clock | None = None, keys: KeyPair | None = None
) -> AsyncIterator[Hand]:
    async with open_node(swarm, home, clock=clock, keys=keys) as node:
        hand: Hand
        mail, reputation = Mail(node), new_reputation(node)
        content = make_content(store=node.blocks, database=node.database, network=node.network)
        requester = Requester(
            own=node.did,
            sign=node.keys.sign,
            database=node.database,
            gossip=node.gossip,
            mail=mail.office,
            reputation=reputation,
            content=content,
            events=node.events,
            now=node.clock,
        )
        worker = Worker(
            own=node.did,
            database=node.database,
            gossip=node.gossip,
            mail=mail.office,
            trust=node.trust,
            content=content,
            events=node.events,
            confidence=lambda task, _: hand.confidence(task),
            answer=lambda task, _: hand.answer(task),
            now=node.clock,
        )
        tasks = Tasks(own=node.did, database=node.database, requester=requester, worker=worker, now=node.clock)
        hand = Hand(node, mail, reputation, tasks, worker, knows)
        await node.gossip.join(TOPIC)
        async with running(node.gossip.run(), mail.office.run(), tasks.run()):
            yield hand


@contextlib.asynccontextmanager
async def open_hands(path: Path, *knows: float, clock: Clock | None = None) -> AsyncIterator[list[Hand]]:
    """Twins that all name each other and are connected; the first gives the tasks. They share one clock."""
    swarm, clock = FakeSwarm(), clock or Clock()
    async with contextlib.AsyncExitStack() as stack:
        hands = [
            await stack.enter_async_context(open_hand(swarm, path / str(n), knows=sure, clock=clock))
            for n, sure in enumerate(knows)
        ]
        for hand in hands:
            others = [other.node for other in hands if other is not hand]
            await hand.node.name(*others)
            for other in others:
                await hand.node.dial(other)
        yield hands
