"""A stock Helia and our node, both ways over libp2p and bitswap."""

import asyncio
import base64
import os
from typing import Any

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from node.net.errors import BlockNotFound
from protocols.ipld.links import links_of
from protocols.unixfs.layout import build_file
from tests.interop.conftest import NodePeer
from tests.node.net.support import Blocks, real

pytestmark = pytest.mark.slow

CHUNK_BYTES = 1024 * 1024
"""Helia's own chunks."""

SIZES = [1_000, 1_000_000, 4_000_000]


async def ask(helia: NodePeer, op: str, **arguments: Any) -> dict[str, Any]:
    answer = await asyncio.to_thread(lambda: helia.ask(op, **arguments))
    assert "error" not in answer, answer["error"]
    return answer


@pytest.mark.parametrize("size", SIZES)
def test_helia_reads_a_file_of_ours(helia: NodePeer, size: int) -> None:
    content = os.urandom(size)

    async def main() -> None:
        blocks = Blocks()
        root, built = build_file(content)  # chunks of 256 KiB, as we make them
        blocks.update(built)
        async with real(blocks=blocks) as network:
            await ask(helia, "dial", address=network.addresses()[0])
            answer = await ask(helia, "cat", cid=str(root))
            assert base64.b64decode(answer["content"]) == content
            assert network.counters()["bitswap_blocks_served"] >= len(built)

    asyncio.run(main())


@pytest.mark.parametrize("size", SIZES)
def test_we_fetch_a_file_of_helia_with_the_cid_that_we_give_it(helia: NodePeer, size: int) -> None:
    content = os.urandom(size)
    root, expected = build_file(content, chunk_bytes=CHUNK_BYTES)

    async def main() -> None:
        added = await ask(helia, "add", content=base64.b64encode(content).decode())
        assert added["cid"] == str(root)
        async with real() as network:
            peer = await network.dial((await ask(helia, "address"))["address"])
            fetched: dict[Cid, bytes] = {}
            level = [root]
            while level:
                found = await network.fetch_blocks(level, [peer])
                assert set(found) == set(level)
                fetched |= found
                level = [child for cid, block in found.items() for child in links_of(cid, block)]
            assert fetched == expected

    asyncio.run(main())


def test_helia_does_not_have_a_block_and_we_give_up(helia: NodePeer) -> None:
    async def main() -> None:
        async with real() as network:
            peer = await network.dial((await ask(helia, "address"))["address"])
            with pytest.raises(BlockNotFound):
                await network.fetch_block(Cid.of(CODEC_RAW, os.urandom(32)), [peer], timeout_s=2)

    asyncio.run(main())
