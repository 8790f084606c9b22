"""Two twins that share only a relay, over the real network: what one has and is called, the other finds.

They have no directory here, which would connect them directly: all that they know of each other comes by the DHT.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.relay import open_relay
from identity.cid import Cid
from identity.did import Did, did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_JOSE
from node.content.assembly import make_content
from node.content.content import Content
from node.content.errors import NameNotFound
from node.content.finding import Finder
from node.content.routing import Routing, make_routing
from node.net.libp2p_network import Libp2pNetwork, open_network
from node.net.settings import NetSettings
from node.trust import TrustList
from storage.blocks import BlockStore
from storage.database import Database
from storage.home import Home
from tests.node.content.test_providing import until
from tests.node.parts import new_keys, running

pytestmark = pytest.mark.slow

LISTEN = "/ip4/127.0.0.1/tcp/0"
HEAD = Cid.of(CODEC_DAG_JOSE, b"a head")


@dataclass(frozen=True, slots=True)
class Twin:
    """The parts of a twin that carry content and find it."""

    network: Libp2pNetwork
    content: Content
    routing: Routing
    finder: Finder


@contextlib.asynccontextmanager
async def open_twin(home: Path, relay: str) -> AsyncIterator[Twin]:
    keys = new_keys()
    store = BlockStore(home / "blocks", 1024**3)
    settings = NetSettings(redial_first_s=0.1, redial_max_s=0.5)
    async with (
        Database.open(home / "node.db") as database,
        open_network(keys, listen=[LISTEN], blocks=store, settings=settings) as network,
    ):
        trust = await TrustList.load(database, did_key(keys.public))
        finder = Finder(network=network, trust=trust, max_connections=32)
        content = make_content(store=store, database=database, network=network, providers=finder.providers)

        async def nobody() -> dict[Did, str]:
            return {}

        routing = make_routing(
            keys=keys,
            name=home.name,
            capabilities=("ask",),
            provide="roots",
            heads=lambda: {"common": (HEAD,)},
            named=nobody,
            read=content.read,
            store=store,
            database=database,
            network=network,
        )
        await network.dial(relay)
        await routing.load()
        async with running(*(part.run() for part in routing.parts)):
            yield Twin(network, content, routing, finder)
    store.close()


async def eventually(check: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await check():  # noqa: ASYNC110 - the relay tells nobody what it was told
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def relay_at(home: Path, keys: KeyPair, listen: str = LISTEN) -> AsyncIterator[str]:
    place = Home(home)
    place.create()
    async with open_relay(place, keys, listen=[listen]) as relay:
        yield relay.network.addresses()[0]


def test_content_and_names_are_found_through_a_relay_and_again_after_it_was_restarted(tmp_path: Path) -> None:
    async def main() -> None:
        keys = new_keys()
        async with contextlib.AsyncExitStack() as stack:
            first = contextlib.AsyncExitStack()
            address = await first.enter_async_context(relay_at(tmp_path / "relay", keys))
            ada = await stack.enter_async_context(open_twin(tmp_path / "ada", address))
            bert = await stack.enter_async_context(open_twin(tmp_path / "bert", address))
            text = os.urandom(700_000)
            cid, _ = await ada.content.add(text)
            await until(lambda: ada.routing.parts[-1].counters["provided"] >= 2)
            assert {info.peer_id for info in bert.network.peers()} == {address.rpartition("/p2p/")[2]}
            assert await bert.content.read(cid) == text
            assert bert.finder.counters["provider_dials"] == 1
            assert ada.network.peer_id in {info.peer_id for info in bert.network.peers()}

            await first.aclose()
            port = address.partition("/p2p/")[0]
            await stack.enter_async_context(relay_at(tmp_path / "relay", keys, port))
            carla = await stack.enter_async_context(open_twin(tmp_path / "carla", address))

            async def found() -> bool:
                with contextlib.suppress(NameNotFound):
                    resolved = await carla.routing.names.resolve(ada.routing.own_name.name)
                    return resolved.profile is not None and resolved.profile.name == "ada"
                return False

            await eventually(found)
            await eventually(lambda: carla.network.find_providers(cid))
            assert {info.peer_id for info in carla.network.peers()} >= {ada.network.peer_id}

    asyncio.run(main())
