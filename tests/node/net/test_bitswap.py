import asyncio
import threading
from typing import Any

import pytest
import trio
from libp2p.bitswap.pb.bitswap_pb2 import Message

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW
from node.net import bitswap
from node.net import bitswap_wire as wire
from tests.node.net.raw import BitswapPeer, as_raw_peer, bitswap_peer
from tests.node.net.support import Blocks, new_keys, real, until

pytestmark = pytest.mark.slow


def test_a_peer_that_restarted_is_served_at_once() -> None:
    async def main() -> None:
        blocks, keys = Blocks(), new_keys()
        cids = [blocks.put(bytes([n]) * 100) for n in range(3)]
        async with real(blocks=blocks) as server:
            for cid in cids:  # each time over a new connection, while the server's stream is that of the old one
                async with real(keys) as client:
                    peer = await client.dial(server.addresses()[0])
                    assert await client.fetch_block(cid, [peer], timeout_s=5) == blocks[cid]

    asyncio.run(main())


def test_a_server_that_restarted_is_asked_at_once() -> None:
    async def main() -> None:
        blocks, keys = Blocks(), new_keys()
        cids = [blocks.put(bytes([n]) * 100) for n in range(3)]
        async with real() as client:
            for cid in cids:
                async with real(keys, blocks) as server:
                    peer = await client.dial(server.addresses()[0])
                    assert await client.fetch_block(cid, [peer], timeout_s=5) == blocks[cid]
                    client.forget(peer)

    asyncio.run(main())


def test_messages_on_many_streams_at_once_are_all_read() -> None:
    """Kubo answers with a stream for each message, and opens the next before we have read the one before."""
    streams_opened = 3 * bitswap.MAX_STREAMS

    async def scatter(host: Any, victim: Any) -> None:
        streams = [await host.new_stream(victim, [wire.PROTOCOL]) for _ in range(streams_opened)]
        for number, stream in enumerate(streams):
            await stream.write(wire.answer({bytes(Cid.of(CODEC_RAW, bytes([number]))): bytes([number])}, (), ()))
        for stream in streams:
            await stream.close_write()
        await trio.sleep(0.5)

    async def main() -> None:
        async with real() as network:
            await as_raw_peer(network.addresses()[0], scatter)
            await until(network, "bitswap_blocks_unsolicited", streams_opened)

    asyncio.run(main())


def test_who_asks_whether_a_small_node_is_here_gets_it_at_once() -> None:
    node, leaf = b"\xa0", b"a raw block"
    large = b"\x59\x10\x00" + bytes(4096)
    cids = [Cid.of(CODEC_DAG_CBOR, node), Cid.of(CODEC_RAW, leaf), Cid.of(CODEC_DAG_CBOR, large)]
    missing = Cid.of(CODEC_DAG_CBOR, b"nobody has it")
    blocks = Blocks(zip(cids, (node, leaf, large), strict=True))
    answered = threading.Event()
    answers: list[Any] = []

    async def note(peer: BitswapPeer, message: Any) -> None:
        answers.append(message)
        answered.set()

    async def main() -> None:
        question = wire.ask([*cids, missing], only_whether=True)
        async with real(blocks=blocks) as owner, bitswap_peer(owner, note, first=question):
            assert await asyncio.to_thread(answered.wait, 20)

    asyncio.run(main())
    (answer,) = answers
    assert [block.data for block in answer.payload] == [node]
    presences = {presence.cid: presence.type for presence in answer.blockPresences}
    assert presences == {
        bytes(cids[1]): Message.Have,
        bytes(cids[2]): Message.Have,
        bytes(missing): Message.DontHave,
    }
