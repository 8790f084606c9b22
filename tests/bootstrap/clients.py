"""A mediator on a network in memory and a real database, and clients of it that keep what they are sent."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bootstrap.mediator import Mediator
from bootstrap.relay import NoBlocks
from identity.did import Did, DidDocument, PeerId, did_key, resolve_did_key
from identity.keys import KeyPair
from node.dids.own import OwnDids
from node.messaging.source import ACCEPTED, PROTOCOL, Source
from protocols import limits
from protocols.conversations import mediation, pickup
from protocols.conversations.routing import wrap
from protocols.didcomm.author import Author, author_of
from protocols.didcomm.envelope import pack_private, unpack
from protocols.message import Attachment, Message, ReturnRoute
from storage.database import Database
from tests.node.net.fake import FakeNetwork, FakeSwarm
from tests.node.parts import Clock, new_keys, running, soon

PLENTY = 1 << 30


class Relay:
    """A mediator with its parts."""

    def __init__(self, mediator: Mediator, database: Database, network: FakeNetwork, own: OwnDids) -> None:
        self.mediator = mediator
        self.database = database
        self.network = network
        self.own = own

    @property
    def did(self) -> Did:
        return self.own.did

    @property
    def document(self) -> DidDocument:
        return resolve_did_key(self.did)

    @property
    def counters(self) -> Mapping[str, int]:
        return self.mediator.counters

    def wrapped(self, packed: bytes, to: Did) -> bytes:
        """`packed` as a forward to one of the relay's clients."""
        return wrap(packed, next_did=to, routing=[self.document], entropy=os.urandom)

    async def forward(self, packed: bytes, to: Did, *, key: str = "192.0.2.1") -> bytes:
        """Bring a message for `to`, as anybody does over HTTP."""
        return await self.mediator.accept(Source("http", key), self.wrapped(packed, to))


@asynccontextmanager
async def open_relay_on(
    swarm: FakeSwarm,
    folder: Path,
    *,
    keys: KeyPair | None = None,
    clock: Clock | None = None,
    mail_bytes: int = PLENTY,
) -> AsyncIterator[Relay]:
    keys = keys or new_keys()
    clock = clock or Clock()
    async with Database.open(folder / "node.db") as database, swarm.open(keys, NoBlocks()) as network:
        own = await OwnDids.load(database, keys, now=clock)
        mediator = Mediator(
            own=own, routing_did=own.did, network=network, database=database, mail_bytes=mail_bytes, now=clock
        )
        async with running(mediator.run()):
            await soon(_served(network))
            yield Relay(mediator, database, network, own)


async def _served(network: FakeNetwork) -> None:
    while PROTOCOL not in network.services:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0)


class Client:
    """One who has its mail kept. What the relay sends it is put into `got`."""

    def __init__(self, relay: Relay, network: FakeNetwork, keys: KeyPair, clock: Clock) -> None:
        self.relay = relay
        self.network = network
        self.keys = keys
        self.did = did_key(keys.public)
        self.aliases: list[Author] = []
        self.got: asyncio.Queue[Message] = asyncio.Queue()
        self.answers_with = ACCEPTED
        self._clock = clock

    async def take(self, peer: PeerId, packed: bytes) -> bytes:
        if self.answers_with == ACCEPTED:
            opened = unpack(packed, keys=[self.keys, *self.aliases])
            assert opened.sender == self.relay.did
            self.got.put_nowait(opened.message)
        return self.answers_with

    def packed(
        self,
        message_type: str,
        body: Mapping[str, Any] | None = None,
        *,
        author: Author | None = None,
        message_id: str | None = None,
        thid: str | None = None,
        from_prior: str | None = None,
        return_route: ReturnRoute | None = "all",
        attachments: Sequence[Attachment] = (),
    ) -> bytes:
        author = author or author_of(self.keys)
        message = Message(
            id=message_id or os.urandom(8).hex(),
            type=message_type,
            body=body or {},
            from_=author.did,
            to=(self.relay.did,),
            thid=thid,
            created_time=self._clock() // 1000,
            from_prior=from_prior,
            return_route=return_route,
            attachments=tuple(attachments),
        )
        return pack_private(message, author=author, recipient=self.relay.document, entropy=os.urandom)

    async def send(self, message_type: str, body: Mapping[str, Any] | None = None, **headers: Any) -> bytes:
        """Send without waiting for an answer."""
        packed = self.packed(message_type, body, **headers)
        return await self.network.request(self.relay.network.peer_id, PROTOCOL, packed)

    async def ask(self, message_type: str, body: Mapping[str, Any] | None = None, **headers: Any) -> Message:
        """Send, and take the next message that comes."""
        assert await self.send(message_type, body, **headers) == ACCEPTED
        return await soon(self.got.get())

    async def register(self, *aliases: Did) -> None:
        """Become a client that gets mail for its own name."""
        granted = await self.ask(mediation.REQUEST["3.0"])
        assert granted.type == mediation.GRANT["3.0"]
        results = await self.update(self.did, *aliases)
        assert set(results) <= {"success", "no_change"}

    async def update(self, *dids: Did, action: str = "add") -> list[str]:
        updates = [{"recipient_did": did, "action": action} for did in dids]
        answer = await self.ask(mediation.UPDATE["3.0"], {"updates": updates})
        assert answer.type == mediation.UPDATE_RESPONSE["3.0"]
        return [updated["result"] for updated in answer.body["updated"]]

    async def status(self) -> Mapping[str, Any]:
        answer = await self.ask(pickup.STATUS_REQUEST["4.0"])
        assert answer.type == pickup.STATUS["4.0"]
        return answer.body

    async def fetch(self, limit: int = limits.MAX_DELIVERY) -> Message:
        return await self.ask(pickup.DELIVERY_REQUEST["4.0"], {"message_count_limit": limit})

    async def confirm(self, *ids: str) -> None:
        assert await self.send(pickup.MESSAGES_RECEIVED["4.0"], {"message_id_list": list(ids)}) == ACCEPTED

    async def go_live(self) -> Mapping[str, Any]:
        answer = await self.ask(pickup.LIVE_DELIVERY_CHANGE["4.0"], {"live_delivery": True})
        return answer.body


@asynccontextmanager
async def open_client(
    swarm: FakeSwarm, relay: Relay, *, keys: KeyPair | None = None, clock: Clock | None = None
) -> AsyncIterator[Client]:
    """A client that is connected to the relay."""
    keys = keys or new_keys()
    async with swarm.open(keys, NoBlocks()) as network:
        client = Client(relay, network, keys, clock or Clock())
        await network.serve(PROTOCOL, client.take, max_request_bytes=1 << 20, max_in_flight_per_peer=64)
        await network.dial(relay.network.addresses()[0])
        yield client


def contents(delivery: Message) -> list[bytes]:
    """The packed messages that a delivery brings."""
    assert delivery.type in pickup.DELIVERY.values()
    return [one.packed for one in pickup.read_delivery(delivery)]


def ids(delivery: Message) -> list[str]:
    return [one.id for one in pickup.read_delivery(delivery)]


def sealed(text: str = "") -> bytes:
    """A stand-in for a packed message: JSON that a mediator has no business with."""
    secret = base64.urlsafe_b64encode(os.urandom(24)).decode()
    return b'{"ciphertext":"%s"}' % (secret + text).encode()
