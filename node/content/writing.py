"""Writing the blocks of one transfer: in batches while the next ones are made, all of them or none.

A batch shares the flushes of the disk, and its size bounds the memory of a transfer: two batches are written while one
gathers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from identity.cid import Cid
from node.content.blocks import Blocks, Hold
from node.content.together import together

T = TypeVar("T")

MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one batch, and of what gathers meanwhile: enough that flushes are shared, little enough for any machine."""

MAX_BATCH_BLOCKS: Final = 512
"""Blocks of one batch: small files are written by the hundred."""

_WORTH_BYTES: Final = 2 * 1024 * 1024
_WORTH_BLOCKS: Final = 128
"""What a writer waits for although it is idle: less than this would be one flush after another."""

_WRITERS: Final = 2
"""Batches that are written at once: the disk is not idle while the books of one are closed."""


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
    """Takes blocks; writers take what has gathered whenever they are idle. Made by `writing`."""

    def __init__(self) -> None:
        self._gathered: list[tuple[Cid, bytes]] = []
        self._gathered_bytes = 0
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, blocks: Sequence[tuple[Cid, bytes]]) -> None:
        """Take blocks; they are on disk when the context of `writing` is left. Waits while the writers are behind."""
        async with self._changed:
            for cid, block in blocks:
                self._gathered.append((cid, block))
                self._gathered_bytes += len(block)
                if self._is_worth_writing():
                    self._changed.notify_all()
                await self._changed.wait_for(self._has_room)

    async def end(self) -> None:
        """No more blocks come."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def write_into(self, hold: Hold) -> None:
        """Write batch after batch until the end."""
        while batch := await self._next_batch():
            await unbroken(hold.put_many(batch))

    async def _next_batch(self) -> list[tuple[Cid, bytes]]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._is_worth_writing())
            batch, self._gathered, self._gathered_bytes = self._gathered, [], 0
            self._changed.notify_all()
        return batch

    def _is_worth_writing(self) -> bool:
        return self._gathered_bytes >= _WORTH_BYTES or len(self._gathered) >= _WORTH_BLOCKS

    def _has_room(self) -> bool:
        return self._gathered_bytes < MAX_BATCH_BYTES and len(self._gathered) < MAX_BATCH_BLOCKS


@asynccontextmanager
async def writing(hold: Hold) -> AsyncIterator[Sink]:
    """A Sink whose blocks are all on disk when this is left without an error. Raises what `hold.put_many` raises."""
    sink = Sink()
    async with together() as tasks:
        for _ in range(_WRITERS):
            tasks.create_task(sink.write_into(hold))
        yield sink
        await sink.end()
