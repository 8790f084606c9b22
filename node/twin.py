"""The composition root: every part of a running twin is made here, with explicit constructors, and nowhere else.

`open_twin` gives a twin whose parts all run; leaving it stops them in the reverse order. If a part fails for good, the
error comes out of `open_twin`: a twin runs whole or not at all.
"""

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from identity.did import Did, DidDocument, PeerId, did_key, peer_id, resolve_did_key
from identity.keys import KeyPair
from node import __version__
from node.config import Config
from node.content import Content
from node.events import EventBus
from node.gossip import Gossip
from node.hive.hive import Hive
from node.inference.embedder import Embedder, WordLlamaEmbedder
from node.inference.local import LocalModel, load_in_background
from node.memory.memory import Memory
from node.messaging.delivery import Delivery
from node.messaging.intake import Intake
from node.messaging.post_office import PostOffice
from node.mind.answering import Writer
from node.mind.colleagues import Colleagues
from node.mind.executive import Executive
from node.mind.jobs import Jobs
from node.net.errors import MalformedAddress, NetError
from node.net.libp2p_network import open_network
from node.net.port import Network
from node.net.settings import NetSettings
from node.supervisor import keep_running
from node.swarm import CAPABILITIES, Directory
from node.trust import TrustList
from plugins.builtin import calculator, clock
from plugins.host import PluginHost
from storage.blocks import BlockStore
from storage.database import Database
from storage.home import Home

logger = logging.getLogger(__name__)

LEAST_FREE_BYTES: Final = 16 * 1024**2
"""With less free on the home's disk any write may be the one that fails."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of `GET /ready`. `degraded` is what works, but not as the owner would have it."""

    ok: bool
    detail: str
    degraded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A running twin: its parts, for the API and for tests."""

    did: Did
    peer_id: PeerId
    name: str
    home: Home
    database: Database
    network: Network
    gossip: Gossip
    directory: Directory
    mail: PostOffice
    hive: Hive
    memory: Memory
    executive: Executive
    jobs: Jobs
    trust: TrustList
    content: Content
    tools: PluginHost
    events: EventBus
    model: LocalModel
    sign: Callable[[bytes], bytes]
    part_counters: Sequence[Counter[str]]
    version: str = __version__
    capabilities: tuple[str, ...] = CAPABILITIES
    resting: dict[str, str] = field(default_factory=dict)

    def document(self) -> DidDocument:
        """This twin's DID document."""
        return resolve_did_key(self.did)

    def health(self) -> dict[str, Check]:
        """What `GET /ready` reports. Having no model is a degraded mode, not a failure."""
        if self.model.loading:
            model = Check(True, "loading")
        elif self.model.engine is None:
            model = Check(True, f"degraded: {self.model.reason}", degraded=True)
        else:
            model = Check(True, self.model.engine.name)
        peers = len(self.network.peers())
        network = Check(True, f"{peers} peers") if self.network.alive else Check(False, "libp2p is being restarted")
        return {"network": network, "storage": self._storage_health(), "model": model}

    def _storage_health(self) -> Check:
        free_bytes = shutil.disk_usage(self.home.path).free
        if self.resting:
            return Check(False, "; ".join(f"{part} rests: {reason}" for part, reason in self.resting.items()))
        return Check(free_bytes >= LEAST_FREE_BYTES, f"{free_bytes >> 20} MiB free")

    def counters(self) -> Mapping[str, int]:
        """Every count since the start, for `GET /metrics`."""
        total: Counter[str] = Counter()
        for part in (self.network.counters(), self.database.counters(), *self.part_counters):
            total.update(part)
        return total


@asynccontextmanager
async def open_twin(home: Home, config: Config, keys: KeyPair, *, model: Path | None) -> AsyncIterator[Twin]:
    """Run a twin from its home, whose lock the caller holds. `model` is a GGUF file, None for none.

    Raises StorageError, NetError (an address in use, a relay's address that is none), InferenceError.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(home.node_db))
        blocks = await asyncio.to_thread(BlockStore, home.blocks, config.content.quota_bytes)
        trust = await TrustList.load(database, did_key(keys.public))
        embedder = WordLlamaEmbedder()
        memory = await stack.enter_async_context(Memory.open(database, embedder))
        local_model = await stack.enter_async_context(
            load_in_background(model, threads=config.inference.threads, context_tokens=config.inference.context_tokens)
        )
        settings = NetSettings(mdns=config.network.mdns)
        network = await stack.enter_async_context(
            open_network(keys, listen=config.network.listen, blocks=blocks, settings=settings)
        )
        for address in config.network.bootstrap:
            _check_relay(address)
        twin = _assembled(
            home,
            config,
            keys,
            database=database,
            blocks=blocks,
            trust=trust,
            embedder=embedder,
            memory=memory,
            model=local_model,
            network=network,
        )
        async with _running(twin, config.network.bootstrap):
            yield twin


def _assembled(
    home: Home,
    config: Config,
    keys: KeyPair,
    *,
    database: Database,
    blocks: BlockStore,
    trust: TrustList,
    embedder: Embedder,
    memory: Memory,
    model: LocalModel,
    network: Network,
) -> Twin:
    """Every part over what was opened: nothing runs yet. A list, and long for that reason only."""
    did = did_key(keys.public)
    events = EventBus(database, did)
    gossip = Gossip(
        keys=keys,
        network=network,
        database=database,
        sync_every_s=config.network.sync_every_s,
        named=lambda: trust.named,
    )
    directory = Directory(
        did=did,
        name=config.name,
        config=config.network,
        network=network,
        gossip=gossip,
        database=database,
        events=events,
        topics=memory.topics,
        trust=trust,
    )
    delivery = Delivery(
        keys=keys,
        config=config.mail,
        database=database,
        events=events,
        network=network,
        addresses_of=directory.addresses_of,
    )
    intake = Intake(keys=keys, database=database, events=events, trust=trust)
    mail = PostOffice(
        keys=keys,
        config=config.mail,
        database=database,
        network=network,
        intake=intake,
        delivery=delivery,
        trust=trust,
    )
    hive = Hive(
        keys=keys,
        database=database,
        blocks=blocks,
        network=network,
        gossip=gossip,
        trust=trust,
        events=events,
        names=(config.mind.playbook,),
    )
    writer = Writer(model, events)
    colleagues = Colleagues(
        own=did,
        directory=directory,
        trust=trust,
        mail=mail,
        memory=memory,
        embedder=embedder,
        writer=writer,
        recall_items=config.mind.recall_items,
    )
    tools = PluginHost()
    for plugin in (calculator.plugin(), clock.plugin(lambda: datetime.now(UTC))):
        tools.register(plugin)
    jobs = Jobs(database)
    executive = Executive(
        config=config.mind,
        memory=memory,
        embedder=embedder,
        tools=tools,
        colleagues=colleagues,
        writer=writer,
        hive=hive,
        jobs=jobs,
        events=events,
    )
    return Twin(
        did=did,
        peer_id=peer_id(keys.public),
        name=config.name,
        home=home,
        database=database,
        network=network,
        gossip=gossip,
        directory=directory,
        mail=mail,
        hive=hive,
        memory=memory,
        executive=executive,
        jobs=jobs,
        trust=trust,
        content=Content(blocks=blocks, network=network, database=database),
        tools=tools,
        events=events,
        model=model,
        sign=keys.sign,
        part_counters=(gossip.counters, intake.counters, delivery.counters, hive.counters),
    )


@asynccontextmanager
async def _running(twin: Twin, relays: Sequence[str]) -> AsyncIterator[None]:
    """Load what was there, run the parts, and say goodbye to the others at the end."""
    await twin.hive.load()
    await twin.jobs.interrupted()
    async with asyncio.TaskGroup() as tasks:
        parts = [
            tasks.create_task(keep_running(part, twin.resting))
            for part in (twin.gossip, twin.directory, twin.mail, twin.hive)
        ]
        parts += [tasks.create_task(_call(twin.network, address)) for address in relays]
        await twin.events.publish("twin_registered", twin.did, {"did": twin.did, "name": twin.name})
        try:
            yield
            await twin.directory.leave()
        finally:
            for part in parts:
                part.cancel()


def _check_relay(address: str) -> None:
    """Raise MalformedAddress if this can never be dialled: the owner should hear of that before the twin is up."""
    from node.net.host import parse_address  # imports libp2p, which the network's thread has done by now

    if parse_address(address).get_peer_id() is None:
        raise MalformedAddress(f"a relay's address must end in /p2p/<peer ID>: {address[:120]!r}")


async def _call(network: Network, address: str) -> None:
    """Call a bootstrap relay; the network goes on trying for as long as it runs."""
    try:
        await network.dial(address)
    except NetError as error:
        logger.warning("the relay %s does not answer yet: %s", address, error)
