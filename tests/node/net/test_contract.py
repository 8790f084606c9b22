"""The rules of the port, for the real network on loopback and for the fake."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from identity.cid import Cid
from identity.did import PeerId, did_of_peer_id
from identity.multibase import CODEC_RAW
from node.net.errors import (
    BlockNotFound,
    MalformedAddress,
    MessageTooLarge,
    RemoteRefused,
    RemoteTimeout,
    RemoteUnavailable,
)
from node.net.port import PeerConnected, PeerDisconnected
from protocols import limits
from tests.node.net.support import TOPIC, Blocks, Inbox, Opener, fakes, new_keys, real

ECHO = "/pagi/test-echo/1.0"


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.slow)])
def opener(request: pytest.FixtureRequest) -> Opener:
    return fakes() if request.param == "fake" else real


def run(main: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(main())


async def echo(peer: str, payload: bytes) -> bytes:
    return peer.encode() + b" " + payload


def test_a_name_is_its_key(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one:
            assert one.alive
            assert one.addresses()
            assert all(address.endswith(f"/p2p/{one.peer_id}") for address in one.addresses())
            assert did_of_peer_id(one.peer_id).startswith("did:key:z6Mk")

    run(main)


def test_dialling_connects_both_and_tells_both(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one, opener() as two:
            events_one, events_two = one.peer_events(), two.peer_events()
            assert await one.dial(two.addresses()[0]) == two.peer_id
            assert await anext(events_one) == PeerConnected(two.peer_id)
            assert await anext(events_two) == PeerConnected(one.peer_id)
            (info,) = one.peers()
            assert info.peer_id == two.peer_id
            assert info.did == did_of_peer_id(two.peer_id)
            assert two.addresses()[0] in info.addresses
            assert not info.relayed
            assert await one.dial(two.addresses()[0]) == two.peer_id, "a second dial is harmless"

    run(main)


def test_a_peer_that_closes_is_gone_and_told(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one:
            events = one.peer_events()
            async with opener() as two:
                await one.dial(two.addresses()[0])
                assert await anext(events) == PeerConnected(two.peer_id)
            assert await anext(events) == PeerDisconnected(two.peer_id)
            assert one.peers() == ()
            with pytest.raises(RemoteUnavailable):
                await one.request(two.peer_id, ECHO, b"")

    run(main)


def test_a_dial_target_that_was_away_is_connected_when_it_is_there(opener: Opener) -> None:
    async def main() -> None:
        keys = new_keys()
        async with opener() as one:
            async with opener(keys) as two:
                address = two.addresses()[0]
            events = one.peer_events()
            with pytest.raises(RemoteUnavailable):
                await one.dial(address)
            async with opener(keys) as again:
                if again.addresses()[0] != address:  # a port of its own: it must call us
                    await again.dial(one.addresses()[0])
                assert await anext(events) == PeerConnected(again.peer_id)

    run(main)


@pytest.mark.parametrize("address", ["", "/ip4/127.0.0.1/tcp/4001", "/p2p/", "hello"])
def test_a_malformed_address_is_refused(opener: Opener, address: str) -> None:
    async def main() -> None:
        async with opener() as one:
            with pytest.raises(MalformedAddress):
                await one.dial(address)

    run(main)


def test_our_own_address_is_refused(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one:
            with pytest.raises(MalformedAddress):
                await one.dial(one.addresses()[0])

    run(main)


def test_gossip_arrives_at_once_after_dialling(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one, opener() as two:
            mine, theirs = Inbox(), Inbox()
            await one.subscribe(TOPIC, mine)
            await two.subscribe(TOPIC, theirs)
            await one.dial(two.addresses()[0])
            for number in range(20):
                await one.publish(TOPIC, b"%d" % number)
            for number in range(20):
                message = await theirs.next()
                assert (message.topic, message.data) == (TOPIC, b"%d" % number)
                assert message.forwarded_by == one.peer_id
            assert mine.queue.empty(), "nobody hears themselves"

    run(main)


def test_gossip_goes_through_a_peer_that_subscribes(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one, opener() as relay, opener() as two:
            theirs = Inbox()
            await one.subscribe(TOPIC, Inbox())
            await relay.subscribe(TOPIC, Inbox())
            await two.subscribe(TOPIC, theirs)
            await two.dial(relay.addresses()[0])
            await one.dial(relay.addresses()[0])
            await one.publish(TOPIC, b"through")
            message = await theirs.next()
            assert message.data == b"through"
            assert message.forwarded_by == relay.peer_id

    run(main)


def test_gossip_that_is_too_large_is_refused_here(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one:
            with pytest.raises(MessageTooLarge):
                await one.publish(TOPIC, bytes(limits.MAX_GOSSIP_BYTES + 1))

    run(main)


def test_requests_are_answered_each_with_its_own_reply(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one, opener() as two:
            await two.serve(ECHO, echo, max_request_bytes=1024, max_in_flight_per_peer=4)
            await one.dial(two.addresses()[0])
            replies = await asyncio.gather(*(one.request(two.peer_id, ECHO, b"%d" % n) for n in range(50)))
            assert replies == [f"{one.peer_id} {n}".encode() for n in range(50)]

    run(main)


def test_requests_arrive_in_the_order_in_which_they_are_made(opener: Opener) -> None:
    async def main() -> None:
        arrived: list[int] = []

        async def note(peer: PeerId, payload: bytes) -> bytes:
            arrived.append(int(payload))
            return b""

        async with opener() as one, opener() as two:
            await two.serve(ECHO, note, max_request_bytes=1024, max_in_flight_per_peer=64)
            await one.dial(two.addresses()[0])
            await asyncio.gather(*(one.request(two.peer_id, ECHO, b"%d" % n) for n in range(200)))
            assert arrived == list(range(200))

    run(main)


def test_a_protocol_that_is_not_served_is_refused(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one, opener() as two:
            await one.dial(two.addresses()[0])
            with pytest.raises(RemoteRefused):
                await one.request(two.peer_id, ECHO, b"")

    run(main)


def test_a_request_that_is_too_large_is_refused(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as one, opener() as two:
            await two.serve(ECHO, echo, max_request_bytes=1024, max_in_flight_per_peer=4)
            await one.dial(two.addresses()[0])
            with pytest.raises(RemoteRefused):
                await one.request(two.peer_id, ECHO, bytes(1025))
            assert await one.request(two.peer_id, ECHO, b"fits")

    run(main)


def test_a_failing_handler_refuses_and_the_next_request_is_served(opener: Opener) -> None:
    async def fail_on_bad(peer: str, payload: bytes) -> bytes:
        if payload == b"bad":
            raise ValueError("bad")
        return payload

    async def main() -> None:
        async with opener() as one, opener() as two:
            await two.serve(ECHO, fail_on_bad, max_request_bytes=1024, max_in_flight_per_peer=4)
            await one.dial(two.addresses()[0])
            with pytest.raises(RemoteRefused):
                await one.request(two.peer_id, ECHO, b"bad")
            assert await one.request(two.peer_id, ECHO, b"good") == b"good"

    run(main)


def test_a_request_that_is_not_answered_times_out_and_the_next_is_served(opener: Opener) -> None:
    async def hang_on_slow(peer: str, payload: bytes) -> bytes:
        if payload == b"slow":
            await asyncio.Event().wait()
        return payload

    async def main() -> None:
        async with opener() as one, opener() as two:
            await two.serve(ECHO, hang_on_slow, max_request_bytes=1024, max_in_flight_per_peer=4)
            await one.dial(two.addresses()[0])
            with pytest.raises(RemoteTimeout):
                await one.request(two.peer_id, ECHO, b"slow", timeout_s=0.05)
            assert await one.request(two.peer_id, ECHO, b"quick") == b"quick"

    run(main)


def test_a_cancelled_request_leaves_the_others_alone(opener: Opener) -> None:
    started = asyncio.Event()
    release = asyncio.Event()

    async def wait_on_slow(peer: str, payload: bytes) -> bytes:
        if payload == b"slow":
            started.set()
            await release.wait()
        return payload

    async def main() -> None:
        async with opener() as one, opener() as two:
            await two.serve(ECHO, wait_on_slow, max_request_bytes=1024, max_in_flight_per_peer=4)
            await one.dial(two.addresses()[0])
            slow = asyncio.create_task(one.request(two.peer_id, ECHO, b"slow"))
            await started.wait()
            quick = asyncio.create_task(one.request(two.peer_id, ECHO, b"quick"))
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            release.set()
            assert await quick == b"quick"

    run(main)


def test_a_block_is_fetched_from_whichever_peer_has_it(opener: Opener) -> None:
    async def main() -> None:
        blocks = Blocks()
        cid = blocks.put(bytes(range(256)) * 2048)  # 512 KiB
        async with opener() as one, opener() as without, opener(blocks=blocks) as owner:
            await one.dial(without.addresses()[0])
            await one.dial(owner.addresses()[0])
            assert await one.fetch_block(cid, [without.peer_id, owner.peer_id]) == blocks[cid]
            with pytest.raises(BlockNotFound):
                await one.fetch_block(cid, [without.peer_id])
            with pytest.raises(BlockNotFound):
                await one.fetch_block(Cid.of(CODEC_RAW, b"nobody has this"), [without.peer_id, owner.peer_id])
            with pytest.raises(BlockNotFound):
                await one.fetch_block(cid, [])

    run(main)


def test_many_blocks_come_from_whoever_has_them(opener: Opener) -> None:
    blocks, others = Blocks(), Blocks()
    mine = [blocks.put(b"%d" % number) for number in range(20)]
    theirs = [others.put(b"other %d" % number) for number in range(20)]
    nobodys = Cid.of(CODEC_RAW, b"nobody has this")

    async def main() -> None:
        async with opener() as one, opener(blocks=blocks) as owner, opener(blocks=others) as other:
            await one.dial(owner.addresses()[0])
            await one.dial(other.addresses()[0])
            peers = [owner.peer_id, other.peer_id]
            assert await one.fetch_blocks([*mine, nobodys, *theirs], peers) == blocks | others
            assert await one.fetch_blocks([mine[0], mine[0]], peers) == {mine[0]: blocks[mine[0]]}
            assert await one.fetch_blocks([nobodys], peers) == {}
            assert await one.fetch_blocks(mine, []) == {}
            assert await one.fetch_blocks([], peers) == {}

    run(main)
