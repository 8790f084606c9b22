"""A stock Kubo as a peer of the DHT: what only Kubo provides is found and fetched by us, and the other way round.

Kubo keeps two DHTs apart; on loopback and private networks it speaks `/ipfs/lan/kad/1.0.0`, and so does our server.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from identity.cid import Cid
from identity.keys import KeyPair
from identity.multibase import CODEC_RAW
from node.clock import now_ms
from node.net.libp2p_network import Libp2pNetwork, open_network
from node.net.settings import NetSettings
from protocols import ipns
from protocols.profile import Profile
from tests.interop.kubo import Kubo, kubo_for_tests
from tests.node.net.support import Blocks

pytestmark = [pytest.mark.kubo, pytest.mark.slow]

LISTED_S = 40
"""Kubo tells whom it takes into its routing table only when asked, and checks each peer first."""

_ROUTING = {
    "Provide.Enabled": True,
    "Routing.LoopbackAddressesOnLanDHT": True,
    "Routing.Type": "dhtserver",
}


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    """The peer, with its DHT on."""
    with kubo_for_tests(tmp_path_factory.mktemp("kubo") / "repository", _ROUTING) as running:
        yield running


@contextlib.asynccontextmanager
async def open_node(blocks: Blocks | None = None, *, server: bool = False) -> AsyncIterator[Libp2pNetwork]:
    settings = NetSettings(dht="server" if server else "client")
    keys, blocks = KeyPair(os.urandom(32)), blocks if blocks is not None else Blocks()
    async with open_network(keys, listen=["/ip4/127.0.0.1/tcp/0"], blocks=blocks, settings=settings) as network:
        yield network


async def ipfs(kubo: Kubo, *arguments: str, stdin: bytes = b"") -> bytes:
    return await asyncio.to_thread(lambda: kubo.ipfs(*arguments, stdin=stdin))


async def in_its_table(kubo: Kubo, network: Libp2pNetwork) -> None:
    """Wait until Kubo asks us as a server."""
    async with asyncio.timeout(LISTED_S):
        while network.peer_id.encode() not in await ipfs(kubo, "stats", "dht", "lan"):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.2)


def test_what_only_kubo_provides_is_found_through_it(kubo: Kubo) -> None:
    async def main() -> None:
        added = await ipfs(kubo, "add", "--cid-version=1", "--quieter", stdin=b"only Kubo has this")
        cid = Cid.parse(added.decode().strip())
        async with open_node() as node:
            await node.dial(kubo.address())
            (provider,) = await node.find_providers(cid)
            assert provider.peer_id == kubo.document("id")["ID"]
            assert await node.fetch_block(cid, [provider.peer_id]) == b"only Kubo has this"

    asyncio.run(main())


def test_kubo_keeps_what_we_provide_for_others(kubo: Kubo) -> None:
    async def main() -> None:
        cid = Cid.of(CODEC_RAW, os.urandom(32))
        async with open_node() as one, open_node() as two:
            for node in (one, two):
                await node.dial(kubo.address())
            assert await one.provide(cid) == 1
            (provider,) = await two.find_providers(cid)
            assert (provider.peer_id, provider.addresses) == (one.peer_id, one.addresses())
            listed = await ipfs(kubo, "routing", "findprovs", "--num-providers=1", str(cid))
            assert listed.decode().split() == [one.peer_id]

    asyncio.run(main())


def test_kubo_finds_through_our_relay_what_only_our_twin_has(kubo: Kubo) -> None:
    """Kubo knows our relay alone; the twin that has the content knows the relay alone."""

    async def main() -> None:
        blocks = Blocks()
        content = os.urandom(1000)
        cid = blocks.put(content)
        async with open_node(server=True) as relay, open_node(blocks) as twin:
            await twin.dial(relay.addresses()[0])
            await ipfs(kubo, "swarm", "connect", relay.addresses()[0])
            assert await twin.provide(cid) == 1
            await in_its_table(kubo, relay)
            listed = await ipfs(kubo, "routing", "findprovs", "--num-providers=1", str(cid))
            assert listed.decode().split() == [twin.peer_id]
            assert await ipfs(kubo, "cat", str(cid)) == content

    asyncio.run(main())


def test_a_twin_finds_through_our_relay_what_kubo_provided_there(kubo: Kubo) -> None:
    async def main() -> None:
        content = b"Kubo tells the relay about this"
        async with open_node(server=True) as relay, open_node() as twin:
            await ipfs(kubo, "swarm", "connect", relay.addresses()[0])
            await in_its_table(kubo, relay)
            added = await ipfs(kubo, "add", "--cid-version=1", "--quieter", stdin=content)
            cid = Cid.parse(added.decode().strip())
            await ipfs(kubo, "routing", "provide", str(cid))
            await twin.dial(relay.addresses()[0])
            (provider,) = await twin.find_providers(cid)
            assert provider.peer_id == kubo.document("id")["ID"]
            await twin.dial(provider.addresses[0])
            assert await twin.fetch_block(cid, [provider.peer_id]) == content

    asyncio.run(main())


def test_names_go_both_ways_through_the_dht(kubo: Kubo) -> None:
    async def main() -> None:
        keys = KeyPair(os.urandom(32))
        name = ipns.IpnsName(keys.public)
        record = ipns.create_record(
            keys.sign, value="/ipfs/bafkqaaa", sequence=7, valid_until_ms=now_ms() + 3_600_000, ttl_s=60
        )
        async with open_node(server=True) as relay, open_node() as twin:
            await twin.dial(relay.addresses()[0])
            await ipfs(kubo, "swarm", "connect", relay.addresses()[0])
            await in_its_table(kubo, relay)
            assert await twin.put_value(name.routing_key, record) >= 1
            assert await ipfs(kubo, "routing", "get", f"/ipns/{name}") == record
            resolved = await ipfs(kubo, "name", "resolve", "--nocache", str(name))
            assert resolved.decode().strip() == "/ipfs/bafkqaaa"

            await ipfs(kubo, "name", "publish", "--resolve=false", "/ipfs/bafkqaaa")
            theirs = ipns.parse_name(kubo.document("id")["ID"])
            found = await twin.get_value(theirs.routing_key)
            assert found is not None
            assert ipns.verify_record(theirs, found, now_ms=now_ms()).value == "/ipfs/bafkqaaa"

    asyncio.run(main())


def test_kubo_reads_a_twins_profile_by_its_name(kubo: Kubo) -> None:
    async def main() -> None:
        keys, blocks = KeyPair(os.urandom(32)), Blocks()
        name = ipns.IpnsName(keys.public)
        head = blocks.put(b"stands for a head")
        profile = Profile(
            did=name.did, name="Ada", capabilities=("ask",), playbooks={"common": (head,)}, updated_ms=now_ms()
        )
        cid, block = profile.to_block()
        blocks[cid] = block
        record = ipns.create_record(
            keys.sign, value=f"/ipfs/{cid}", sequence=1, valid_until_ms=now_ms() + 3_600_000, ttl_s=60
        )
        async with open_node(server=True) as relay, open_node(blocks) as twin:
            await twin.dial(relay.addresses()[0])
            await ipfs(kubo, "swarm", "connect", relay.addresses()[0])
            await in_its_table(kubo, relay)
            assert await twin.put_value(name.routing_key, record) >= 1
            assert await twin.provide(cid) >= 1
            shown = json.loads(await ipfs(kubo, "dag", "get", f"/ipns/{name}"))
            assert (shown["name"], shown["did"]) == ("Ada", name.did)
            assert shown["playbooks"] == {"common": [{"/": str(head)}]}
            assert await ipfs(kubo, "cat", f"/ipns/{name}/playbooks/common/0") == b"stands for a head"

    asyncio.run(main())
