"""The embedded backend: this node's own block store, and bitswap over its own network for what is elsewhere."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Final

from identity.cid import Cid
from identity.did import PeerId
from identity.multibase import CODEC_RAW
from node.content.blocks import Backend, Collected, Roots, Usage
from node.content.errors import PinBroken
from node.content.writing import unbroken
from node.errors import ContentUnavailable
from node.holding import holding
from node.net.port import Network, PeerInfo
from protocols.errors import ProtocolError
from protocols.ipld.links import knows, links_of
from protocols.limits import MAX_BLOCKS_AT_ONCE
from storage import pins
from storage.blocks import BlockStore, StoreHold
from storage.database import Database
from storage.page import Page
from storage.pins import Pin, PinKind

Providers = Callable[[Cid], Awaitable[Sequence[PeerId]]]
"""Finds peers who say that they have a block, and connects to them."""

COLLECT_AT: Final = 0.9
"""Of the quota: beyond it a collection comes before the next block."""

COLLECT_AGAIN: Final = 0.01
"""Of the quota: how much must have come since the last collection that began by itself before the next one does."""

_READ_AT_ONCE: Final = 256
"""Blocks whose links are read in one go of a thread: some 10 ms, after which a collection can be cancelled."""

_PROVIDER_SEARCHES: Final = 4
"""Searches for providers in one call: whoever has one block of a DAG mostly has the others."""

logger = logging.getLogger(__name__)


class EmbeddedBlocks:
    """`Blocks` over the embedded store.

    `providers` finds those who have what no connected peer has. `roots` are spared by the collections that begin by
    themselves, when little room is left.
    """

    def __init__(
        self,
        store: BlockStore,
        *,
        database: Database,
        network: Network,
        providers: Providers | None = None,
        roots: Roots | None = None,
    ) -> None:
        self._store = store
        self._database = database
        self._network = network
        self._providers = providers
        self._roots = roots
        self._collecting = asyncio.Lock()
        self._collections = 0
        self._left_bytes = 0
        """What the last collection left."""

    @property
    def backend(self) -> Backend:
        return "embedded"

    async def get(self, cid: Cid) -> bytes | None:
        return await asyncio.to_thread(self._store.get, cid)

    async def has(self, cid: Cid) -> bool:
        return await asyncio.to_thread(self._store.has, cid)

    async def fetch(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        """From the connected peers, the nearest first; then from those who say that they have what is still missing."""
        found: dict[Cid, bytes] = {}
        peers = [peer.peer_id for peer in sorted(self._network.peers(), key=_distance)]
        await self._ask(cids, peers, found)
        searched: set[Cid] = set()
        while self._providers is not None and len(searched) < _PROVIDER_SEARCHES:
            missing = [cid for cid in cids if cid not in found]
            unsearched = [cid for cid in missing if cid not in searched]
            if not unsearched:
                break
            searched.add(unsearched[0])
            await self._ask(missing, await self._providers(unsearched[0]), found)
        return found

    async def _ask(self, cids: Sequence[Cid], peers: Sequence[PeerId], found: dict[Cid, bytes]) -> None:
        for start in range(0, len(cids) if peers else 0, MAX_BLOCKS_AT_ONCE):
            found.update(await self._network.fetch_blocks(cids[start : start + MAX_BLOCKS_AT_ONCE], peers))

    @asynccontextmanager
    async def hold(self) -> AsyncIterator["EmbeddedHold"]:
        async with holding(self._store) as hold:
            yield EmbeddedHold(self, hold)

    async def pin(self, cid: Cid, kind: PinKind, name: str | None = None) -> None:
        """The caller holds the blocks until this returns. Raises ContentUnavailable if the root is not here.

        A caller that is cancelled while the row is being written goes on holding them until it is.
        """
        async with self.hold() as hold:
            await hold.keep([cid])
            if not await self.has(cid):
                raise ContentUnavailable(f"{cid} is not here, so it cannot be pinned")
            await unbroken(self._database.write(lambda conn: pins.add(conn, cid, kind, name)))

    async def unpin(self, cid: Cid) -> bool:
        return await self._database.write(lambda conn: pins.remove(conn, cid))

    async def pins(
        self, *, limit: int, after: str | None = None, kind: PinKind | None = None, name: str | None = None
    ) -> Page[Pin]:
        return await self._database.read(
            lambda conn: pins.list_pins(conn, limit=limit, after=after, kind=kind, name=name)
        )

    async def collect(self, also: Roots | None = None) -> Collected:
        """One collection at a time. It may be cancelled: what was removed is gone, and everything else stays.

        Raises PinBroken; then nothing is removed.
        """
        async with self._collecting:
            return await self._collect(also or self._roots)

    async def _collect(self, also: Roots | None) -> Collected:
        async with self._under_way() as remove_all_but:
            live = await self._live(also)
            removing = asyncio.ensure_future(asyncio.to_thread(remove_all_but, live))
            try:
                removed = await asyncio.shield(removing)
            except asyncio.CancelledError:
                await asyncio.wait([removing])  # a thread cannot be stopped, and must not outlive its collection
                raise
        self._collections += 1
        self._left_bytes = self._store.size_bytes
        return Collected(*removed)

    @asynccontextmanager
    async def _under_way(self) -> AsyncIterator[Callable[[Collection[Cid]], tuple[int, int]]]:
        """The store's collection. Somebody else's over the same store is waited for in a thread."""
        stack = ExitStack()
        entering = asyncio.ensure_future(asyncio.to_thread(stack.enter_context, self._store.collecting()))
        try:
            yield await asyncio.shield(entering)
        finally:
            if not entering.done():
                await asyncio.wait([entering])
            stack.close()

    async def make_room(self, size_bytes: int) -> None:
        """Collect first if so many bytes more would pass COLLECT_AT of the quota, and it may help.

        Where it cannot be collected for a broken pin, the owner is told, and what fits still comes in.
        """
        quota_bytes, before = self._store.quota_bytes, self._collections
        if self._store.size_bytes + size_bytes <= COLLECT_AT * quota_bytes:
            return
        async with self._collecting:
            kept_bytes = self._store.size_bytes
            grown = kept_bytes - self._left_bytes >= COLLECT_AGAIN * quota_bytes
            if self._collections == before and (grown or kept_bytes + size_bytes > quota_bytes):
                try:
                    await self._collect(self._roots)
                except PinBroken as error:
                    self._left_bytes = kept_bytes
                    logger.warning("the block store is nearly full and cannot be cleaned: %s. %s", error, error.hint)

    async def usage(self) -> Usage:
        return Usage(self._store.size_bytes, self._store.quota_bytes, self._store.count)

    async def check(self) -> str:
        blocks = self._store.count
        return f"embedded: {blocks} {'block' if blocks == 1 else 'blocks'} in this twin's home"

    async def _live(self, also: Roots | None) -> Collection[Cid]:
        """All that the pins need, and what is under the other roots. Reads every block of these that has links.

        Raises PinBroken if such a block of a pin is not here: what it names is needed, and nobody knows what that is.
        """
        pinned = await self._database.read(pins.everything)
        live, lost = set[Cid](), set[Cid]()
        whole = [cid for cid, kind in pinned if kind == "recursive"]
        await self._walk_all(dict.fromkeys(whole), live, lost)
        if lost:
            raise await self._broken(whole)
        if also is not None:
            await self._walk_all(dict.fromkeys(await also()), live, lost)  # these need not be whole
        live.update(cid for cid, kind in pinned if kind == "direct")
        return live

    async def _broken(self, whole: Sequence[Cid]) -> PinBroken:
        """Which of these pins it is that lacks a block."""
        for root in whole:
            lost = set[Cid]()
            await self._walk_all({root: None}, set(), lost)
            if lost:
                return PinBroken(f"{min(lost)} is lost or damaged, and with it what it names of the pin {root}")
        return PinBroken("a block of a pin was lost or damaged, and is here again")

    async def _walk_all(self, to_read: dict[Cid, None], live: set[Cid], lost: set[Cid]) -> None:
        while to_read:
            await asyncio.to_thread(self._walk, to_read, live, lost)

    def _walk(self, to_read: dict[Cid, None], live: set[Cid], lost: set[Cid]) -> None:
        """Note the next few of `to_read` that are here as live, and what they name to be read.

        Only what is here is noted, or has links and is lost, and nothing waits twice to be read, so that the memory is
        bounded by the store and not by how often its blocks name what.
        """
        for _ in range(min(_READ_AT_ONCE, len(to_read))):
            cid, _ = to_read.popitem()
            if cid in live or cid in lost:
                continue
            if cid.codec == CODEC_RAW or not knows(cid.codec):
                if self._store.has(cid):
                    live.add(cid)
                continue
            block = self._store.get(cid)
            if block is None:
                lost.add(cid)
                continue
            live.add(cid)
            try:
                to_read.update((link, None) for link in links_of(cid, block) if link not in live)
            except ProtocolError:
                continue  # it was pinned although it cannot be read: it stays, and names nothing


class EmbeddedHold:
    """`Hold` over one of the store's."""

    def __init__(self, blocks: EmbeddedBlocks, hold: StoreHold) -> None:
        self._blocks = blocks
        self._hold = hold

    async def put_many(self, blocks: Sequence[tuple[Cid, bytes]]) -> None:
        """As the port says. Near the quota a collection comes first; if the blocks do not fit even so: StorageFull."""
        await self._blocks.make_room(sum(len(block) for _, block in blocks))
        await asyncio.to_thread(self._hold.put_many, blocks)

    async def keep(self, cids: Sequence[Cid]) -> None:
        await asyncio.to_thread(self._hold.keep, cids)

    async def roll_back(self) -> None:
        await asyncio.to_thread(self._hold.roll_back)


def _distance(peer: PeerInfo) -> tuple[bool, float]:
    return peer.relayed, float("inf") if peer.latency_ms is None else peer.latency_ms
