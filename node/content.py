"""Content by CID: files in, files out, from this node's blocks or from the swarm."""

import asyncio
from collections.abc import AsyncIterator

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB
from node.errors import ContentUnavailable
from node.net.errors import BlockNotFound
from node.net.port import Network
from protocols.errors import MalformedMessage
from protocols.unixfs import MAX_DEPTH, build_file, children_of
from storage import pins
from storage.blocks import BlockStore
from storage.database import Database


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

        Raises ContentUnavailable if nobody who is connected has a block of it.
        """
        return b"".join([part async for part in self._parts(cid, MAX_DEPTH)])

    async def _parts(self, cid: Cid, depth: int) -> AsyncIterator[bytes]:
        block = await self._block(cid)
        if cid.codec != CODEC_DAG_PB:
            yield block
            return
        if depth == 0:
            raise MalformedMessage("the file's tree is deeper than any file needs")
        links, own = children_of(block)
        yield own
        for link in links:
            async for part in self._parts(link, depth - 1):
                yield part

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
