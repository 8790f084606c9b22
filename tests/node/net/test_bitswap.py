import asyncio

import pytest

from tests.node.net.support import Blocks, new_keys, real

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
