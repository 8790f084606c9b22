"""Peers that lie, flood, dawdle or vanish on bitswap: over real libp2p, with a bystander that must not suffer."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterable
from typing import Any

import pytest
import trio
from libp2p.bitswap.pb.bitswap_pb2 import Message
from libp2p.exceptions import BaseLibp2pError

from identity.cid import Cid
from identity.errors import PagiError
from identity.multibase import CODEC_RAW
from node.net import bitswap_serving, bitswap_wire
from node.net.libp2p_network import Libp2pNetwork
from protocols import limits
from protocols.framing import encode_frame
from tests.node.net.raw import BitswapPeer, as_raw_peer, bitswap_peer
from tests.node.net.support import Blocks, real, until

pytestmark = pytest.mark.slow

ECHO = "/pagi/test-echo/1.0"


def some(count: int, size_bytes: int = 100) -> Blocks:
    blocks = Blocks()
    for _ in range(count):
        blocks.put(os.urandom(size_bytes))
    return blocks


def wantlist(cids: Iterable[bytes], *, cancel: bool = False, answer: bool = True) -> bytes:
    message = Message()
    for cid in cids:
        message.wantlist.entries.add(block=cid, cancel=cancel, sendDontHave=answer)
    return encode_frame(message.SerializeToString())


def wants_of(message: Any) -> list[bytes]:
    return [entry.block for entry in message.wantlist.entries if not entry.cancel]


def gift(*blocks: bytes) -> bytes:
    return bitswap_wire.answer({bytes(Cid.of(CODEC_RAW, block)): block for block in blocks}, (), ())


async def nothing(peer: BitswapPeer, message: Any) -> None:
    pass


# Who is asked


def test_a_peer_that_sends_unasked_blocks_is_ignored_for_a_while() -> None:
    blocks = some(3)
    asked: list[bytes] = []

    async def flood(peer: BitswapPeer, message: Any) -> None:
        asked.extend(wants_of(message))
        for _ in range(limits.UNASKED_BLOCKS_BURST + 1):
            await peer.send(gift(os.urandom(100)))

    async def main() -> None:
        async with real() as one, real(blocks=blocks) as owner, bitswap_peer(one, flood) as rogue:
            await one.dial(owner.addresses()[0])
            first, *others = blocks
            assert await one.fetch_blocks([first], [rogue, owner.peer_id]) == {first: blocks[first]}
            await until(one, "bitswap_peers_ignored")
            assert one.counters()["bitswap_blocks_unsolicited"] > limits.UNASKED_BLOCKS_BURST
            already = len(asked)
            assert len(await one.fetch_blocks(others, [rogue, owner.peer_id])) == len(others)
            assert len(asked) == already, "nothing is asked of it any more"

    asyncio.run(main())


def test_what_a_peer_that_is_ignored_wants_is_not_served() -> None:
    blocks = some(1)

    async def flood_and_ask(host: Any, victim: Any) -> None:
        rogue = BitswapPeer(host, victim)
        for _ in range(limits.UNASKED_BLOCKS_BURST + 1):
            await rogue.send(gift(os.urandom(100)))
        await rogue.send(wantlist(map(bytes, blocks)))

    async def main() -> None:
        async with real(blocks=blocks) as one, real() as friend:
            await friend.dial(one.addresses()[0])
            await as_raw_peer(one.addresses()[0], flood_and_ask)
            await until(one, "bitswap_streams_ignored")
            assert await friend.fetch_blocks(list(blocks), [one.peer_id]) == blocks
            assert one.counters()["bitswap_blocks_served"] == 1
            assert one.counters()["bitswap_peers_ignored"] == 1

    asyncio.run(main())


def test_blocks_with_other_bytes_are_not_taken_and_the_right_ones_come_from_another() -> None:
    blocks = some(20)

    async def lie(peer: BitswapPeer, message: Any) -> None:
        for want in wants_of(message):
            await peer.send(bitswap_wire.answer({want: b"not this"}, (), ()))

    async def main() -> None:
        async with real() as one, real(blocks=blocks) as owner, bitswap_peer(one, lie) as rogue:
            await one.dial(owner.addresses()[0])
            async with asyncio.timeout(20):
                found = await one.fetch_blocks(list(blocks), [rogue, owner.peer_id], timeout_s=3600)
            assert found == blocks
            assert one.counters()["bitswap_blocks_unsolicited"] > 0

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 30])
def test_a_peer_that_never_answers_costs_a_moment(count: int) -> None:
    blocks = some(count)

    async def main() -> None:
        async with real() as one, real(blocks=blocks) as owner, bitswap_peer(one, nothing) as silent:
            await one.dial(owner.addresses()[0])
            async with asyncio.timeout(20):
                found = await one.fetch_blocks(list(blocks), [silent, owner.peer_id], timeout_s=3600)
            assert found == blocks

    asyncio.run(main())


def test_what_is_wanted_no_longer_is_cancelled() -> None:
    wanted = Cid.of(CODEC_RAW, os.urandom(10))
    cancelled = threading.Event()

    async def note(peer: BitswapPeer, message: Any) -> None:
        if any(entry.cancel and entry.block == bytes(wanted) for entry in message.wantlist.entries):
            cancelled.set()

    async def main() -> None:
        async with real() as one, bitswap_peer(one, note) as silent:
            assert await one.fetch_blocks([wanted], [silent], timeout_s=0.2) == {}
            assert await asyncio.to_thread(cancelled.wait, 20)

    asyncio.run(main())


def test_a_block_that_comes_after_all_is_nobodys_fault() -> None:
    """It says that it does not have the block, and sends it then: as a peer does that has just got it."""
    blocks = some(60)
    wanted = list(blocks)

    async def waver(peer: BitswapPeer, message: Any) -> None:
        for want in wants_of(message):
            await peer.send(bitswap_wire.answer({}, (), [want]))
        for want in wants_of(message):
            cid = Cid.from_bytes(want)
            await peer.send(bitswap_wire.answer({want: blocks[cid]}, (), ()))

    async def main() -> None:
        async with real() as one, bitswap_peer(one, waver) as rogue:
            assert await one.fetch_blocks(wanted, [rogue]) == {}
            await until(one, "bitswap_bytes_received", 60 * 100)
            assert "bitswap_blocks_unsolicited" not in one.counters()
            assert one.counters()["bitswap_blocks_duplicate"] == 60

    asyncio.run(main())


def test_what_a_peer_that_vanishes_owes_comes_from_another() -> None:
    blocks = some(30)

    async def vanish(peer: BitswapPeer, message: Any) -> None:
        for want in wants_of(message)[:3]:
            await peer.send(bitswap_wire.answer({want: blocks[Cid.from_bytes(want)]}, (), ()))
        await peer.vanish()

    async def main() -> None:
        async with real() as one, real(blocks=blocks) as owner, bitswap_peer(one, vanish) as rogue:
            await one.dial(owner.addresses()[0])
            async with asyncio.timeout(20):
                assert await one.fetch_blocks(list(blocks), [rogue, owner.peer_id], timeout_s=3600) == blocks

    asyncio.run(main())


def test_a_call_ends_when_its_only_peer_vanishes() -> None:
    async def vanish(peer: BitswapPeer, message: Any) -> None:
        await peer.vanish()

    async def main() -> None:
        async with real() as one, bitswap_peer(one, vanish) as rogue:
            async with asyncio.timeout(20):
                assert await one.fetch_blocks(list(some(3)), [rogue], timeout_s=3600) == {}

    asyncio.run(main())


def test_two_calls_for_one_block_cost_one_want() -> None:
    blocks = some(1)
    (cid,) = blocks
    later = Cid.of(CODEC_RAW, b"wanted when both calls have asked")
    asked: list[bytes] = []

    async def wait_for_the_later_want(peer: BitswapPeer, message: Any) -> None:
        asked.extend(wants_of(message))
        if bytes(later) in wants_of(message):
            await peer.send(gift(blocks[cid]))

    async def main() -> None:
        async with real() as one, bitswap_peer(one, wait_for_the_later_want) as owner:
            calls = [asyncio.create_task(one.fetch_block(cid, [owner])) for _ in range(2)]
            last = asyncio.create_task(one.fetch_blocks([later], [owner], timeout_s=1))
            assert await asyncio.gather(*calls) == [blocks[cid]] * 2
            await last
            assert asked.count(bytes(cid)) == 1

    asyncio.run(main())


def test_who_has_delivered_is_asked_first() -> None:
    blocks = some(10)
    asked: list[bytes] = []

    async def note(peer: BitswapPeer, message: Any) -> None:
        asked.extend(wants_of(message))

    async def main() -> None:
        async with real() as one, real(blocks=blocks) as owner, bitswap_peer(one, note) as stranger:
            await one.dial(owner.addresses()[0])
            assert await one.fetch_blocks(list(blocks), [owner.peer_id]) == blocks
            assert await one.fetch_blocks(list(blocks), [stranger, owner.peer_id]) == blocks
            assert asked == []

    asyncio.run(main())


# What is asked of us


def test_ten_thousand_wants_cost_others_nothing() -> None:
    blocks = some(5)
    strange = [bytes(Cid.of(CODEC_RAW, b"%d" % number)) for number in range(10_000)]

    async def ask(host: Any, victim: Any) -> None:
        peer = BitswapPeer(host, victim)
        await peer.send(wantlist(strange))
        for start in range(0, len(strange), 1000):
            await peer.send(wantlist(strange[start : start + 1000], answer=False))
        await peer.send(wantlist(map(bytes, blocks)))

    async def main() -> None:
        async with real(blocks=blocks) as owner, real() as friend:
            await friend.dial(owner.addresses()[0])
            attack = asyncio.create_task(as_raw_peer(owner.addresses()[0], ask))
            assert await friend.fetch_blocks(list(blocks), [owner.peer_id]) == blocks
            await attack
            await until(owner, "bitswap_wants_refused", len(strange) - bitswap_wire.MAX_WANTS)
            for queue in _queues(owner):
                assert len(queue) <= bitswap_serving.MAX_QUEUED

    asyncio.run(main())


def test_wants_with_garbage_for_cids_spoil_nothing() -> None:
    blocks = some(1)
    (cid,) = blocks
    garbage = [b"", b"not a cid", os.urandom(36), b"\x01\x55\x00\x03abc", bytes(cid) + b"x", b"\x12\x20short"]

    async def ask(host: Any, victim: Any) -> None:
        await BitswapPeer(host, victim).send(wantlist([*garbage, bytes(cid)]))
        await trio.sleep(0.5)

    async def main() -> None:
        async with real(blocks=blocks) as owner:
            await as_raw_peer(owner.addresses()[0], ask)
            await until(owner, "bitswap_wants_refused", len(garbage))
            await until(owner, "bitswap_blocks_served")

    asyncio.run(main())


class SlowDisk(Blocks):
    """Nothing is read before `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.reading = threading.Event()

    def get(self, cid: Cid, default: Any = None) -> Any:
        self.reading.set()
        assert self.go.wait(20)
        return super().get(cid)


def test_a_slow_disk_holds_up_nothing_else() -> None:
    blocks = SlowDisk()
    cid = blocks.put(b"slow")

    async def echo(peer: str, payload: bytes) -> bytes:
        return payload

    async def main() -> None:
        async with real(blocks=blocks) as owner, real() as friend:
            await owner.serve(ECHO, echo, max_request_bytes=100, max_in_flight_per_peer=3)
            await friend.dial(owner.addresses()[0])
            fetching = asyncio.create_task(friend.fetch_block(cid, [owner.peer_id]))
            assert await asyncio.to_thread(blocks.reading.wait, 20)
            assert await friend.request(owner.peer_id, ECHO, b"meanwhile") == b"meanwhile"
            assert not fetching.done()
            blocks.go.set()
            assert await fetching == b"slow"

    asyncio.run(main())


def test_wants_that_are_cancelled_are_not_served() -> None:
    blocks = SlowDisk()
    cids = [blocks.put(os.urandom(100)) for _ in range(50)]

    async def main() -> None:
        async with real(blocks=blocks) as owner:

            async def change_its_mind(host: Any, victim: Any) -> None:
                stream = await host.new_stream(victim, [bitswap_wire.PROTOCOL])
                await stream.write(wantlist(map(bytes, cids)) + wantlist(map(bytes, cids), cancel=True))
                with contextlib.suppress(BaseLibp2pError):
                    await stream.read(1)

            attack = asyncio.create_task(as_raw_peer(owner.addresses()[0], change_its_mind))
            await until(owner, "bitswap_wants_cancelled", len(cids))
            blocks.go.set()
            async with asyncio.timeout(20):
                while _queues(owner):  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.01)
            assert "bitswap_blocks_served" not in owner.counters()
        await attack

    asyncio.run(main())


def test_a_block_that_cannot_be_read_is_not_there() -> None:
    class Broken(Blocks):
        def get(self, cid: Cid, default: Any = None) -> Any:
            raise PagiError("the disk is broken")

    async def main() -> None:
        blocks = Broken()
        cid = blocks.put(b"lost")
        async with real(blocks=blocks) as owner, real() as friend:
            await friend.dial(owner.addresses()[0])
            async with asyncio.timeout(20):
                assert await friend.fetch_blocks([cid], [owner.peer_id], timeout_s=3600) == {}
            assert owner.counters()["bitswap_reads_failed"] == 1

    asyncio.run(main())


def test_a_block_that_no_implementation_takes_is_not_served() -> None:
    async def main() -> None:
        blocks = Blocks()
        huge = blocks.put(bytes(bitswap_serving.MAX_SERVED_BYTES + 1))
        whole = blocks.put(bytes(bitswap_serving.MAX_SERVED_BYTES))
        async with real(blocks=blocks) as owner, real() as friend:
            await friend.dial(owner.addresses()[0])
            async with asyncio.timeout(20):
                found = await friend.fetch_blocks([huge, whole], [owner.peer_id], timeout_s=3600)
            assert list(found) == [whole]

    asyncio.run(main())


def test_a_message_over_the_limit_is_not_read() -> None:
    async def send(host: Any, victim: Any) -> None:
        await BitswapPeer(host, victim).send(gift(bytes(bitswap_wire.MAX_MESSAGE_BYTES)))

    async def main() -> None:
        async with real() as one:
            attack = asyncio.create_task(as_raw_peer(one.addresses()[0], send))
            await until(one, "frames_refused")
            await asyncio.gather(attack, return_exceptions=True)

    asyncio.run(main())


def _queues(network: Any) -> list[Any]:
    assert isinstance(network, Libp2pNetwork)
    assert network._core is not None
    return list(network._core._bitswap._serving._queues.values())
