"""Content by CID: files in, files out, from this node's blocks or from the swarm."""

import asyncio
from typing import Final

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB
from node.errors import ContentTooLarge, ContentUnavailable
from node.net.errors import BlockNotFound
from node.net.port import Network
from protocols.errors import MalformedMessage
from protocols.unixfs import MAX_DEPTH, build_file, children_of
from storage import pins
from storage.blocks import BlockStore
from storage.database import Database

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
"""A file is held whole while it is read."""

MAX_FILE_BLOCKS: Final = 65_536
"""A file of that size in chunks of 4 KiB. A few blocks that name each other many times are a file without end."""


class Content:
    """The files and blocks of one twin."""

    def __init__(self, *, blocks: BlockStore, network: Network, database: Database) -> None:
        self._blocks = blocks
        self._network = network
        self._database = database

    async def add(self, data: bytes) -> tuple[Cid, int]:
        """Store a file and pin it; return its CID and its size in bytes. Raises StorageFull."""
        root, blocks = await asyncio.to_thread(build_file, data)
        await asyncio.to_thread(self._blocks.put_many, blocks.items())
        await self._database.write(lambda conn: pins.add(conn, root, "recursive"))
        return root, len(data)

    async def cat(self, cid: Cid) -> bytes:
        """A file's bytes, or those of a single block of another kind.

        Raises ContentUnavailable if nobody who is connected has a block of it, ContentTooLarge, and MalformedMessage
        if it is no file.
        """
        parts: list[bytes] = []
        size_bytes = 0
        to_visit = [(cid, MAX_DEPTH)]
        for _ in range(MAX_FILE_BLOCKS):
            if not to_visit:
                return b"".join(parts)
            current, depth = to_visit.pop()
            block = await self._block(current)
            if current.codec == CODEC_DAG_PB:
                if depth == 0:
                    raise MalformedMessage("the file's tree is deeper than any file needs")
                links, block = children_of(block)
                to_visit.extend((link, depth - 1) for link in reversed(links))
            parts.append(block)
            size_bytes += len(block)
            if size_bytes > MAX_FILE_BYTES or len(to_visit) > MAX_FILE_BLOCKS:
                break
        raise ContentTooLarge(f"{cid} has more than {MAX_FILE_BYTES} bytes or {MAX_FILE_BLOCKS} blocks")

    async def _block(self, cid: Cid) -> bytes:
        """One block, from here or from the peers that are connected; what was fetched is not kept."""
        here = await asyncio.to_thread(self._blocks.get, cid)
        if here is not None:
            return here
        peers = [info.peer_id for info in self._network.peers()]
        try:
            return await self._network.fetch_block(cid, peers)
        except BlockNotFound as error:
            raise ContentUnavailable(f"{cid} is not here, and no connected peer has it") from error
