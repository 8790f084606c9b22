"""Fetching the whole of a DAG: several calls at a time, and nothing that is here already is asked for.

Every block that came stays, so a transfer that was cut off, by whatever, goes on where it was.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB
from node.content.blocks import Blocks, Hold
from node.content.together import together
from node.content.writing import unbroken
from node.errors import ContentTooLarge, ContentUnavailable
from protocols import limits
from protocols.ipld import dag_pb
from protocols.ipld.links import links_of
from storage.errors import StorageFull

_EMPTY_CALLS: Final = limits.MAX_FETCH_CALLS
"""Calls in a row that may bring nothing once something has come: a peer went away while all of them were under way."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is. `total_bytes` is what the root says of all blocks under it; None where it says nothing."""

    blocks: int
    size_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A DAG that is here as a whole, and how much of it came from elsewhere."""

    blocks: int
    size_bytes: int
    new_blocks: int
    new_bytes: int


Report = Callable[[Progress], None]
"""Is told how far a transfer is, after each batch of blocks."""

Elsewhere = Callable[[Sequence[Cid]], Awaitable[dict[Cid, bytes]]]
"""Gets blocks that are not here: those that it can get."""


async def fetch_dag(
    blocks: Blocks,
    hold: Hold,
    root: Cid,
    *,
    report: Report | None = None,
    elsewhere: Elsewhere | None = None,
    root_only: bool = False,
) -> Fetched:
    """Have every block of a DAG here, or its root alone, under `hold`. `elsewhere` is the swarm unless it is given.

    Raises ContentUnavailable if nobody gives a block, ContentTooLarge, StorageFull, and what `links_of` raises for a
    block that cannot be read.
    """
    walk = _Walk(blocks, hold, root, report or _nobody, elsewhere or blocks.fetch, root_only)
    async with together() as tasks:
        for _ in range(limits.MAX_FETCH_CALLS):
            tasks.create_task(walk.work())
    return Fetched(walk.blocks, walk.size_bytes, walk.new_blocks, walk.new_bytes)


def _nobody(progress: Progress) -> None:
    """Takes what nobody wants to know."""


def claimed_bytes(cid: Cid, block: bytes) -> int | None:
    """What a block says of itself and all blocks under it; None for a codec in which it cannot say."""
    if cid.codec != CODEC_DAG_PB:
        return None
    return len(block) + sum(link.total_bytes for link in dag_pb.decode(block).links)


class _Walk:
    """A DAG that several workers go through together. `to_visit` is a stack: a file comes from its beginning."""

    def __init__(
        self, blocks: Blocks, hold: Hold, root: Cid, report: Report, elsewhere: Elsewhere, root_only: bool
    ) -> None:
        self.blocks = self.size_bytes = self.new_blocks = self.new_bytes = 0
        self._store, self._hold, self._root = blocks, hold, root
        self._report, self._elsewhere, self._root_only = report, elsewhere, root_only
        self._to_visit = [(root, 0)]
        self._seen = {root}
        self._busy = 0
        self._empty_calls = 0
        self._total_bytes: int | None = None
        self._changed = asyncio.Condition()

    async def work(self) -> None:
        """Take what is to be visited, until nothing is and nobody can find more."""
        while batch := await self._next_batch():
            try:
                await self._visit(batch)
            finally:
                self._busy -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _next_batch(self) -> list[tuple[Cid, int]]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._to_visit or not self._busy)
            batch = self._to_visit[-limits.BLOCKS_PER_FETCH :]
            del self._to_visit[-limits.BLOCKS_PER_FETCH :]
            self._busy += bool(batch)
        return batch[::-1]

    async def _visit(self, batch: Sequence[tuple[Cid, int]]) -> None:
        depths = dict(batch)
        await self._hold.keep(list(depths))  # before they are looked for: what is found must not go again
        found = await asyncio.gather(*(self._store.get(cid) for cid in depths))
        here = {cid: block for cid, block in zip(depths, found, strict=True) if block is not None}
        if here:
            await self._note(here, depths)
        missing = [cid for cid in depths if cid not in here]
        if not missing:
            return
        got = await self._elsewhere(missing)
        if got:
            await unbroken(self._hold.put_many(list(got.items())))
            self.new_blocks += len(got)
            self.new_bytes += sum(map(len, got.values()))
            await self._note(got, depths)
        await self._again([cid for cid in missing if cid not in got], depths, came=len(got))

    async def _again(self, missing: Sequence[Cid], depths: dict[Cid, int], *, came: int) -> None:
        """Ask once more for what did not come, unless there is no hope."""
        self._empty_calls = 0 if came else self._empty_calls + 1
        if self._empty_calls > (_EMPTY_CALLS if self.new_blocks else 0):
            raise ContentUnavailable(
                f"nobody who can be reached has {missing[0]}"
                + (f"; the {self.blocks} blocks of {self._root} that are here stay" if self.blocks else "")
            )
        self._to_visit.extend((cid, depths[cid]) for cid in reversed(missing))

    async def _note(self, found: dict[Cid, bytes], depths: dict[Cid, int]) -> None:
        """Count blocks that are here now, and mark what they name to be visited."""
        if self._root in found:
            await self._check_claim(found[self._root])
        for cid, block in reversed(found.items()):
            self.blocks += 1
            self.size_bytes += len(block)
            for link in reversed(() if self._root_only else links_of(cid, block)):
                if link not in self._seen:
                    self._seen.add(link)
                    self._to_visit.append((link, depths[cid] + 1))
        if len(self._seen) > limits.MAX_DAG_BLOCKS or max(depths.values()) > limits.MAX_DAG_DEPTH:
            raise ContentTooLarge(
                f"{self._root} has over {limits.MAX_DAG_BLOCKS} blocks, or is deeper than {limits.MAX_DAG_DEPTH}"
            )
        self._report(Progress(self.blocks, self.size_bytes, self._total_bytes))

    async def _check_claim(self, block: bytes) -> None:
        self._total_bytes = len(block) if self._root_only else claimed_bytes(self._root, block)
        quota_bytes = (await self._store.usage()).quota_bytes
        if (self._total_bytes or 0) > quota_bytes:
            raise StorageFull(f"{self._root} has {self._total_bytes} bytes; the quota is {quota_bytes}")
