"""A hold on the block store for code on the event loop: what is put into it stays until its row is written as well."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import ExitStack, asynccontextmanager

from identity.cid import Cid
from storage.blocks import BlockStore, StoreHold


@asynccontextmanager
async def holding(store: BlockStore, blocks: Collection[tuple[Cid, bytes]] = ()) -> AsyncIterator[StoreHold]:
    """Keep blocks, and let no collection take them before this is left: whoever makes them needed does so meanwhile.

    Raises StorageFull.
    """
    stack = ExitStack()
    hold = stack.enter_context(store.hold())
    try:
        if blocks:
            await asyncio.to_thread(hold.put_many, blocks)
        yield hold
    finally:
        await asyncio.shield(asyncio.to_thread(stack.close))  # it may have to wait while others write or remove
