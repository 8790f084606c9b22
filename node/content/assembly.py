"""The content of a twin, made from its configuration: which backend holds the blocks, and what a collection spares."""

from collections.abc import Collection

from identity.cid import Cid
from node.content.content import Content
from node.content.embedded import EmbeddedBlocks, Providers
from node.net.port import Network
from storage import needed
from storage.blocks import BlockStore
from storage.database import Database


def make_content(
    *, store: BlockStore, database: Database, network: Network, providers: Providers | None = None
) -> Content:
    """Content over this node's own store. Playbooks' blocks are in that store too, and are spared."""

    async def roots() -> Collection[Cid]:
        return await database.read(needed.roots)

    async def live() -> Collection[Cid]:
        return await content.live()

    blocks = EmbeddedBlocks(store, database=database, network=network, providers=providers, roots=live)
    content = Content(blocks=blocks, roots=roots)
    return content
