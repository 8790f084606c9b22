"""A peer that wants to use our memory or our time up: it is bounded, paced or ended, and nothing of it is kept."""

import asyncio
import contextlib
from typing import Any

import pytest
import trio
from libp2p.bitswap.pb.bitswap_pb2 import Message as BitswapMessage
from libp2p.exceptions import BaseLibp2pError
from libp2p.pubsub.pb import rpc_pb2

from identity.multibase import encode_varint
from node.net import bitswap_sending, bitswap_wire, gossip, streams
from node.net.core import Core
from node.net.gossip_router import PROTOCOL as MESHSUB
from node.net.settings import NetSettings
from protocols import limits
from protocols.framing import encode_frame
from tests.node.net.raw import as_raw_peer
from tests.node.net.support import TOPIC, Blocks, Inbox, real, real_with, until

pytestmark = pytest.mark.slow

ECHO = "/pagi/test-echo/1.0"


async def echo(peer: str, payload: bytes) -> bytes:
    return payload


def dripping(protocol: str) -> Any:
    """Begin a frame and send a byte of it now and then, until the stream is ended by the other side."""

    async def deed(host: Any, victim: Any) -> None:
        stream = await host.new_stream(victim, [protocol])
        await stream.write(encode_varint(10_000))
        with contextlib.suppress(BaseLibp2pError):
            while True:
                await stream.write(b"x")
                await trio.sleep(0.02)

    return deed


@pytest.mark.parametrize("protocol", [ECHO, bitswap_wire.PROTOCOL, MESHSUB])
def test_a_frame_that_comes_byte_by_byte_ends_its_stream(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FRAME_S", 0.2)

    async def main() -> None:
        async with real() as network:
            await network.serve(ECHO, echo, max_request_bytes=10_000, max_in_flight_per_peer=3)
            async with asyncio.timeout(20):
                await as_raw_peer(network.addresses()[0], dripping(protocol))

    asyncio.run(main())


def test_what_is_half_received_is_bounded_over_all_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_HALF_RECEIVED_BYTES", 50_000)

    async def begin_many(host: Any, victim: Any) -> None:
        for _ in range(4):
            stream = await host.new_stream(victim, [ECHO])
            await stream.write(encode_varint(30_000) + bytes(20_000))
        await trio.sleep(0.2)

    async def main() -> None:
        async with real() as network, real() as friend:
            await network.serve(ECHO, echo, max_request_bytes=30_000, max_in_flight_per_peer=3)
            await friend.dial(network.addresses()[0])
            await as_raw_peer(network.addresses()[0], begin_many)
            await until(network, "frames_refused")
            whole = bytes(30_000)  # all the room is free again
            assert await friend.request(network.peer_id, ECHO, whole) == whole

    asyncio.run(main())


def test_a_neighbour_gossips_on_a_few_streams_only() -> None:
    async def open_many(host: Any, victim: Any) -> None:
        for _ in range(gossip.MAX_STREAMS + 3):
            with contextlib.suppress(BaseLibp2pError):
                stream = await host.new_stream(victim, [MESHSUB])
                await stream.write(b"\x05half")
        await trio.sleep(0.2)

    async def main() -> None:
        async with real() as network:
            await as_raw_peer(network.addresses()[0], open_many)
            await until(network, "streams_refused", 3)

    asyncio.run(main())


def test_frames_that_say_nothing_and_wants_of_everything_are_paced() -> None:
    wanting = rpc_pb2.RPC()
    wanting.control.iwant.add(messageIDs=[b"%d" % number for number in range(200)])

    async def chatter(host: Any, victim: Any) -> None:
        stream = await host.new_stream(victim, [MESHSUB])
        await stream.write(encode_frame(b"") * 200 + encode_frame(wanting.SerializeToString()))
        await trio.sleep(0.5)

    async def main() -> None:
        async with real_with(NetSettings(gossip_rate_per_s=1, gossip_burst=5)) as network, real() as friend:
            inbox = Inbox()
            await network.subscribe(TOPIC, inbox)
            await friend.subscribe(TOPIC, Inbox())
            await friend.dial(network.addresses()[0])
            attack = asyncio.create_task(as_raw_peer(network.addresses()[0], chatter))
            await until(network, "gossip_paced")
            await friend.publish(TOPIC, b"still here")
            assert (await inbox.next()).data == b"still here"
            await attack

    asyncio.run(main())


def test_a_peer_that_wants_too_much_waits_and_still_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WANTS_BURST", 3)
    monkeypatch.setattr(limits, "WANTS_PER_S", 20.0)

    async def main() -> None:
        blocks = Blocks()
        wanted = [blocks.put(b"%d" % number) for number in range(6)]
        async with real(blocks=blocks) as owner, real() as friend:
            await friend.dial(owner.addresses()[0])
            for number, cid in enumerate(wanted):
                assert await friend.fetch_block(cid, [owner.peer_id]) == b"%d" % number
            assert owner.counters()["bitswap_paced"] >= 1

    asyncio.run(main())


def test_blocks_for_a_peer_that_does_not_read_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitswap_sending, "WRITE_S", 0.3)
    blocks = Blocks()
    wants = BitswapMessage()
    for number in range(24):  # more than the library takes before anything is read
        wants.wantlist.entries.add(block=bytes(blocks.put(bytes([number]) * 900_000)))

    async def ask_and_not_read(host: Any, victim: Any) -> None:
        async def unread(stream: Any) -> None:
            await trio.sleep(5)

        host.set_stream_handler(bitswap_wire.PROTOCOL, unread)
        stream = await host.new_stream(victim, [bitswap_wire.PROTOCOL])
        await stream.write(encode_frame(wants.SerializeToString()))
        await trio.sleep(1.5)

    async def main() -> None:
        async with real(blocks=blocks) as owner:
            await as_raw_peer(owner.addresses()[0], ask_and_not_read)
            await until(owner, "bitswap_messages_dropped")

    asyncio.run(main())


def test_nothing_is_kept_of_peers_that_come_and_go() -> None:
    async def speak(host: Any, victim: Any) -> None:
        for protocol, data in ((MESHSUB, encode_frame(b"")), (ECHO, encode_frame(b"hello"))):
            stream = await host.new_stream(victim, [protocol])
            await stream.write(data)
        await trio.sleep(0.1)

    async def main() -> None:
        async with real() as network:
            await network.serve(ECHO, echo, max_request_bytes=100, max_in_flight_per_peer=3)
            core: Core = network._core  # type: ignore[attr-defined]
            for count in range(1, 4):
                await as_raw_peer(network.addresses()[0], speak)
                await until(network, "peers_connected", count)
            async with asyncio.timeout(20):
                while network.peers() or _kept(core):  # noqa: ASYNC110 - nobody is told when the last bit is gone
                    await asyncio.sleep(0.05)

    asyncio.run(main())


def _kept(core: Core) -> list[str]:
    """Where something is kept for a peer, bounded tables apart."""
    return [
        f"{type(part).__name__}.{name}"
        for part in (
            core._gossip,
            core._gossip.router,
            core._connections,
            core._requester,
            core._bitswap,
            core._bitswap._fetching,
            core._bitswap._serving,
            core._bitswap._sending,
        )
        for name, value in vars(part).items()
        if isinstance(value, dict | set) and any(type(_peer_in(key)).__name__ == "ID" for key in value)
    ]


def _peer_in(key: object) -> object:
    return key[0] if isinstance(key, tuple) else key


def asking(times: int, then: Any) -> Any:
    """Send requests on a stream, read no reply, and go on with `then`."""

    async def deed(host: Any, victim: Any) -> None:
        stream = await host.new_stream(victim, [ECHO])
        await stream.write(encode_frame(b"a long story, please") * times)
        await then(stream)

    return deed


def test_replies_that_a_peer_does_not_read_are_not_gathered() -> None:
    """Else twenty bytes would cost a megabyte of memory each, for as long as the peer takes a byte now and then."""
    told = 0

    async def tell(peer: str, payload: bytes) -> bytes:
        nonlocal told
        told += 1
        return bytes(1_000_000)

    async def wait(stream: Any) -> None:
        await trio.sleep(1)

    async def main() -> None:
        async with real() as network:
            await network.serve(ECHO, tell, max_request_bytes=100, max_in_flight_per_peer=3)
            await as_raw_peer(network.addresses()[0], asking(100, wait))
            assert 3 <= told < 20, "the other side's own windows hold a few"

    asyncio.run(main())


def test_a_stream_that_is_opened_anew_does_not_raise_the_bound() -> None:
    under_way = most = 0
    done = asyncio.Event()

    async def ponder(peer: str, payload: bytes) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await done.wait()
        under_way -= 1
        return payload

    async def again_and_again(host: Any, victim: Any) -> None:
        async def leave(stream: Any) -> None:
            await trio.sleep(0.1)
            await stream.reset()

        for _ in range(4):
            await asking(3, leave)(host, victim)
        answers = await host.new_stream(victim, [ECHO])
        asyncio_loop.call_soon_threadsafe(done.set)
        await answers.write(encode_frame(b"now"))
        with trio.fail_after(20):
            assert await answers.read(4) == encode_frame(b"now"), "it is served again once all have ended"

    async def main() -> None:
        nonlocal asyncio_loop
        asyncio_loop = asyncio.get_running_loop()
        async with real() as network:
            await network.serve(ECHO, ponder, max_request_bytes=100, max_in_flight_per_peer=3)
            await as_raw_peer(network.addresses()[0], again_and_again)
            assert most == 3

    asyncio_loop: Any = None
    asyncio.run(main())
