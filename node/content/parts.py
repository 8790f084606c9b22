"""All that carries a twin's content, made from its configuration."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from identity.did import Did
from identity.keys import KeyPair
from node.config import Config
from node.content.assembly import make_content, make_hosting, make_kubo
from node.content.content import Content
from node.content.finding import Finder
from node.content.hosting import Hosting
from node.content.kubo_api import KuboApi
from node.content.kubo_mirror import KuboMirror
from node.content.naming import Heads
from node.content.remote_pins import Ask, RemotePins
from node.content.routing import Routing, make_routing
from node.ground import Ground
from node.http.door import gateway_of
from node.http.gateway import Gateway
from node.supervisor import Part
from node.swarm import CAPABILITIES
from storage.blocks import BlockStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentParts:
    """What carries a twin's content. `running` are its parts that run, `gateway` is None if the owner wants none."""

    content: Content
    hosting: Hosting
    remote_pins: RemotePins
    routing: Routing
    gateway: Gateway | None
    running: Sequence[Part]
    counters: Sequence[Counter[str]]


def assemble_content(
    ground: Ground,
    config: Config,
    *,
    keys: KeyPair,
    store: BlockStore,
    kubo: KuboApi | None,
    heads: Heads,
    named: Callable[[], Awaitable[Mapping[Did, str]]],
    ask: Ask,
) -> ContentParts:
    """Everything about content over what was opened. `heads` are our playbooks', `named` the twins that we know."""
    database, network, trust = ground.database, ground.network, ground.trust
    finder = Finder(network=network, trust=trust, max_connections=config.network.max_twin_connections)
    of_kubo = (
        make_kubo(kubo, store=store, database=database, network=network, providers=finder.providers) if kubo else None
    )
    content = make_content(store=store, database=database, network=network, providers=finder.providers, kubo=of_kubo)
    hosting = make_hosting(
        config.content,
        content=content,
        store=store,
        database=database,
        network=network,
        trust=trust,
        providers=finder.providers,
    )
    remote_pins = RemotePins(database=database, ask=ask, events=ground.events)
    routing = make_routing(
        keys=keys,
        name=config.name,
        capabilities=CAPABILITIES,
        provide=config.content.provide,
        heads=heads,
        named=named,
        read=content.read,
        store=store,
        database=database,
        network=network,
    )
    gateway = gateway_of(config.public, content=content, store=store, own_name=routing.own_name)
    mirrors = [KuboMirror(of_kubo, store=store, heads=heads)] if of_kubo else []
    return ContentParts(
        content=content,
        hosting=hosting,
        remote_pins=remote_pins,
        routing=routing,
        gateway=gateway,
        running=(*routing.parts, *mirrors, hosting, remote_pins),
        counters=(
            content.counters,
            finder.counters,
            hosting.counters,
            *routing.counters,
            *((gateway.counters,) if gateway is not None else ()),
        ),
    )
