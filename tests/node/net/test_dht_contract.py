"""The DHT's rules of the port, for the real network on loopback and for the fake: twins that share only a relay."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from identity.cid import Cid
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_PB, CODEC_RAW
from node.clock import now_ms
from node.net.libp2p_network import open_network
from node.net.port import Network
from node.net.settings import NetSettings
from protocols import ipns
from protocols.errors import Expired, ForgedSignature, UnusableIpnsName
from tests.node.net.fake import FakeSwarm
from tests.node.net.support import LOOPBACK, Blocks, new_keys

Opener = Callable[..., contextlib.AbstractAsyncContextManager[Network]]
CID = Cid.of(CODEC_RAW, b"something")
PATH = "/ipfs/bafkqaaa"


@contextlib.asynccontextmanager
async def real(keys: KeyPair | None = None, *, server: bool = False) -> AsyncIterator[Network]:
    settings = NetSettings(dht="server" if server else "client")
    async with open_network(keys or new_keys(), listen=[LOOPBACK], blocks=Blocks(), settings=settings) as network:
        yield network


def fakes() -> Opener:
    swarm = FakeSwarm()
    return lambda keys=None, server=False: swarm.open(keys or new_keys(), Blocks(), dht_server=server)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.slow)])
def opener(request: pytest.FixtureRequest) -> Opener:
    return fakes() if request.param == "fake" else real


def run(main: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(main())


def record(keys: KeyPair, sequence: int, *, path: str = PATH, lasts_ms: int = 3_600_000) -> bytes:
    until = now_ms() + lasts_ms
    return ipns.create_record(keys.sign, value=path, sequence=sequence, valid_until_ms=until, ttl_s=60)


def test_twins_that_share_only_a_relay_find_who_provides(opener: Opener) -> None:
    async def main() -> None:
        async with opener(server=True) as relay, opener() as one, opener() as two:
            for twin in (one, two):
                await twin.dial(relay.addresses()[0])
            assert await one.provide(CID) == 1
            (provider,) = await two.find_providers(CID)
            assert provider.peer_id == one.peer_id
            assert set(provider.addresses) == set(one.addresses())

    run(main)


def test_a_record_is_of_the_hash_whatever_the_codec(opener: Opener) -> None:
    async def main() -> None:
        async with opener(server=True) as relay, opener() as one, opener() as two:
            for twin in (one, two):
                await twin.dial(relay.addresses()[0])
            await one.provide(CID)
            found = await two.find_providers(Cid(CODEC_DAG_PB, CID.digest))
            assert [provider.peer_id for provider in found] == [one.peer_id]
            assert await two.find_providers(Cid.of(CODEC_RAW, b"something else")) == ()

    run(main)


def test_we_are_not_told_of_ourselves(opener: Opener) -> None:
    async def main() -> None:
        async with opener(server=True) as relay, opener() as one:
            await one.dial(relay.addresses()[0])
            await one.provide(CID)
            assert await one.find_providers(CID) == ()

    run(main)


def test_as_many_providers_as_were_asked_for(opener: Opener) -> None:
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            relay = await stack.enter_async_context(opener(server=True))
            twins = [await stack.enter_async_context(opener()) for _ in range(4)]
            for twin in twins:
                await twin.dial(relay.addresses()[0])
            for twin in twins[1:]:
                assert await twin.provide(CID) == 1
            found = await twins[0].find_providers(CID)
            assert {provider.peer_id for provider in found} == {twin.peer_id for twin in twins[1:]}
            assert len(await twins[0].find_providers(CID, limit=2)) == 2

    run(main)


def test_without_a_server_nobody_takes_a_record(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one, opener() as two:
            await one.dial(two.addresses()[0])
            assert await one.provide(CID) == 0
            assert await one.find_providers(CID, timeout_s=5) == ()
            keys = new_keys()
            assert await one.put_value(ipns.IpnsName(keys.public).routing_key, record(keys, 1)) == 0
            assert await one.get_value(ipns.IpnsName(keys.public).routing_key, timeout_s=5) is None
            assert await one.dht_servers() == ()

    run(main)


def test_a_name_is_stored_and_found(opener: Opener) -> None:
    async def main() -> None:
        keys = new_keys()
        key = ipns.IpnsName(keys.public).routing_key
        async with opener(server=True) as relay, opener() as one, opener() as two:
            for twin in (one, two):
                await twin.dial(relay.addresses()[0])
            first = record(keys, 1)
            assert await one.put_value(key, first) == 1
            assert await one.dht_servers() == (relay.peer_id,)
            assert await two.get_value(key) == first
            second = record(keys, 2)
            await one.put_value(key, second)
            assert await two.get_value(key) == second
            await two.put_value(key, first)
            assert await two.get_value(key) == second, "an older one takes nobody's place"

    run(main)


def test_a_record_that_does_not_hold_is_not_sent(opener: Opener) -> None:
    async def main() -> None:
        keys, other = new_keys(), new_keys()
        key = ipns.IpnsName(keys.public).routing_key
        async with opener(server=True) as relay, opener() as one:
            await one.dial(relay.addresses()[0])
            with pytest.raises(ForgedSignature):
                await one.put_value(key, record(other, 1))
            with pytest.raises(Expired):
                await one.put_value(key, record(keys, 1, lasts_ms=-2000))
            with pytest.raises(UnusableIpnsName):
                await one.put_value(b"/pk/something", record(keys, 1))
            assert await one.get_value(key) is None

    run(main)
