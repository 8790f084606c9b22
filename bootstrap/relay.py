"""The relay's composition root: the network port, gossip, the newest signed messages on disk, and the mediator.

A relay forwards gossip between twins that have no direct link, and answers `/pagi/sync/1.0` with the announcements
that it holds, so that twins which know only the relay find each other. As a server of the DHT it keeps who provides
which content and what IPNS names stand for; as a mediator, packed messages for twins that are away. It verifies what it
keeps in public and can read nothing private.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bootstrap.hosting import host_for_clients
from bootstrap.mediator import Mediator
from identity.cid import Cid
from identity.did import DIDCOMM_SERVICE, Did, Endpoint, Service, did_key
from identity.keys import KeyPair
from node.content.hosting import Hosting
from node.dids.own import OwnDids, did_web_of
from node.gossip import Gossip
from node.net.libp2p_network import open_network
from node.net.port import Network
from node.net.settings import NetSettings
from protocols import limits
from protocols.playbook.messages import topic_of
from protocols.swarm import TOPIC
from storage.blocks import BlockStore
from storage.database import Database
from storage.home import Home

KEPT_PLAYBOOKS: Final = ("common",)
"""Playbooks whose heads are kept for latecomers; the gossip of every other one is forwarded all the same."""

SYNC_EVERY_S: Final = 60.0

DEFAULT_MAIL_BYTES: Final = 4 * 1024**3
"""Mail that is kept for all clients together: small enough for the disk of any rented machine."""


DEFAULT_PIN_BYTES: Final = 1024**3
"""Content that is kept for all clients together."""


class NoBlocks:
    """A relay that stores no content for others."""

    def get(self, cid: Cid) -> bytes | None:
        return None

    def has(self, cid: Cid) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mediation:
    """Whether and how a relay keeps mail.

    `public` is where it takes messages over HTTP and WebSocket, None for libp2p alone; `url` is how that is reached
    from outside. `mail_bytes` bounds the mail that it keeps for all its clients, `pin_bytes` the content; with 0 it
    keeps no content.
    """

    public: tuple[str, int] | None = None
    url: str | None = None
    mail_bytes: int = DEFAULT_MAIL_BYTES
    pin_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Relay:
    """A running relay. `public` is the URL of its listener in use; `routing_did` is whom forwards are wrapped for."""

    did: Did
    network: Network
    gossip: Gossip
    mediator: Mediator | None = None
    routing_did: Did | None = None
    public: str | None = None


@asynccontextmanager
async def open_relay(
    home: Home, keys: KeyPair, *, listen: Sequence[str], mediation: Mediation | None = None
) -> AsyncIterator[Relay]:
    """Run a relay from its home, whose lock the caller holds. Without `mediation` it keeps no mail.

    Raises StorageError, NetError, PortInUse, or MalformedDid if no DID can name the public URL.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(home.node_db))
        settings = NetSettings(gossip_forwarder=True, dht="server")
        store = await _store(home, mediation.pin_bytes if mediation is not None else 0, stack)
        network = await stack.enter_async_context(
            open_network(keys, listen=listen, blocks=store or NoBlocks(), settings=settings)
        )
        gossip = Gossip(keys=keys, network=network, database=database, sync_every_s=SYNC_EVERY_S)
        for topic in (TOPIC, *(topic_of(name) for name in KEPT_PLAYBOOKS)):
            await gossip.join(topic)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = [tasks.create_task(gossip.run())]
        stack.callback(lambda: [task.cancel() for task in running])
        relay = Relay(did_key(keys.public), network, gossip)
        if mediation is not None:
            hosting = None
            if store is not None:
                hosting = host_for_clients(store, database=database, network=network, pin_bytes=mediation.pin_bytes)
                running.append(tasks.create_task(hosting.run()))
            relay = await _with_mediator(relay, keys, database, mediation, stack, store, hosting)
            assert relay.mediator is not None
            running.append(tasks.create_task(relay.mediator.run()))
        yield relay


async def _store(home: Home, pin_bytes: int, stack: AsyncExitStack) -> BlockStore | None:
    """Where the content of clients is, and what is about to go; None if none is kept."""
    if pin_bytes == 0:
        return None
    store = await asyncio.to_thread(BlockStore, home.blocks, pin_bytes + pin_bytes // 4)
    stack.callback(store.close)
    return store


async def _with_mediator(
    relay: Relay,
    keys: KeyPair,
    database: Database,
    mediation: Mediation,
    stack: AsyncExitStack,
    store: BlockStore | None,
    hosting: Hosting | None,
) -> Relay:
    own = await OwnDids.load(database, keys, web=did_web_of(mediation.url) if mediation.url else None)
    routing_did = own.did
    if mediation.url:
        # Senders that know nothing but this DID find the place to bring mail to in it.
        places = (Endpoint(f"{mediation.url.rstrip('/')}/didcomm", ("didcomm/v2",)),)
        own.set_services((Service(f"{own.did}#didcomm", DIDCOMM_SERVICE, places),))
        routing_did = await own.peer_did()
    mediator = Mediator(
        own=own,
        routing_did=routing_did,
        network=relay.network,
        database=database,
        mail_bytes=mediation.mail_bytes,
        hosting=hosting,
    )
    public = None
    if mediation.public is not None:
        from node.http.gateway import Gateway  # aiohttp is 25 MB that a relay without it can do without
        from node.http.listening import Bounds, listen
        from node.http.public import make_public_app

        async def here(cid: Cid) -> bytes | None:
            return await asyncio.to_thread(store.get, cid) if store is not None else None

        app = make_public_app(mediator, extra=Gateway(here).routes() if store is not None else ())
        bounds = Bounds(connections=limits.MAX_RELAY_CONNECTIONS)
        public = await stack.enter_async_context(listen(app, *mediation.public, bounds=bounds))
    return Relay(relay.did, relay.network, relay.gossip, mediator, routing_did, public)
