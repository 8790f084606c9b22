"""The DHT among peers that lie, flood, say nothing or go away; the real network on loopback."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.exceptions import BaseLibp2pError
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr
from trio._core._run import SystemClock

from identity.cid import Cid
from identity.keys import KeyPair
from identity.multibase import CODEC_RAW, encode_varint
from node.clock import now_ms
from node.net import dht_wire as wire
from node.net.counters import Counters
from node.net.dht_records import DhtRecords
from node.net.dht_server import DhtServer
from node.net.libp2p_network import Libp2pNetwork, open_network
from node.net.settings import NetSettings
from node.net.streams import Inflow
from protocols import ipns, limits
from protocols.framing import encode_frame
from tests.node.net.raw import as_raw_peer, throwing
from tests.node.net.support import LOOPBACK, Blocks, new_keys, until
from tests.node.net.test_dht_wire import ODD_ADDRESS
from tests.node.net.test_libp2p_network import crash

pytestmark = pytest.mark.slow

CID = Cid.of(CODEC_RAW, b"something")
KEY = b"\x12\x20" + CID.digest
VICTIM = ID.from_base58("12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB")


@contextlib.asynccontextmanager
async def node(dht: Any = "client", keys: KeyPair | None = None, listen: str = LOOPBACK) -> AsyncIterator[Any]:
    settings = NetSettings(dht=dht, redial_first_s=0.1, redial_max_s=0.5)
    async with open_network(keys or new_keys(), listen=[listen], blocks=Blocks(), settings=settings) as network:
        yield network


def record(keys: KeyPair, sequence: int, *, lasts_ms: int = 3_600_000) -> bytes:
    return ipns.create_record(
        keys.sign, value="/ipfs/bafkqaaa", sequence=sequence, valid_until_ms=now_ms() + lasts_ms, ttl_s=60
    )


async def eventually(check: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(20):
        while not await check():  # noqa: ASYNC110 - what a peer has told is told to nobody
            await asyncio.sleep(0.05)


async def is_served(relay: Libp2pNetwork) -> None:
    """Two others provide and find through this relay."""
    async with node() as one, node() as two:
        cid = Cid.of(CODEC_RAW, os.urandom(16))
        for twin in (one, two):
            await twin.dial(relay.addresses()[0])
        assert await one.provide(cid) == 1
        assert [provider.peer_id for provider in await two.find_providers(cid)] == [one.peer_id]


def a_put(key: bytes, value: bytes, *, record_key: bytes | None = None) -> bytes:
    message = Message(type="PUT_VALUE", key=key)
    message.record.key, message.record.value = record_key if record_key is not None else key, value
    return encode_frame(message.SerializeToString())


def refused_messages() -> list[bytes]:
    keys, other = new_keys(), new_keys()
    name = ipns.IpnsName(keys.public).routing_key
    return [
        encode_frame(b"\xff" * 40),
        encode_varint(limits.MAX_DHT_REQUEST_BYTES + 1) + b"x",
        b"\xff" * 10,
        encode_frame(Message(type="GET_VALUE", key=b"x" * (limits.MAX_DHT_KEY_BYTES + 1)).SerializeToString()),
        encode_frame(Message(type="FIND_NODE").SerializeToString()),
        encode_frame(Message(type="ADD_PROVIDER", key=KEY).SerializeToString()),
        wire.write("add_provider", KEY, providers=[wire.Peer(VICTIM, (b"\x04\x7f\x00\x00\x01\x06\x12\xc1",))]),
        encode_frame(Message(type="PUT_VALUE", key=name).SerializeToString()),
        a_put(name, record(other, 1)),
        a_put(name, record(keys, 1, lasts_ms=-5000)),
        a_put(name, record(keys, 1), record_key=ipns.IpnsName(other.public).routing_key),
        a_put(name, os.urandom(limits.MAX_IPNS_RECORD_BYTES + 1)),
        a_put(b"/pk/" + b"x" * 34, record(keys, 1)),
        a_put(b"/else/x", record(keys, 1)),
        a_put(b"x", b"y"),
        wire.write("get_providers", KEY)[:-1],
    ]


def test_what_is_out_of_form_or_forged_is_refused_and_counted() -> None:
    async def main() -> None:
        async with node("server") as relay:
            messages = refused_messages()
            await as_raw_peer(relay.addresses()[0], throwing(wire.PROTOCOL, messages))
            await until(relay, "dht_requests_refused", len(messages))
            assert relay.counters().get("streams_failed", 0) == 0
            assert "dht_values_taken" not in relay.counters()
            assert "dht_provider_records_taken" not in relay.counters()
            await is_served(relay)

    asyncio.run(main())


def test_an_older_record_of_a_name_is_refused() -> None:
    async def main() -> None:
        keys = new_keys()
        name = ipns.IpnsName(keys.public).routing_key
        async with node("server") as relay, node() as twin:
            await twin.dial(relay.addresses()[0])
            newest = record(keys, 9)
            assert await twin.put_value(name, newest) == 1
            await as_raw_peer(relay.addresses()[0], throwing(wire.LAN_PROTOCOL, [a_put(name, record(keys, 8))]))
            await until(relay, "dht_records_refused")
            assert await twin.put_value(name, record(keys, 7)) == 0, "the sender is told that it was not taken"
            assert await twin.get_value(name) == newest

    asyncio.run(main())


def test_ten_thousand_records_of_one_peer_are_taken_slowly_and_not_all() -> None:
    """What one peer may have is in test_dht_records; here, that it cannot have it at once nor hold others up."""

    async def main() -> None:
        async with node("server") as relay:

            async def flood(host: Any, victim: Any) -> None:
                own = wire.Peer(host.get_id(), (b"\x04\x7f\x00\x00\x01\x06\x12\xc1",))
                stream = await host.new_stream(victim, [wire.PROTOCOL])
                with contextlib.suppress(BaseLibp2pError):
                    for number in range(10_000):
                        key = b"\x12\x20" + number.to_bytes(32)
                        await stream.write(wire.write("add_provider", key, providers=[own]))

            flooding = asyncio.create_task(as_raw_peer(relay.addresses()[0], flood))
            await until(relay, "dht_paced")
            await is_served(relay)
            taken = relay.counters()["dht_provider_records_taken"]
            assert taken < limits.MAX_PROVIDER_RECORDS_PER_PEER
            await flooding

    asyncio.run(main())


def test_all_peers_together_are_served_only_so_fast() -> None:
    async def main() -> int:
        handlers: dict[str, Any] = {}
        host = SimpleNamespace(set_stream_handler=handlers.__setitem__)
        server = DhtServer(host, Inflow(), Counters(), lambda key: [], records=DhtRecords())
        assert set(handlers) == {wire.PROTOCOL, wire.LAN_PROTOCOL}
        return sum(server._has_turn(ID(number.to_bytes(34))) for number in range(10_000))

    clock = trio.testing.MockClock()
    assert trio.run(main, clock=clock) == limits.DHT_ALL_REQUESTS_BURST


def test_one_peer_has_a_few_streams() -> None:
    async def main() -> None:
        async with node("server") as relay:

            async def many(host: Any, victim: Any) -> None:
                for _ in range(limits.MAX_DHT_STREAMS + 5):
                    with contextlib.suppress(BaseLibp2pError):
                        await host.new_stream(victim, [wire.PROTOCOL])

            await as_raw_peer(relay.addresses()[0], many)
            await until(relay, "streams_refused", 5)
            await is_served(relay)

    asyncio.run(main())


@contextlib.asynccontextmanager
async def answering(answer: Callable[[wire.Incoming], Awaitable[bytes | None]]) -> AsyncIterator[Any]:
    """A server that answers as a test wants: a node of ours whose answers are replaced."""
    async with node("server") as server:
        handled = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def handle(stream: Any) -> None:
            frames: list[bytes] = []
            data = bytearray()
            while not frames:
                data += await stream.read(65536)
                length, offset = data[0] & 0x7F | ((data[1] << 7) if data[0] & 0x80 else 0), 1 + (data[0] >> 7)
                if len(data) >= offset + length:
                    frames.append(bytes(data[offset : offset + length]))
            said = await answer(wire.parse(frames[0]))
            loop.call_soon_threadsafe(handled.set)
            if said is None:
                await trio.sleep_forever()
            else:
                await stream.write(said)
                await stream.close()

        def replace() -> None:
            host = server._core._host
            for protocol in (wire.PROTOCOL, wire.LAN_PROTOCOL):
                host.set_stream_handler(protocol, handle)

        server._thread.submit(replace)
        yield server, handled


def test_a_server_that_says_nothing_costs_a_time_that_is_bounded() -> None:
    async def silent(asked: wire.Incoming) -> None:
        return None

    async def main() -> None:
        async with answering(silent) as (mute, handled), node("server") as relay, node() as one, node() as two:
            for twin in (one, two):
                await twin.dial(relay.addresses()[0])
            await one.provide(CID)
            await two.dial(mute.addresses()[0])
            async with asyncio.timeout(20):
                found = await two.find_providers(CID, timeout_s=3)
            assert [provider.peer_id for provider in found] == [one.peer_id]
            assert handled.is_set()

    asyncio.run(main())


def test_doors_that_a_stranger_names_are_not_knocked_at() -> None:
    """A lying server names closer ones at private addresses, and itself as thousands."""
    addresses = [wire.write_addresses([f"/ip4/{ip}/tcp/4001"], VICTIM) for ip in ("10.0.0.1", "192.168.1.1", "0.0.0.0")]
    names = [ID(b"\x12\x20" + os.urandom(32)) for _ in range(300)]

    async def lie(asked: wire.Incoming) -> bytes:
        peers = [wire.Peer(name, addresses[number % 3]) for number, name in enumerate(names)]
        return wire.write(asked.kind, asked.key, closer=peers, providers=peers[:50])

    async def main() -> None:
        async with answering(lie) as (liar, handled), node() as twin:
            await twin.dial(liar.addresses()[0])
            found = await twin.find_providers(CID, limit=20, timeout_s=5)
            assert len(found) == 20, "what it says of providers is passed on as what it is: its word"
            await twin.provide(CID)
            assert handled.is_set()
            assert "dht_dials" not in twin.counters()

    asyncio.run(main())


def test_a_forged_or_older_name_does_not_win_and_the_server_is_told_the_newer() -> None:
    keys, other = new_keys(), new_keys()
    name = ipns.IpnsName(keys.public).routing_key
    old, newest = record(keys, 1), record(keys, 2)
    put: list[bytes | None] = []
    values = {"forged": record(other, 99), "older": old}

    async def main(said: bytes) -> None:
        async def lie(asked: wire.Incoming) -> bytes:
            if asked.kind == "put_value":
                put.append(asked.value)
            return wire.write(asked.kind, asked.key, value=said if asked.kind == "get_value" else asked.value)

        async with answering(lie) as (liar, _), node("server") as relay, node() as one, node() as two:
            await one.dial(relay.addresses()[0])
            assert await one.put_value(name, newest) == 1
            for server in (relay, liar):
                await two.dial(server.addresses()[0])
            assert await two.get_value(name) == newest
            if said == values["forged"]:
                assert two.counters()["dht_values_refused"] >= 1
                assert not put
            else:
                assert put == [newest]

    for said in values.values():
        put.clear()
        asyncio.run(main(said))


def test_servers_that_another_server_names_are_asked_too() -> None:
    """Two relays in a row: a twin that is connected to one finds what was told to the other."""

    async def main() -> None:
        async with node("server") as near, node("server") as far, node() as one, node() as two:
            await near.dial(far.addresses()[0])
            await one.dial(far.addresses()[0])
            await eventually(near.dht_servers)
            assert await one.provide(CID) >= 1
            await two.dial(near.addresses()[0])
            assert [provider.peer_id for provider in await two.find_providers(CID)] == [one.peer_id]

    asyncio.run(main())


def test_a_server_keeps_its_records_when_its_thread_is_restarted() -> None:
    async def main() -> None:
        async with node("server") as relay, node() as one, node() as two:
            for twin in (one, two):
                await twin.dial(relay.addresses()[0])
            assert await one.provide(CID) == 1
            crash(relay)
            await until(relay, "restarts")
            await eventually(lambda: two.find_providers(CID, timeout_s=3))
            crash(two)
            await until(two, "restarts")
            await eventually(lambda: two.find_providers(CID, timeout_s=3))

    asyncio.run(main())


def test_records_outlive_the_thread_whose_clock_begins_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run of trio adds another number to its clock: up to 190,000 s, where a record lives for 172,800."""
    offsets = iter((10_000.0, 200_000.0, *[10_000.0] * 20))
    system_clock: Any = SystemClock
    monkeypatch.setattr(system_clock, "__init__", lambda clock: object.__setattr__(clock, "offset", next(offsets)))

    async def main() -> None:
        async with node("server") as relay:
            records = relay._dht_records
            assert records is not None
            assert await relay.provide(CID) == 0
            assert len(records.providers) == 1, "a server keeps its own"
            crash(relay)
            await until(relay, "restarts")
            async with node() as twin:
                await twin.dial(relay.addresses()[0])
                assert [provider.peer_id for provider in await twin.find_providers(CID)] == [relay.peer_id]

    asyncio.run(main())


def test_a_server_with_an_address_that_has_no_text_spoils_nothing_for_others() -> None:
    told, done = threading.Event(), threading.Event()

    async def misname(host: Any, victim: Any) -> None:
        async def ignore(stream: Any) -> None:
            await stream.reset()

        host.set_stream_handler(wire.PROTOCOL, ignore)
        host.get_addrs = lambda: [Multiaddr(ODD_ADDRESS)]
        info = PeerInfo(victim, host.get_peerstore().addrs(victim))
        await host.disconnect(victim)
        await host.connect(info)
        told.set()
        await trio.to_thread.run_sync(done.wait)

    async def main() -> None:
        async with node("server") as relay:
            hostile = asyncio.create_task(as_raw_peer(relay.addresses()[0], misname))
            try:
                await asyncio.to_thread(told.wait, 10)
                await eventually(relay.dht_servers)
                await is_served(relay)
                assert await relay.find_providers(Cid.of(CODEC_RAW, b"nobody has this"), timeout_s=3) == ()
                assert relay.counters().get("streams_failed", 0) == 0
            finally:
                done.set()
                await hostile

    asyncio.run(main())


def test_off_is_off_and_a_client_serves_nobody() -> None:
    async def main() -> None:
        keys = new_keys()
        name = ipns.IpnsName(keys.public).routing_key
        async with node("server") as relay, node("off") as off, node() as client:
            for twin in (off, client):
                await twin.dial(relay.addresses()[0])
            assert await off.provide(CID) == await off.put_value(name, record(keys, 1)) == 0
            assert await off.find_providers(CID) == await off.dht_servers() == ()
            assert await off.get_value(name) is None
            assert await client.provide(CID) == 1
            assert await relay.dht_servers() == ()

    asyncio.run(main())
