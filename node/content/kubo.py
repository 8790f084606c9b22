"""The Kubo backend: the blocks of content are in a Kubo that the owner runs, and its network finds what is elsewhere.

What this twin has pinned there is noted in a table of its own: the owner's other pins are neither listed nor touched.
Kubo does not flush every block before it answers; when an add is on disk is its own promise (`Datastore.Spec`, `sync`).
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE, CODEC_DAG_JSON, CODEC_DAG_PB, CODEC_RAW
from node.content.blocks import Backend, Collected, Roots, Usage
from node.content.errors import BackendRefused, BackendUnavailable
from node.content.kubo_api import KuboApi, KuboSaid
from node.content.kubo_pins import KuboPins, called
from node.errors import ContentUnavailable
from node.net.port import BlockSource
from protocols import dag_cbor
from protocols.errors import ProtocolError
from protocols.ipld.errors import UnknownCodec
from protocols.ipld.links import knows, links_of
from storage import pins
from storage.database import Database
from storage.errors import BlockMismatch
from storage.page import Page
from storage.pins import Pin, PinKind

Elsewhere = Callable[[Sequence[Cid]], Awaitable[dict[Cid, bytes]]]
"""Asks the twins that are connected, before Kubo asks its own network."""

FETCH_S: Final = 20.0
"""How long Kubo looks for one block in its network."""

COLLECT_WAIT_S: Final = 600.0
"""Kubo says nothing while it marks what is needed, in a large repository for minutes."""

_SPARED: Final = called("spared by a collection")
_CALLS: Final = 16
_NAMED_AT_ONCE: Final = 100
"""CIDs in one URL."""

_LINKS_AT_ONCE: Final = 10_000
"""Links of one block, 410 KB."""

_CODECS: Final[Mapping[int, str]] = {
    CODEC_RAW: "raw",
    CODEC_DAG_PB: "dag-pb",
    CODEC_DAG_CBOR: "dag-cbor",
    CODEC_DAG_JSON: "dag-json",
    CODEC_DAG_JOSE: "dag-jose",
}

logger = logging.getLogger(__name__)


class KuboBlocks:
    """`Blocks` over a Kubo. `local` and `elsewhere` are asked for what it does not have, before its network is.

    Every method raises BackendUnavailable if Kubo does not answer, and BackendRefused if it does not as it should.
    """

    def __init__(
        self,
        api: KuboApi,
        *,
        database: Database,
        local: BlockSource | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._api = api
        self.pins_there: Final = KuboPins(api)
        self._database = database
        self._local = local
        self._elsewhere = elsewhere
        self._calls = asyncio.Semaphore(_CALLS)
        self._changing = asyncio.Lock()
        """Held while blocks are put or removed: no collection begins between a look whether one is here and its use."""
        self._held: Counter[Cid] = Counter()
        self._brought: dict[Cid, KuboHold] = {}

    @property
    def backend(self) -> Backend:
        return "kubo"

    async def get(self, cid: Cid) -> bytes | None:
        async with self._calls:
            try:
                block = await self._api.block(str(cid))
            except KuboSaid as said:
                if said.missing:
                    return None
                raise BackendRefused(f"Kubo cannot read {cid}: {said}") from said
        return block if _is_of(cid, block) else None

    async def has(self, cid: Cid) -> bool:
        async with self._calls:
            try:
                found = await self._api.one("block/stat", str(cid), offline="true")
            except KuboSaid as said:
                if said.missing:
                    return False
                raise BackendRefused(f"Kubo cannot look for {cid}: {said}") from said
        return self._api.said(found, "Key", str) == str(cid)

    async def fetch(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        found: dict[Cid, bytes] = {}
        if self._local is not None:
            for cid in cids:
                block = await asyncio.to_thread(self._local.get, cid)
                if block is not None:
                    found[cid] = block
        if self._elsewhere is not None and len(found) < len(cids):
            found.update(await self._elsewhere([cid for cid in cids if cid not in found]))
        missing = [cid for cid in cids if cid not in found]
        asked = zip(missing, await asyncio.gather(*map(self._from_its_network, missing)), strict=True)
        return found | {cid: block for cid, block in asked if block is not None}

    async def _from_its_network(self, cid: Cid) -> bytes | None:
        async with self._calls:
            try:
                block = await self._api.block(str(cid), timeout_s=FETCH_S)
            except KuboSaid:
                return None
        return block if _is_of(cid, block) else None

    @asynccontextmanager
    async def hold(self) -> "AsyncIterator[KuboHold]":
        hold = KuboHold(self)
        try:
            yield hold
        finally:
            self._release(hold)

    # Pins

    async def pin(self, cid: Cid, kind: PinKind, name: str | None = None) -> None:
        """As the port says. Raises ContentUnavailable if a block is not here, and Kubo's network does not give it."""
        if not await self.has(cid):
            raise ContentUnavailable(f"{cid} is not in Kubo, so it cannot be pinned")
        await self.pins_there.add(cid, kind, called(name))
        await self._database.write(lambda conn: pins.add(conn, cid, kind, name, where="kubo_pins"))

    async def unpin(self, cid: Cid) -> bool:
        if await self._database.read(lambda conn: pins.get(conn, cid, where="kubo_pins")) is None:
            return False
        await self.pins_there.remove(cid)
        return await self._database.write(lambda conn: pins.remove(conn, cid, where="kubo_pins"))

    async def pins(
        self, *, limit: int, after: str | None = None, kind: PinKind | None = None, name: str | None = None
    ) -> Page[Pin]:
        return await self._database.read(
            lambda conn: pins.list_pins(conn, limit=limit, after=after, kind=kind, name=name, where="kubo_pins")
        )

    # Collections

    async def collect(self, also: Roots | None = None) -> Collected:
        """Have Kubo collect. It also removes what other programs left there without a pin."""
        async with self._changing:
            before = await self.usage()
            await self._unpin_spared()
            needed = {*self._held, *(await self._below(await also()) if also is not None else ())}
            try:
                await self._spare(await self._present(needed))
                count = 0
                options = {"quiet": "true", "stream-errors": "true"}
                async with aclosing(self._api.lines("repo/gc", options=options, wait_s=COLLECT_WAIT_S)) as lines:
                    async for line in lines:
                        if line.get("Error"):
                            logger.warning("Kubo's garbage collection: %s", str(line["Error"])[:200])
                        else:
                            count += 1
            except KuboSaid as said:
                raise BackendRefused(f"Kubo cannot collect: {said}") from said
            await self._unpin_spared()
            after = await self.usage()
        return Collected(count, max(0, before.size_bytes - after.size_bytes))

    async def _spare(self, cids: Collection[Cid]) -> None:
        """Keep single blocks by one pin for thousands of them: on a block that links to them as raw ones, so that what
        they name themselves is not asked for."""
        wanted = sorted(cids)
        for start in range(0, len(wanted), _LINKS_AT_ONCE):
            links = [bytes(Cid(CODEC_RAW, cid.digest)) for cid in wanted[start : start + _LINKS_AT_ONCE]]
            block = dag_cbor.encode(links)
            root = Cid.of(CODEC_DAG_CBOR, block)
            await self._store({root: block}, "dag-cbor")
            await self.pins_there.add(root, "recursive", _SPARED)

    async def _unpin_spared(self) -> None:
        """Also what a collection that was cut off has left."""
        for cid in await self.pins_there.named(_SPARED):
            await self.pins_there.remove(cid)

    async def _below(self, roots: Iterable[Cid]) -> set[Cid]:
        """What is here of the DAGs under these roots."""
        to_read, found = dict.fromkeys(roots), set[Cid]()
        while to_read:
            cid, _ = to_read.popitem()
            if cid in found:
                continue
            if cid.codec == CODEC_RAW or not knows(cid.codec):
                found.add(cid)
            elif (block := await self.get(cid)) is not None:
                found.add(cid)
                try:
                    to_read.update((link, None) for link in links_of(cid, block) if link not in found)
                except ProtocolError:
                    continue
        return found

    # What the owner sees

    async def usage(self) -> Usage:
        """Of the whole Kubo, and the limit that it is configured with: that limit makes it collect, if it does."""
        stat = await self._api.one("repo/stat", size_only="true")
        return Usage(self._api.said(stat, "RepoSize", int), self._api.said(stat, "StorageMax", int), None)

    async def check(self) -> str:
        version = await self._api.one("version")
        return f"kubo: {version.get('Version', '?')} at {self._api.url} answers"

    # Holds

    def _hold(self, hold: "KuboHold", cids: Iterable[Cid]) -> None:
        """What another hold brought in is no longer only that one's."""
        for cid in set(cids) - hold.held:
            hold.held.add(cid)
            self._held[cid] += 1
            self._brought.pop(cid, None)

    def _release(self, hold: "KuboHold") -> None:
        for cid in hold.held:
            self._held[cid] -= 1
            if self._held[cid] == 0:
                del self._held[cid]
            if self._brought.get(cid) is hold:
                del self._brought[cid]
        hold.held.clear()

    async def _put(self, hold: "KuboHold", blocks: Sequence[tuple[Cid, bytes]]) -> None:
        wanted = dict(blocks)
        for cid, block in wanted.items():
            if not cid.matches(block):
                raise BlockMismatch(f"the bytes are not those of {cid}")
            if cid.codec not in _CODECS:
                raise UnknownCodec(f"{cid} has codec 0x{cid.codec:x}, which Kubo is not given")
        async with self._changing:
            self._hold(hold, wanted)
            missing = set(wanted) - await self._present(wanted)
            by_codec: dict[str, list[Cid]] = defaultdict(list)
            for cid in missing:
                by_codec[_CODECS[cid.codec]].append(cid)
            for codec, cids in by_codec.items():
                await self._store({cid: wanted[cid] for cid in cids}, codec)
                self._brought.update(dict.fromkeys(cids, hold))

    async def _store(self, blocks: Mapping[Cid, bytes], codec: str) -> None:
        try:
            names = await self._api.put(codec, list(blocks.values()))
        except KuboSaid as said:
            raise BackendRefused(f"Kubo does not take the blocks: {said}") from said
        if names != [str(cid) for cid in blocks]:
            raise BackendRefused("Kubo has stored the blocks under other CIDs")

    async def _keep(self, hold: "KuboHold", cids: Sequence[Cid]) -> None:
        async with self._changing:
            self._hold(hold, cids)

    async def _roll_back(self, hold: "KuboHold") -> None:
        """Kubo refuses to remove what is pinned, by whomever. If it is away its next collection takes the blocks."""
        async with self._changing:
            own = [str(cid) for cid in hold.held if self._brought.get(cid) is hold]
            self._release(hold)
            try:
                for start in range(0, len(own), _NAMED_AT_ONCE):
                    await self._api.one("block/rm", *own[start : start + _NAMED_AT_ONCE], force="true", quiet="true")
            except (BackendUnavailable, KuboSaid) as error:
                logger.warning("what was brought in stays in Kubo until its next collection: %s", error)

    async def _present(self, cids: Collection[Cid]) -> set[Cid]:
        wanted = list(cids)
        found = await asyncio.gather(*map(self.has, wanted))
        return {cid for cid, here in zip(wanted, found, strict=True) if here}


class KuboHold:
    """`Hold` over Kubo. Made by `KuboBlocks.hold`."""

    def __init__(self, blocks: KuboBlocks) -> None:
        self._blocks = blocks
        self.held: Final[set[Cid]] = set()

    async def put_many(self, blocks: Sequence[tuple[Cid, bytes]]) -> None:
        await self._blocks._put(self, blocks)

    async def keep(self, cids: Sequence[Cid]) -> None:
        await self._blocks._keep(self, cids)

    async def roll_back(self) -> None:
        await self._blocks._roll_back(self)


def _is_of(cid: Cid, block: bytes) -> bool:
    if cid.matches(block):
        return True
    logger.warning("Kubo gave bytes for %s that are not of it", cid)
    return False
