"""Reading blocks in order, those that come next being got meanwhile: from here, or from the swarm.

What was fetched is not kept: reading is not pinning, and costs the owner no disk.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final

from identity.cid import Cid
from identity.errors import PagiError
from node.content.blocks import Blocks
from node.content.together import together
from node.errors import ContentUnavailable
from protocols import limits

_WORTH_A_CALL: Final = limits.BLOCKS_PER_FETCH // 2
"""Blocks that are waited for before they are asked for, unless one of them is needed now."""

_TRIES: Final = 3
"""How often a block is asked for that did not come although others did: a call of many may have been cut off."""


async def get_or_fetch(blocks: Blocks, cids: Sequence[Cid]) -> dict[Cid, bytes]:
    """Blocks from here, the others from elsewhere: those that can be had."""
    found = await asyncio.gather(*(blocks.get(cid) for cid in cids))
    got = {cid: block for cid, block in zip(cids, found, strict=True) if block is not None}
    missing = [cid for cid in cids if cid not in got]
    return got | await blocks.fetch(missing) if missing else got


class ReadAhead:
    """Blocks of one reader. Made by `reading_ahead`."""

    def __init__(self, blocks: Blocks, tasks: asyncio.TaskGroup) -> None:
        self._blocks = blocks
        self._tasks = tasks
        self._calls: dict[Cid, asyncio.Task[dict[Cid, bytes] | PagiError]] = {}

    @property
    def calls(self) -> Collection[asyncio.Task[dict[Cid, bytes] | PagiError]]:
        """The calls that somebody may still need."""
        return self._calls.values()

    async def next(self, upcoming: Sequence[Cid]) -> bytes:
        """The first block of `upcoming`; the others are got ahead. What is not named any more is forgotten.

        Raises ContentUnavailable if it is not here and nobody who can be reached has it.
        """
        window = dict.fromkeys(upcoming[: limits.MAX_READ_AHEAD])
        self._calls = {cid: call for cid, call in self._calls.items() if cid in window}
        cid = upcoming[0]
        for _ in range(_TRIES):
            self._ask([other for other in window if other not in self._calls], now=cid not in self._calls)
            got = await self._calls[cid]
            if isinstance(got, PagiError):
                raise got
            if cid in got:
                return got[cid]
            del self._calls[cid]
            if not got:
                break
        raise ContentUnavailable(f"{cid} is not here, and nobody who can be reached has it")

    def _ask(self, wanted: list[Cid], *, now: bool) -> None:
        if len(wanted) < _WORTH_A_CALL and not now:
            return
        for start in range(0, len(wanted), limits.BLOCKS_PER_FETCH):
            some = wanted[start : start + limits.BLOCKS_PER_FETCH]
            self._calls |= dict.fromkeys(some, self._tasks.create_task(self._get(some)))

    async def _get(self, cids: Sequence[Cid]) -> dict[Cid, bytes] | PagiError:
        """What goes wrong is for whoever needs a block of this call, if anybody ever does."""
        try:
            return await get_or_fetch(self._blocks, cids)
        except PagiError as error:
            return error


@asynccontextmanager
async def reading_ahead(blocks: Blocks) -> AsyncIterator[ReadAhead]:
    """A reader's blocks; calls that are under way end with it."""
    async with together() as tasks:
        ahead = ReadAhead(blocks, tasks)
        try:
            yield ahead
        finally:
            for call in ahead.calls:
                call.cancel()
