"""The `Blocks` port in memory: what is elsewhere is another of these, and faults are set as attributes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from identity.cid import Cid
from node.content.blocks import Backend, Collected, Roots, Usage
from node.errors import ContentUnavailable
from protocols.ipld.links import links_of
from storage.errors import BlockMismatch, StorageFull
from storage.page import Page
from storage.pins import Pin, PinKind


class FakeBlocks:
    """Blocks in a dict. `elsewhere` is where `fetch` looks; `asked` has every call of it."""

    def __init__(self, *, quota_bytes: int = 1024**3, elsewhere: "FakeBlocks | None" = None) -> None:
        self.kept: dict[Cid, bytes] = {}
        self.pinned: dict[Cid, Pin] = {}
        self.held: Counter[Cid] = Counter()
        self.elsewhere = elsewhere
        self.asked: list[tuple[Cid, ...]] = []
        self.before_fetch: Callable[[Sequence[Cid]], Awaitable[None]] | None = None
        self.quota_bytes = quota_bytes

    @property
    def backend(self) -> Backend:
        return "embedded"

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.kept.values()))

    def keep_all(self, blocks: dict[Cid, bytes]) -> None:
        """Put blocks there as if they had always been."""
        self.kept.update(blocks)

    async def get(self, cid: Cid) -> bytes | None:
        await asyncio.sleep(0)
        return self.kept.get(cid)

    async def has(self, cid: Cid) -> bool:
        return cid in self.kept

    async def fetch(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        self.asked.append(tuple(cids))
        if self.before_fetch is not None:
            await self.before_fetch(cids)
        await asyncio.sleep(0)
        there = self.elsewhere.kept if self.elsewhere is not None else {}
        return {cid: there[cid] for cid in cids if cid in there}

    @asynccontextmanager
    async def hold(self) -> "AsyncIterator[FakeHold]":
        hold = FakeHold(self)
        try:
            yield hold
        finally:
            self.held.subtract(hold.holds)

    async def pin(self, cid: Cid, kind: PinKind, name: str | None = None) -> None:
        await asyncio.sleep(0)
        if cid not in self.kept:
            raise ContentUnavailable(f"{cid} is not here, so it cannot be pinned")
        seq = self.pinned[cid].seq if cid in self.pinned else len(self.pinned) + 1
        self.pinned[cid] = Pin(seq, cid, kind, name)

    async def unpin(self, cid: Cid) -> bool:
        return self.pinned.pop(cid, None) is not None

    async def pins(
        self, *, limit: int, after: str | None = None, kind: PinKind | None = None, name: str | None = None
    ) -> Page[Pin]:
        rows = [
            pin
            for pin in self.pinned.values()
            if kind in (None, pin.kind) and name in (None, pin.name) and pin.seq > int(after or 0)
        ]
        return Page(tuple(rows[:limit]), str(rows[limit - 1].seq) if len(rows) > limit else None)

    async def collect(self, also: Roots | None = None) -> Collected:
        roots = await also() if also is not None else ()
        live = {cid for cid, count in self.held.items() if count > 0}
        to_visit = [*roots, *(pin.cid for pin in self.pinned.values())]
        while to_visit:
            cid = to_visit.pop()
            if cid not in live and cid in self.kept:
                live.add(cid)
                pin = self.pinned.get(cid)
                if pin is None or pin.kind == "recursive":
                    to_visit.extend(links_of(cid, self.kept[cid]))
        gone = {cid: block for cid, block in self.kept.items() if cid not in live}
        for cid in gone:
            del self.kept[cid]
        return Collected(len(gone), sum(map(len, gone.values())))

    async def usage(self) -> Usage:
        return Usage(self.size_bytes, self.quota_bytes, len(self.kept))

    async def check(self) -> str:
        return "embedded: a fake in memory"


class FakeHold:
    def __init__(self, store: FakeBlocks) -> None:
        self._store = store
        self.holds: Counter[Cid] = Counter()
        self._brought: set[Cid] = set()

    async def put_many(self, blocks: Sequence[tuple[Cid, bytes]]) -> None:
        await asyncio.sleep(0)
        new = {cid: block for cid, block in blocks if cid not in self._store.kept}
        for cid, block in blocks:
            if not cid.matches(block):
                raise BlockMismatch(f"the bytes are not those of {cid}")
        if self._store.size_bytes + sum(map(len, new.values())) > self._store.quota_bytes:
            raise StorageFull("the fake is full")
        self._store.kept.update(new)
        self._brought.update(new)
        await self.keep([cid for cid, _ in blocks])

    async def keep(self, cids: Sequence[Cid]) -> None:
        self.holds.update(cids)
        self._store.held.update(cids)

    async def roll_back(self) -> None:
        for cid in self._brought:
            if self._store.held[cid] <= self.holds[cid]:
                self._store.kept.pop(cid, None)
        self._store.held.subtract(self.holds)
        self.holds.clear()
