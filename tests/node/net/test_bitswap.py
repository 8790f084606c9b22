import asyncio
from typing import Any

import pytest
import trio

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from node.net import bitswap
from node.net import bitswap_wire as wire
from tests.node.net.raw import as_raw_peer
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
