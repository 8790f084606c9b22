"""Our node in the benchmark `bitswap`, in a process of its own: `python -m benchmarks.bitswap_node FOLDER`.

It reads a JSON command a line and answers each with a JSON line: `{"add": [SIZE, SEED]}` makes a file and keeps it,
`{"fetch": [ROOT, ADDRESS]}` fetches one and keeps it, each block on disk before the next ones are asked for in its
place. `seconds` is what the fetch took, `bytes` what is kept of it.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from identity.cid import Cid
from identity.did import PeerId
from identity.keys import KeyPair
from identity.multibase import CODEC_RAW
from node.net.libp2p_network import Libp2pNetwork, open_network
from protocols.ipld.links import links_of
from protocols.unixfs.layout import build_file
from storage.blocks import BlockStore

LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
QUOTA_BYTES: Final = 4 * 1024**3
TOGETHER: Final = 16
"""Blocks of one call: 4 MiB."""

CALLS: Final = 4
"""Calls under way at once."""


class Node:
    """A network that serves a block store, and fetches into it."""

    def __init__(self, network: Libp2pNetwork, blocks: BlockStore) -> None:
        self._network = network
        self._blocks = blocks

    async def add(self, size_bytes: int, seed: int) -> dict[str, Any]:
        root, blocks = build_file(random.Random(seed).randbytes(size_bytes))
        await asyncio.to_thread(self._blocks.put_many, blocks.items())
        return {"root": str(root)}

    async def fetch(self, root: str, address: str) -> dict[str, Any]:
        peer = await self._network.dial(address)
        before = self._blocks.size_bytes
        begun = time.perf_counter()
        level = [Cid.parse(root)]
        while level:
            level = await self._fetch_level(level, peer)
        seconds = time.perf_counter() - begun
        self._network.forget(peer)
        return {"seconds": seconds, "bytes": self._blocks.size_bytes - before}

    async def _fetch_level(self, level: list[Cid], peer: PeerId) -> list[Cid]:
        """Fetch these blocks, several calls at once; return what they link to."""
        parts = iter([level[start : start + TOGETHER] for start in range(0, len(level), TOGETHER)])
        children: list[Cid] = []

        async def work() -> None:
            for part in parts:
                found = await self._network.fetch_blocks(part, [peer], timeout_s=60)
                assert len(found) == len(part)
                await asyncio.to_thread(self._blocks.put_many, found.items())
                children.extend(_children(found.items()))

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLS):
                group.create_task(work())
        return children


def _children(blocks: Iterable[tuple[Cid, bytes]]) -> list[Cid]:
    return [child for cid, block in blocks if cid.codec != CODEC_RAW for child in links_of(cid, block)]


async def main(folder: Path) -> None:
    blocks = BlockStore(folder / "blocks", QUOTA_BYTES)
    async with open_network(KeyPair(os.urandom(32)), listen=[LISTEN], blocks=blocks) as network:
        node = Node(network, blocks)
        print(json.dumps({"address": network.addresses()[0]}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            ((command, arguments),) = json.loads(line).items()
            answer = await {"add": node.add, "fetch": node.fetch}[command](*arguments)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
