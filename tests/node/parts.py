"""Parts of a twin on a network in memory and a real database: what the tests of the node's core share."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from identity.did import Did, PeerId, did_key
from identity.keys import KeyPair
from identity.resolver import Resolver
from node.config import HiveConfig, MailConfig
from node.dids.own import OwnDids
from node.events import Event, EventBus, Lagged
from node.gossip import Gossip
from node.ground import Ground
from node.hive.hive import Hive
from node.hive.judging.assembly import JudgingParts
from node.hive.judging.gate import Attempt, NotTried
from node.hive.retrieval import Retrieval
from node.http.outside import Outside
from node.inference.embedder import Embedder
from node.inference.local import LocalModel
from node.messaging.assembly import assemble
from node.messaging.delivery import Delivery
from node.reputation.reputation import Reputation
from node.reputation.standing import Attestation
from node.trust import TrustList
from protocols.message import Message
from storage.blocks import BlockStore
from storage.database import Database
from tests.node.memory.fake import WordEmbedder
from tests.node.net.fake import FakeNetwork, FakeSwarm

T = TypeVar("T")

PATIENCE_S = 20.0
"""How long a test waits for what must happen: only a test that fails waits so long."""

START_MS = 1_800_000_000_000


class Clock:
    """A clock whose hands the test turns."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


@dataclass
class Node:
    """A network, a database and the parts that nearly every other part needs."""

    keys: KeyPair
    did: Did
    own: OwnDids
    resolver: Resolver
    home: Path
    clock: Clock
    database: Database
    blocks: BlockStore
    network: FakeNetwork
    events: EventBus
    trust: TrustList
    gossip: Gossip

    @property
    def peer_id(self) -> PeerId:
        return self.network.peer_id

    async def name(self, *others: "Node", block: Iterable["Node"] = (), auto_adopt: bool = True) -> None:
        """The owner names exactly these."""
        await self.trust.put(
            replace(
                self.trust.current,
                allow=frozenset(node.did for node in others),
                block=frozenset(node.did for node in block),
                auto_adopt=auto_adopt,
            )
        )

    async def dial(self, other: "Node") -> None:
        await self.network.dial(other.network.addresses()[0])


def new_keys() -> KeyPair:
    return KeyPair(os.urandom(32))


def new_did() -> Did:
    return did_key(new_keys().public)


@asynccontextmanager
async def open_node(
    swarm: FakeSwarm, home: Path, *, keys: KeyPair | None = None, clock: Clock | None = None
) -> AsyncIterator[Node]:
    """The parts over the database in `home`, which is made if it is not there."""
    keys, clock = keys or new_keys(), clock or Clock()
    did = did_key(keys.public)
    blocks = BlockStore(home / "blocks", 1024**3)  # makes `home` too
    async with Database.open(home / "node.db") as database, swarm.open(keys, blocks) as network:
        trust = await TrustList.load(database, did)
        yield Node(
            keys=keys,
            did=did,
            own=await OwnDids.load(database, keys, now=clock),
            resolver=Resolver(fetch=None, now_s=lambda: clock() / 1000),
            home=home,
            clock=clock,
            database=database,
            blocks=blocks,
            network=network,
            events=EventBus(database, did, now=clock),
            trust=trust,
            gossip=Gossip(
                keys=keys,
                network=network,
                database=database,
                sync_every_s=3600,
                named=lambda: trust.named,
                now=clock,
            ),
        )


class Mail:
    """The post office of a node; `looked_up` gets each recipient whose address was asked for: one for each attempt."""

    def __init__(self, node: Node, config: MailConfig | None = None) -> None:
        self.node = node
        self.addresses: dict[Did, Sequence[str]] = {}
        self.looked_up: asyncio.Queue[Did] = asyncio.Queue()
        self.find: Callable[[Did], Awaitable[Sequence[str]]] = self._known_addresses
        config = config or MailConfig()
        self.outside = Outside(allow_private=True)
        parts = assemble(
            Ground(
                own=node.own,
                resolver=node.resolver,
                database=node.database,
                events=node.events,
                network=node.network,
                trust=node.trust,
                now=node.clock,
            ),
            config=config,
            outside=self.outside,
            addresses_of=self._addresses_of,
            delivery_kind=WatchedDelivery,
        )
        assert isinstance(parts.delivery, WatchedDelivery)
        self.delivery = parts.delivery
        self.live, self.routes, self.dispatcher = parts.live, parts.routes, parts.dispatcher
        self.composer, self.threads, self.exchange = parts.composer, parts.threads, parts.exchange
        self.answers, self.intake, self.office = parts.answers, parts.intake, parts.mail
        self.introductions, self.invitations, self.courtesies = (
            parts.introductions,
            parts.invitations,
            parts.courtesies,
        )

    async def _addresses_of(self, did: Did) -> Sequence[str]:
        self.looked_up.put_nowait(did)
        return await self.find(did)

    async def _known_addresses(self, did: Did) -> Sequence[str]:
        return self.addresses.get(did, ())

    async def attempted(self) -> Did:
        """Wait for the next attempt to reach somebody who is not connected, and for what was noted of it."""
        did = await soon(self.looked_up.get())
        await soon(self.delivery.idle())
        return did


class WatchedDelivery(Delivery):
    """A Delivery that tells how long it means to rest, and when it rests with no worker busy."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.pauses: list[float] = []
        self._rests = asyncio.Condition()
        self._resting = False

    async def idle(self) -> None:
        async with self._rests:
            await self._rests.wait_for(lambda: self._resting and not self._busy and not self._wake.is_set())

    async def _wait_woken(self, timeout_s: float) -> None:
        self.pauses.append(timeout_s)
        self._resting = True
        async with self._rests:
            self._rests.notify_all()
        try:
            await super()._wait_woken(timeout_s)
        finally:
            self._resting = False


def new_reputation(node: Node, said: Sequence[tuple[Did, Attestation]] = ()) -> Reputation:
    """Reputations over the node's database; `said` is what reputation credentials attest."""

    def attestations() -> Sequence[tuple[Did, Attestation]]:
        return said

    return Reputation(database=node.database, trust=node.trust, attestations=attestations, now=node.clock)


async def _nobody_answers(goal: str, bullets: Sequence[str]) -> str:
    raise NotTried("there is no model in this test")


def new_hive(
    node: Node,
    names: Sequence[str] = ("common",),
    *,
    config: HiveConfig | None = None,
    embedder: Embedder | None = None,
    model: LocalModel | None = None,
    attempt: Attempt = _nobody_answers,
    said: Sequence[tuple[Did, Attestation]] = (),
) -> Hive:
    embedder = embedder or WordEmbedder(dimensions=1024)
    parts = JudgingParts.of(
        config=config or HiveConfig(),
        keys=node.keys,
        database=node.database,
        blocks=node.blocks,
        gossip=node.gossip,
        trust=node.trust,
        reputation=new_reputation(node, said),
        embedder=embedder,
        retrieval=Retrieval(embedder),
        model=model or LocalModel("there is no model in this test"),
        attempt=attempt,
        now=node.clock,
    )
    return Hive(
        keys=node.keys,
        database=node.database,
        blocks=node.blocks,
        network=node.network,
        gossip=node.gossip,
        trust=node.trust,
        reputation=new_reputation(node, said),
        events=node.events,
        names=names,
        parts=parts,
        now=node.clock,
    )


@asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run loops for as long as the context is open."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            for task in started:
                task.cancel()


@dataclass
class Watch:
    """The events of one node since the watch began."""

    _events: AsyncIterator[Event | Lagged]
    seen: list[Event] = field(default_factory=list)

    async def until(self, event_type: str, matches: Callable[[Event], bool] = lambda event: True) -> Event:
        """The next event of this type that matches."""
        async with asyncio.timeout(PATIENCE_S):
            async for event in self._events:
                assert isinstance(event, Event)
                self.seen.append(event)
                if event.event_type == event_type and matches(event):
                    return event
        raise AssertionError("the events ended")


@asynccontextmanager
async def watching(node: Node) -> AsyncIterator[Watch]:
    async with node.events.subscribe() as events:
        yield Watch(events)


async def soon(awaitable: Coroutine[Any, Any, T]) -> T:
    """What must come, and comes at once in a test that passes."""
    async with asyncio.timeout(PATIENCE_S):
        return await awaitable


def private(
    sender: Node | KeyPair, to: Node, message_type: str = "https://test.example/1.0/hello", **headers: Any
) -> Message:
    keys = sender.keys if isinstance(sender, Node) else sender
    values: dict[str, Any] = {
        "id": os.urandom(8).hex(),
        "type": message_type,
        "body": {"text": "hello"},
        "from_": did_key(keys.public),
        "to": (to.did,),
        "created_time": to.clock() // 1000,
    }
    return Message(**{**values, **headers})
