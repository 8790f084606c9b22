"""100 MB by bitswap between a stock Kubo and our node, both ways: the same CIDs, and every block read."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from identity.cid import Cid
from node.net.port import Network
from protocols import limits
from protocols.ipld.links import links_of
from protocols.unixfs.layout import CHUNK_BYTES, build_file
from tests.interop.kubo import Kubo
from tests.node.net.support import Blocks, real

pytestmark = [pytest.mark.kubo, pytest.mark.slow]

SIZE: int = 100_000_000
IN_FLIGHT: int = 4
"""Calls at once."""


def test_we_fetch_100_mb_from_kubo(kubo: Kubo) -> None:
    content = os.urandom(SIZE)
    root, expected = build_file(content)
    chunker = f"--chunker=size-{CHUNK_BYTES}"
    added = kubo.ipfs("add", "--cid-version=1", chunker, "--quieter", stdin=content).decode().strip()
    assert added == str(root)

    async def main() -> None:
        async with real() as network:
            assert await fetch_all(network, kubo.address(), root) == expected

    asyncio.run(main())


def test_kubo_fetches_100_mb_from_us(kubo: Kubo) -> None:
    content = os.urandom(SIZE)
    root, built = build_file(content)

    async def main() -> None:
        blocks = Blocks()
        blocks.update(built)
        async with real(blocks=blocks) as network:
            await asyncio.to_thread(kubo.ipfs, "swarm", "connect", network.addresses()[0])
            await asyncio.to_thread(kubo.ipfs, "pin", "add", "--recursive", str(root))
            assert network.counters()["bitswap_blocks_served"] >= len(built)

    asyncio.run(main())
    # Our node is gone: what Kubo shows now is its own.
    reached = {str(root), *kubo.lines("refs", "--recursive", "--unique", str(root))}
    assert reached == {str(cid) for cid in built}
    assert kubo.ipfs("cat", str(root)) == content


async def fetch_all(network: Network, address: str, root: Cid) -> dict[Cid, bytes]:
    """Every block under `root`, level by level."""
    peer = await network.dial(address)
    fetched: dict[Cid, bytes] = {}
    level = [root]
    while level:
        size = limits.MAX_BLOCKS_AT_ONCE
        parts = iter([level[start : start + size] for start in range(0, len(level), size)])

        async def work(parts: Iterator[list[Cid]] = parts) -> None:
            for part in parts:
                fetched.update(await network.fetch_blocks(part, [peer]))

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(work())
        assert fetched.keys() >= set(level)
        level = [child for cid in level for child in links_of(cid, fetched[cid])]
    return fetched
