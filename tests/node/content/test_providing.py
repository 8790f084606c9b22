"""Telling the DHT what this twin has, on a network in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from identity.cid import Cid
from identity.did import PeerId
from identity.keys import KeyPair
from identity.multibase import CODEC_RAW
from node.content.providing import FEW_SERVERS, Providing
from node.net.errors import NetworkDown
from node.net.port import PeerDisconnected, PeerEvent
from protocols import limits
from tests.node.net.fake import FakeNetwork, FakeSwarm
from tests.node.net.support import Blocks
from tests.node.parts import PATIENCE_S, new_keys, running


def cids(count: int) -> list[Cid]:
    return [Cid.of(CODEC_RAW, str(number).encode()) for number in range(count)]


class Scene:
    def __init__(self) -> None:
        self.swarm = FakeSwarm()
        self.roots: list[Cid] = []

    @asynccontextmanager
    async def network(self, keys: KeyPair | None = None, *, server: bool = False) -> AsyncIterator[FakeNetwork]:
        async with self.swarm.open(keys or new_keys(), Blocks(), dht_server=server) as network:
            yield network

    def providing(self, network: Any, every_s: float = limits.REPROVIDE_S) -> Providing:
        async def roots() -> list[Cid]:
            return self.roots

        return Providing(network=network, roots=roots, every_s=every_s, check_s=0.01)

    def told(self) -> set[Cid]:
        return {cid for cid in self.roots if self.swarm.provided.get(cid.digest)}


class Net:
    """A network with one server that takes everything; tests change what they want otherwise."""

    def __init__(self) -> None:
        self.servers = ["one"]
        self.events: asyncio.Queue[PeerEvent] = asyncio.Queue()
        self.told: list[Cid] = []
        self.looks = 0

    async def dht_servers(self) -> tuple[str, ...]:
        self.looks += 1
        return tuple(self.servers)

    async def provide(self, cid: Cid) -> int:
        self.told.append(cid)
        return 1

    async def peer_events(self) -> AsyncIterator[PeerEvent]:
        while True:
            yield await self.events.get()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not check():  # noqa: ASYNC110 - what is looked at tells nobody
            await asyncio.sleep(0.005)


def test_what_is_there_and_what_comes_later_is_told() -> None:
    async def main() -> None:
        here = Scene()
        async with here.network() as network, here.network(server=True) as relay:
            here.roots = cids(3)
            providing = here.providing(network)
            async with running(providing.run()):
                await network.dial(relay.addresses()[0])
                await until(lambda: here.told() == set(here.roots))
                here.roots = cids(5)
                await until(lambda: here.told() == set(here.roots))
            assert providing.counters["provided"] == 5

    asyncio.run(main())


def test_it_is_told_again_after_a_while() -> None:
    async def main() -> None:
        here = Scene()
        async with here.network() as network, here.network(server=True) as relay:
            await network.dial(relay.addresses()[0])
            here.roots = cids(2)
            providing = here.providing(network, every_s=0.05)
            async with running(providing.run()):
                await until(lambda: providing.counters["provided"] >= 6)

    asyncio.run(main())


def test_a_server_that_lost_its_records_is_told_all_at_once() -> None:
    async def main() -> None:
        here, keys = Scene(), new_keys()
        async with here.network() as network:
            here.roots = cids(3)
            async with running(here.providing(network).run()):
                async with here.network(keys, server=True) as relay:
                    await network.dial(relay.addresses()[0])
                    await until(lambda: here.told() == set(here.roots))
                here.swarm.provided.clear()
                async with here.network(keys, server=True):
                    await until(lambda: here.told() == set(here.roots))

    asyncio.run(main())


def test_one_more_server_among_many_is_no_reason_to_tell_all_again() -> None:
    async def main() -> None:
        here, net = Scene(), Net()
        net.servers = [str(number) for number in range(FEW_SERVERS + 1)]
        here.roots = cids(2)
        providing = here.providing(net)
        async with running(providing.run()):
            await until(lambda: providing.counters["provided"] == 2)
            net.servers.append("another")
            here.roots = cids(3)
            await until(lambda: providing.counters["provided"] == 3)
        assert providing.counters["provided"] == 3

    asyncio.run(main())


def test_no_more_is_told_than_a_server_takes() -> None:
    async def main() -> None:
        here, net = Scene(), Net()
        here.roots = cids(limits.MAX_PROVIDED + 7)
        providing = here.providing(net)
        async with running(providing.run()):
            await until(lambda: len(net.told) >= 8)
        assert providing.counters["provide_left_out"] == 7
        assert set(net.told) <= set(here.roots[: limits.MAX_PROVIDED])

    asyncio.run(main())


def test_what_nobody_took_waits_and_a_network_that_is_down_ends_nothing() -> None:
    async def main() -> None:
        class Refusing(Net):
            async def dht_servers(self) -> tuple[str, ...]:
                servers = await super().dht_servers()
                if self.looks == 5:
                    self.events.put_nowait(PeerDisconnected(PeerId("one")))
                    raise NetworkDown("restarted")
                return servers

            async def provide(self, cid: Cid) -> int:
                await super().provide(cid)
                return 0

        here, net = Scene(), Refusing()
        here.roots = cids(1)
        async with running(here.providing(net).run()):
            await until(lambda: net.looks > 10)
        assert len(net.told) == 2, "once at first, and once after the restart, when the server is a new one"

    asyncio.run(main())
