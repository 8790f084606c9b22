"""The relay over the real network: twins that know only it find each other, and it can read nothing private."""

import asyncio
import os
from pathlib import Path

import pytest

from bootstrap.relay import NoBlocks, open_relay
from identity.cid import Cid
from identity.did import did_key
from identity.multibase import CODEC_RAW
from node.gossip import Gossip, Heard
from node.net.errors import BlockNotFound, RemoteRefused
from node.net.libp2p_network import open_network
from protocols.swarm import TOPIC, TWIN_ONLINE, TwinOnline
from storage import gossip as rows
from storage.database import Database
from storage.home import Home
from tests.node.parts import new_keys, running, soon

LISTEN = ("/ip4/127.0.0.1/tcp/0",)
ONLINE = TwinOnline("Ada", (), (), ("tides",), "1").to_body()

pytestmark = pytest.mark.slow


def new_home(path: Path) -> Home:
    home = Home(path)
    home.create()
    return home


class Ear:
    """A listener that remembers what it heard."""

    def __init__(self, gossip: Gossip) -> None:
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()
        gossip.on(TWIN_ONLINE, self._hear)

    async def _hear(self, heard: Heard) -> None:
        self._heard.put_nowait(heard)

    async def next(self) -> Heard:
        return await soon(self._heard.get())


def test_a_latecomer_hears_from_the_relay_who_was_there_before(tmp_path: Path) -> None:
    async def main() -> None:
        home, relay_keys = new_home(tmp_path / "relay"), new_keys()
        ada = new_keys()
        async with open_relay(home, relay_keys, listen=LISTEN) as relay:
            assert relay.did == did_key(relay_keys.public)
            address = relay.network.addresses()[0]
            kept = Ear(relay.gossip)
            async with (
                Database.open(tmp_path / "ada.db") as database,
                open_network(ada, listen=LISTEN, blocks=NoBlocks()) as network,
            ):
                gossip = Gossip(keys=ada, network=network, database=database, sync_every_s=3600)
                await gossip.join(TOPIC)
                async with running(gossip.run()):
                    await network.dial(address)
                    await gossip.publish(TOPIC, TWIN_ONLINE, ONLINE)
                    assert (await kept.next()).author == did_key(ada.public)
        # The relay restarts, and Ada is gone.
        async with open_relay(home, relay_keys, listen=LISTEN) as relay:
            bela = new_keys()
            async with (
                Database.open(tmp_path / "bela.db") as database,
                open_network(bela, listen=LISTEN, blocks=NoBlocks()) as network,
            ):
                gossip = Gossip(keys=bela, network=network, database=database, sync_every_s=3600)
                ear = Ear(gossip)
                async with running(gossip.run()):
                    await network.dial(relay.network.addresses()[0])
                    heard = await ear.next()
                    assert (heard.author, heard.message.body) == (did_key(ada.public), ONLINE)

    asyncio.run(main())


def test_twins_without_a_direct_link_hear_each_other_through_the_relay(tmp_path: Path) -> None:
    async def main() -> None:
        ada, bela = new_keys(), new_keys()
        async with (
            open_relay(new_home(tmp_path / "relay"), new_keys(), listen=LISTEN) as relay,
            Database.open(tmp_path / "ada.db") as ada_db,
            Database.open(tmp_path / "bela.db") as bela_db,
            open_network(ada, listen=LISTEN, blocks=NoBlocks()) as ada_net,
            open_network(bela, listen=LISTEN, blocks=NoBlocks()) as bela_net,
        ):
            first = Gossip(keys=ada, network=ada_net, database=ada_db, sync_every_s=3600)
            second = Gossip(keys=bela, network=bela_net, database=bela_db, sync_every_s=3600)
            ear = Ear(second)
            for gossip, network in ((first, ada_net), (second, bela_net)):
                await gossip.join(TOPIC)
                await network.dial(relay.network.addresses()[0])
            async with running(first.run(), second.run()):
                await first.publish(TOPIC, TWIN_ONLINE, ONLINE)
                assert (await ear.next()).author == did_key(ada.public)
            assert {info.peer_id for info in bela_net.peers()} == {relay.network.peer_id}

    asyncio.run(main())


def test_it_keeps_no_garbage_takes_no_private_mail_and_serves_no_blocks(tmp_path: Path) -> None:
    async def main() -> None:
        home = new_home(tmp_path / "relay")
        async with (
            open_relay(home, new_keys(), listen=LISTEN) as relay,
            open_network(new_keys(), listen=LISTEN, blocks=NoBlocks()) as network,
        ):
            await network.subscribe(TOPIC, lambda message: None)
            peer = await network.dial(relay.network.addresses()[0])
            await network.publish(TOPIC, os.urandom(500))
            await soon(_refused(relay.gossip))
            with pytest.raises(RemoteRefused):
                await network.request(peer, "/pagi/didcomm/2.1", b"x")
            with pytest.raises(BlockNotFound):
                await network.fetch_block(Cid.of(CODEC_RAW, b"x"), [peer], timeout_s=1)
        async with Database.open(home.node_db) as database:
            assert await database.read(lambda conn: rows.since(conn, 0, 9)) == []

    asyncio.run(main())


async def _refused(gossip: Gossip) -> None:
    while not any(name.startswith("gossip_refused") for name in gossip.counters):  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.005)
