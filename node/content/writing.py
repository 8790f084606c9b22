"""Writing the blocks of one transfer: in batches while the next ones are made, all of them or none.

A batch shares the flushes of the disk, and its size bounds the memory of a transfer: one batch is written, one waits,
and one gathers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from identity.cid import Cid
from node.content.blocks import Blocks, Hold
from node.content.together import together

T = TypeVar("T")

BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one batch: enough that the flush of a folder is shared, little enough for a small machine."""

BATCH_BLOCKS: Final = 512
"""Blocks of one batch: small files are written by the hundred."""


class Bringing:
    """Blocks that come in together. Once `kept` is set nothing is taken back any more: a pin needs them."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.kept = False


@asynccontextmanager
async def bringing_in(blocks: Blocks) -> AsyncIterator[Bringing]:
    """A hold whose blocks are taken back if it is left by an error: what did not get whole leaves no trace."""
    async with blocks.hold() as hold:
        bringing = Bringing(hold)
        try:
            yield bringing
        except BaseException:
            if not bringing.kept:
                await unbroken(hold.roll_back())
            raise


async def unbroken(awaitable: Awaitable[T]) -> T:
    """Await what must not stop half-way: if the caller is cancelled meanwhile, it hears of that afterwards."""
    under_way = asyncio.ensure_future(awaitable)
    try:
        return await asyncio.shield(under_way)
    except asyncio.CancelledError:
        await asyncio.wait([under_way])
        if not under_way.cancelled():
            under_way.exception()  # seen: the caller hears of its own end instead
        raise


class Sink:
    """Takes blocks and hands them on in batches. Made by `writing`."""

    def __init__(self) -> None:
        self.blocks = 0
        self.size_bytes = 0
        self._batch: list[tuple[Cid, bytes]] = []
        self._batch_bytes = 0
        self._full: asyncio.Queue[list[tuple[Cid, bytes]] | None] = asyncio.Queue(maxsize=1)

    async def put(self, blocks: Sequence[tuple[Cid, bytes]]) -> None:
        """Take blocks; they are on disk when the context of `writing` is left. Waits while a full batch waits."""
        for cid, block in blocks:
            self._batch.append((cid, block))
            self._batch_bytes += len(block)
            self.blocks += 1
            self.size_bytes += len(block)
            if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_BLOCKS:
                await self._hand_on()

    async def _hand_on(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        await self._full.put(batch)

    async def end(self) -> None:
        if self._batch:
            await self._hand_on()
        await self._full.put(None)

    async def write_into(self, hold: Hold) -> None:
        while (batch := await self._full.get()) is not None:
            await unbroken(hold.put_many(batch))


@asynccontextmanager
async def writing(hold: Hold) -> AsyncIterator[Sink]:
    """A Sink whose blocks are all on disk when this is left without an error. Raises what `hold.put_many` raises."""
    sink = Sink()
    async with together() as tasks:
        tasks.create_task(sink.write_into(hold))
        yield sink
        await sink.end()
