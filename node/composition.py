"""The composition root: every part of a running twin is made here, with explicit constructors; those of messaging by
`node/messaging/assembly.py`, those of content by `node/content/parts.py`, the mind's by `node/mind/assembly.py`. One
list, and long for that reason only.

`open_twin` gives a twin whose parts all run; leaving it stops them in the reverse order. If a part fails for good, the
error comes out of `open_twin`: a twin runs whole or not at all.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from identity.did import did_key, peer_id
from identity.keys import KeyPair
from identity.keystore import Retired
from node.config import Config
from node.content.assembly import kubo_api
from node.content.kubo_api import KuboApi
from node.content.kubo_serving import StoreThenKubo
from node.content.parts import assemble_content
from node.credentials.public import public_routes
from node.credentials.service import Credentials
from node.credentials.tools import credentials_tools
from node.dids.own import OwnDids, did_web_of
from node.dids.resolving import make_resolver
from node.dids.rotation import papers_of
from node.dids.rotation_news import RotationNews
from node.dids.second_copy import SecondCopy
from node.dids.succession import Successions
from node.events import EventBus
from node.gossip import Gossip
from node.ground import Ground
from node.hive.git.sync import GitSync
from node.hive.hive import Hive
from node.hive.judging.assembly import JudgingParts
from node.hive.retrieval import Retrieval
from node.http.outside import Outside
from node.inference.assembly import Inference, open_inference
from node.inference.embedder import Embedder
from node.inference.embedders import open_embedder
from node.inference.local import LocalModel, load_in_background
from node.inference.model_parts import assemble_models
from node.inference.opening import opener
from node.memory.assembly import assemble_memory
from node.memory.body import sentences
from node.memory.documents.documents import Documents
from node.memory.memory import Memory
from node.messaging.assembly import assemble
from node.messaging.mediation import Mediation
from node.mind.assembly import assemble_mind
from node.mind.ethics.kill_switch import KillSwitch
from node.net.errors import MalformedAddress, NetError
from node.net.libp2p_network import open_network
from node.net.port import BlockSource, Network
from node.net.settings import NetSettings
from node.own_tools import didcomm_tools, hive_tools, identity_tools
from node.reputation.attestations import Attestations
from node.reputation.reputation import Reputation
from node.supervisor import Part, keep_running
from node.swarm import Directory
from node.tasks.requester import Requester
from node.tasks.tasks import Tasks
from node.tasks.worker import Worker
from node.trust import TrustList
from node.twin import Twin
from plugins.builtin import calculator, clock
from plugins.host import PluginHost
from protocols.conversations import credential_status, pickup, pinning, routing
from protocols.conversations import mediation as coordination
from protocols.conversations.discover_features import features_of
from protocols.succession import SUCCESSION
from storage.blocks import BlockStore
from storage.database import Database
from storage.home import Home
from storage.jobs import any_under_way

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_twin(
    home: Home,
    config: Config,
    keys: KeyPair,
    *,
    model: Path | None,
    retired: Sequence[Retired] = (),
    rotations: int = 0,
) -> AsyncIterator[Twin]:
    """Run a twin from its home, whose lock the caller holds. `model` is a GGUF file, None for none.

    `retired` are the keys that it had before, oldest first; `rotations` is how often it has been given a new one.

    Raises StorageError, NetError (an address in use, a relay's address that is none), InferenceError.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(home.node_db))
        web = did_web_of(config.public.url) if config.public.url is not None else None
        own = await OwnDids.load(database, keys, retired=[old.keys for old in retired], rotations=rotations, web=web)
        outside = Outside(allow_private=config.network.allow_private_addresses)
        stack.push_async_callback(outside.close)
        blocks = await asyncio.to_thread(BlockStore, home.blocks, config.content.quota_bytes)
        stack.callback(blocks.close)
        kubo = kubo_api(config.content)
        served: BlockSource = blocks
        if kubo is not None:
            stack.push_async_callback(kubo.close)
            served = StoreThenKubo(blocks, kubo, loop=asyncio.get_running_loop())
        trust = await TrustList.load(database, did_key(keys.public))
        embedder = await asyncio.to_thread(open_embedder, config.memory.embedder)
        memory = await stack.enter_async_context(
            Memory.open(database, embedder, folder=home.index, spec=config.memory.embedder, open_embedder=open_embedder)
        )
        local_model = await stack.enter_async_context(load_in_background(model, open_=opener(config.inference)))
        own_keys = [keys, *(old.keys for old in reversed(retired))]
        inference = await stack.enter_async_context(
            open_inference(config, database=database, local=local_model, keys=own_keys, embedder=embedder)
        )
        settings = NetSettings(mdns=config.network.mdns, dht=config.network.dht)
        network = await stack.enter_async_context(
            open_network(keys, listen=config.network.listen, blocks=served, settings=settings)
        )
        for address in config.network.bootstrap:
            _check_relay(address)
        twin = _assembled(
            home,
            config,
            keys,
            own=own,
            retired=retired,
            outside=outside,
            database=database,
            blocks=blocks,
            kubo=kubo,
            trust=trust,
            embedder=embedder,
            memory=memory,
            local_model=local_model,
            inference=inference,
            network=network,
        )
        async with _running(twin, config.network.bootstrap):
            yield twin


def _assembled(
    home: Home,
    config: Config,
    keys: KeyPair,
    *,
    own: OwnDids,
    retired: Sequence[Retired],
    outside: Outside,
    database: Database,
    blocks: BlockStore,
    kubo: KuboApi | None,
    trust: TrustList,
    embedder: Embedder,
    memory: Memory,
    local_model: LocalModel,
    inference: Inference,
    network: Network,
) -> Twin:
    """Every part over what was opened: nothing runs yet. A list, and long for that reason only."""
    did = own.did
    resolver, events = make_resolver(outside), EventBus(database, did)
    ground = Ground(own=own, resolver=resolver, database=database, events=events, network=network, trust=trust)
    gossip = Gossip(
        keys=keys,
        network=network,
        database=database,
        sync_every_s=config.network.sync_every_s,
        named=lambda: trust.named.union(own.retired),
    )
    reputation = Reputation(database=database, trust=trust, attestations=lambda: attestations.current())
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
        scores=reputation.scores,
        mediators=lambda: mediation.mediators(),
    )
    messaging = assemble(
        ground,
        config=config.mail,
        outside=outside,
        addresses_of=directory.addresses_of,
        from_prior_for=lambda did: rotation_news.from_prior_for(did),
    )
    mail, intake, introductions = messaging.mail, messaging.intake, messaging.introductions
    second_copy = SecondCopy(did, events)
    gossip.on_own_message = second_copy.on_own_message
    successions = Successions(own=own, database=database, events=events, trust=trust, on_own_name=second_copy.notice)
    gossip.on(SUCCESSION, successions.on_gossip)
    intake.on_prior = successions.on_prior
    intake.answer(SUCCESSION, successions.on_message, strangers=True)
    rotation_news = RotationNews(
        [papers_of(old) for old in retired],
        own=own,
        database=database,
        events=events,
        gossip=gossip,
        network=network,
        composer=messaging.composer,
    )
    mediation = Mediation(
        own=own,
        config=config.mail,
        relays=config.network.bootstrap,
        resolver=resolver,
        network=network,
        database=database,
        intake=intake,
        exchange=messaging.exchange,
        composer=messaging.composer,
        send_now=messaging.delivery.send_now,
    )
    mediation.on_change = introductions.refresh
    introductions.mediators = mediation.mediators
    introductions.register_names = mediation.register_names
    mediated = [*coordination.RECIPIENT.values(), *pickup.RECIPIENT.values(), routing.RECIPIENT]
    messaging.courtesies.disclose(
        features_of([*mediated, credential_status.ISSUER, credential_status.VERIFIER, pinning.HOST, pinning.CLIENT])
    )
    credentials = Credentials(
        own=own,
        keys=keys,
        resolve=resolver.resolve,
        get=outside.get,
        ask=messaging.exchange.ask,
        database=database,
        events=events,
        public_url=config.public.url,
    )
    intake.answer(credential_status.STATUS_REQUEST, credentials.answer_status, strangers=True)
    attestations = Attestations(credentials, trust)
    retrieval = Retrieval(embedder)
    judging = JudgingParts.of(
        config=config.hive,
        keys=keys,
        database=database,
        blocks=blocks,
        gossip=gossip,
        trust=trust,
        reputation=reputation,
        embedder=embedder,
        retrieval=retrieval,
        model=inference.gateway,
        attempt=lambda goal, bullets: mind.trying.attempt(goal, bullets),
    )
    hive = Hive(
        keys=keys,
        database=database,
        blocks=blocks,
        network=network,
        gossip=gossip,
        trust=trust,
        reputation=reputation,
        events=events,
        names=(config.mind.playbook,),
        parts=judging,
        formerly=successions.formerly,
    )
    git = GitSync(
        config.hive.git,
        did=did,
        name=config.name,
        hive=hive,
        database=database,
        folder=home.path / "git",
    )
    carrying = assemble_content(
        ground,
        config,
        keys=keys,
        store=blocks,
        kubo=kubo,
        heads=hive.all_heads,
        named=directory.named,
        ask=messaging.exchange.ask,
    )
    content, gateway = carrying.content, carrying.gateway
    models = assemble_models(home, config, database=database, model=local_model, content=content)
    for message_type in pinning.HOST_TYPES:
        intake.answer(message_type, carrying.hosting.answer, strangers=False)
    requester = Requester(
        own=did,
        sign=keys.sign,
        database=database,
        gossip=gossip,
        mail=mail,
        reputation=reputation,
        content=content,
        events=events,
    )
    worker = Worker(
        own=did,
        database=database,
        gossip=gossip,
        mail=mail,
        trust=trust,
        content=content,
        events=events,
        confidence=lambda question, asker: mind.colleagues.confidence(question, asker),
        answer=lambda question, asker: mind.colleagues.answer(question, asker),
    )
    tools = PluginHost()
    for plugin in (
        calculator.plugin(),
        clock.plugin(lambda: datetime.now(UTC)),
        identity_tools(did, keys.sign, resolver),
        didcomm_tools(mail, trust, successions.current),
        credentials_tools(credentials, reputation.claims),
        hive_tools(git),
    ):
        tools.register(plugin)
    remembering = assemble_memory(
        memory,
        config.memory,
        model=inference.gateway,
        busy=lambda: _busy(database, mind.kill_switch),
        body=lambda: sentences(tools.list()),
    )
    mind = assemble_mind(
        ground,
        config.mind,
        keys=keys,
        name=config.name,
        model=inference.gateway,
        embedder=embedder,
        retrieval=retrieval,
        memory=remembering,
        messaging=messaging,
        gossip=gossip,
        current=successions.current,
        directory=directory,
        hive=hive,
        reputation=reputation,
        requester=requester,
        tools=tools,
        exports=home.path / "exports",
    )
    return Twin(
        did=did,
        own=own,
        outside=outside,
        resolver=resolver,
        peer_id=peer_id(keys.public),
        name=config.name,
        home=home,
        database=database,
        network=network,
        gossip=gossip,
        directory=directory,
        successions=successions,
        rotation_news=rotation_news,
        second_copy=second_copy,
        messaging=messaging,
        mediation=mediation,
        credentials=credentials,
        public_routes=(*public_routes(credentials.status_lists), *(gateway.routes() if gateway is not None else ())),
        hive=hive,
        git=git,
        memory=memory,
        remembering=remembering,
        documents=Documents(database, memory),
        mind=mind,
        executive=mind.executive,
        approvals=mind.approvals,
        learning=mind.learning,
        jobs=mind.jobs,
        trust=trust,
        reputation=reputation,
        attestations=attestations,
        content=content,
        content_parts=carrying.running,
        hosting=carrying.hosting,
        remote_pins=carrying.remote_pins,
        routing=carrying.routing,
        tasks=Tasks(own=did, database=database, requester=requester, worker=worker),
        tools=tools,
        events=events,
        model=local_model,
        models=models,
        inference=inference,
        sign=keys.sign,
        part_counters=(
            inference.gateway.counters,
            gossip.counters,
            intake.counters,
            mediation.counters,
            messaging.answers.counters,
            messaging.delivery.counters,
            hive.counters,
            git.counters,
            mind.learning.counters,
            mind.proposing.counters,
            *carrying.counters,
        ),
    )


async def _busy(database: Database, kill_switch: KillSwitch) -> bool:
    """Whether what may wait has to: a goal is worked on, or an owner has stopped all work."""
    return bool(kill_switch.stopped) or await database.read(any_under_way)


@asynccontextmanager
async def _running(twin: Twin, relays: Sequence[str]) -> AsyncIterator[None]:
    """Load what was there, run the parts, and say goodbye to the others at the end."""
    await twin.hive.load()
    await twin.rotation_news.take_over()
    await twin.successions.load()
    await twin.mind.load()
    await twin.mediation.load()
    await twin.routing.load()
    async with asyncio.TaskGroup() as tasks:
        working: tuple[Part, ...] = (
            twin.gossip,
            twin.directory,
            twin.mail,
            twin.mediation,
            twin.hive,
            twin.git,
            twin.rotation_news,
            twin.tasks,
            *twin.mind.running,
            twin.attestations,
            *twin.content_parts,
            twin.models.sharing,
            *twin.remembering.running,
        )
        parts = [tasks.create_task(keep_running(part, twin.resting)) for part in working]
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
