"""A hold on the block store for code on the event loop: what is put into it stays until its row is written as well."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager

from identity.cid import Cid
from storage.blocks import BlockStore


@asynccontextmanager
async def holding(store: BlockStore, blocks: Iterable[tuple[Cid, bytes]]) -> AsyncIterator[None]:
    """Keep blocks, and let no collection take them before this is left: whoever makes them needed does so meanwhile.

    Raises StorageFull.
    """
    stack = ExitStack()
    try:
        hold = await asyncio.to_thread(stack.enter_context, store.hold())
        await asyncio.to_thread(hold.put_many, blocks)
        yield
    finally:
        await asyncio.shield(asyncio.to_thread(stack.close))  # it may have to wait for a collection
