"""Playbooks that are shown by somebody's snapshot for as long as their history is not here.

A snapshot is taken only from a twin that the owner named, only where the owner adopts without looking first, and only
if we know far less. What it shows is never merged and never passed on, and bullets of authors whom we would not follow,
or that cross a red line, are left out. When the history is here the snapshot is checked against it: one that does not
hold what its revisions add up to was a lie, and its author's standing goes down.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Container, Sequence
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.did import Did, PeerId
from identity.errors import PagiError
from node.clock import NowMs, now_ms
from node.events import EventBus
from node.hive.hiding import without
from node.hive.own_snapshots import GROWN_BY
from node.hive.shelf import Shelf
from node.net.errors import BlockNotFound
from node.net.port import Network
from node.red_lines.red_lines import Found
from node.reputation.reputation import Reputation
from node.trust import TrustList
from protocols import limits
from protocols.errors import RemoteProtocolError, TooLarge
from protocols.playbook import merge
from protocols.playbook.merge import Bullet, Playbook
from protocols.playbook.messages import Update
from protocols.playbook.revision import link_of
from protocols.playbook.snapshot import Snapshot, read_snapshot, verify_snapshot
from storage import snapshots as rows
from storage.blocks import BlockStore
from storage.database import Database
from storage.snapshots import SnapshotRow, SnapshotStatus

logger = logging.getLogger(__name__)

BLOCKS_TIMEOUT_S: Final = 30.0
"""Time for some blocks of a snapshot. One that comes too slowly is given up: the history is on its way as well."""

FAR_LESS: Final = 2
"""A snapshot is worth it if it holds so many times what we have."""

LIE_WEIGHT: Final = 1.0
"""What a snapshot that lied says of its author: as much as a task that it failed."""

BULLETS_AT_ONCE: Final = 64
"""Bullets that are compared with the red lines in one go."""

Crossed = Callable[[Sequence[tuple[str, str]]], Awaitable[Found]]
"""Which red lines are crossed by texts, given as (where, text)."""


@dataclass(frozen=True, slots=True)
class Provisional:
    """What is shown for now. `fetched` of the snapshot's `revisions` are here already; `playbook` leaves out what the
    owner would not have."""

    snapshot: Cid
    author: Did
    revisions: int
    fetched: int
    playbook: Playbook


@dataclass(slots=True)
class _Held:
    snapshot: Snapshot
    whole: Playbook
    shown: Playbook


class Provisionals:
    """The snapshots that playbooks are shown by: one for each at most."""

    def __init__(
        self,
        *,
        database: Database,
        blocks: BlockStore,
        network: Network,
        trust: TrustList,
        reputation: Reputation,
        events: EventBus,
        judged: Container[Cid],
        crossed: Crossed,
        counters: Counter[str],
        now: NowMs = now_ms,
    ) -> None:
        self._database = database
        self._blocks = blocks
        self._shelf = Shelf(database, blocks)
        self._network = network
        self._trust = trust
        self._reputation = reputation
        self._events = events
        self._judged = judged
        self._crossed = crossed
        self._counters = counters
        self._now = now
        self._held: dict[str, _Held] = {}
        self._under_way: set[str] = set()
        self._passed_over: dict[tuple[str, Did], Cid] = {}

    async def load(self) -> None:
        """Show again what was shown before. A snapshot that can no longer be read is forgotten."""
        for row in await self._database.read(lambda conn: rows.with_status(conn, "provisional")):
            try:
                found = await asyncio.to_thread(self._read, row.cid)
            except PagiError as error:
                logger.warning("the snapshot %s can no longer be read: %s", row.cid, error)
                found = None
            if found is None or row.playbook in self._held or not self._is_wanted_from(row.author):
                await self._forget(row.cid)
            else:
                self._held[row.playbook] = _Held(*found, shown=await self._shown(found[1]))

    def of(self, name: str) -> Provisional | None:
        """What a playbook is shown by, if its history is not here yet."""
        held = self._held.get(name)
        if held is None:
            return None
        root = held.snapshot.root
        fetched = sum(cid in self._judged for cid in held.whole.revisions)
        return Provisional(held.snapshot.cid, root.author, root.revisions, fetched, held.shown)

    def view(self, name: str) -> Playbook | None:
        """The playbook that is shown for now, if one is."""
        held = self._held.get(name)
        return None if held is None else held.shown

    def heads(self, name: str, author: Did) -> Sequence[Cid]:
        """The heads of what an author's snapshot shows: their history is what it is checked against."""
        held = self._held.get(name)
        return held.snapshot.root.heads if held is not None and held.snapshot.root.author == author else ()

    def missing(self, name: str, author: Did) -> Sequence[Cid]:
        """Revisions that an author's snapshot names and that are not here."""
        held = self._held.get(name)
        if held is None or held.snapshot.root.author != author:
            return ()
        return [cid for cid in held.whole.revisions if cid not in self._judged]

    async def offer(self, update: Update, author: Did, *, peers: Sequence[PeerId], known: int) -> None:
        """Fetch and show the snapshot that an announcement names, if we know far less than it holds.

        `known` is how many revisions are in effect here. Raises RemoteProtocolError for one that is no snapshot of
        this playbook by this author, BlockNotFound and StorageError.
        """
        cid, name = update.snapshot, update.playbook
        if cid is None or name in self._held or name in self._under_way or not self._is_wanted_from(author):
            return
        if self._passed_over.get((name, author)) == cid:
            return
        self._under_way.add(name)
        try:
            if await self._database.read(lambda conn: rows.get(conn, cid)) is None:  # else it was checked before
                await self._show(cid, name, author, peers=peers, known=known)
        finally:
            self._under_way.discard(name)

    async def _show(self, cid: Cid, name: str, author: Did, *, peers: Sequence[PeerId], known: int) -> None:
        with self._blocks.hold() as hold:
            snapshot = await self._fetch_root(cid, peers)
            root = snapshot.root
            if (root.playbook, root.author) != (name, author):
                raise RemoteProtocolError(f"{cid} is not {author}'s snapshot of the playbook {name}")
            if root.revisions < max(GROWN_BY, FAR_LESS * known):
                self._passed_over[name, author] = cid
                return
            if root.revisions > limits.MAX_HISTORY_REVISIONS:
                raise TooLarge(f"a snapshot of {root.revisions} revisions")
            pairs = ((snapshot.payload_cid, snapshot.payload_block), (cid, snapshot.envelope_block))
            await asyncio.to_thread(hold.put_many, pairs)
            chunks = await self._fetch_chunks(root.chunks, peers, hold.put_many)
            whole = await asyncio.to_thread(read_snapshot, root, chunks)
            await self._note(snapshot, "provisional", None)
        self._held[name] = _Held(snapshot, whole, await self._shown(whole))
        self._counters["snapshots_shown"] += 1

    async def settle(self, name: str, author: Did, effective: Playbook) -> None:
        """The history of an author's snapshot is here, as far as it can be had: check it, and show the real state."""
        held = self._held.get(name)
        if held is None or held.snapshot.root.author != author:
            return
        if self.missing(name, author) and len(held.snapshot.root.heads) == limits.MAX_PARENTS:
            # It could not name all of its heads, and nobody who is here has the rest: it may be right or wrong.
            self._counters["snapshots_unproven"] += 1
            await self._forget(held.snapshot.cid)
            self._held.pop(name, None)
            return
        lie = await self._lie_of(held, effective)
        if lie is None:
            self._counters["snapshots_confirmed"] += 1
            await self._note(held.snapshot, "confirmed", None)
        else:
            self._counters["snapshots_refuted"] += 1
            logger.warning("the snapshot %s of %s was wrong: %s", held.snapshot.cid, author, lie)
            await self._note(held.snapshot, "refuted", lie)
        self._held.pop(name, None)

    async def look_again(self) -> None:
        """The owner's trust or red lines have changed: show what they allow now."""
        for name, held in list(self._held.items()):
            if self._is_wanted_from(held.snapshot.root.author):
                held.shown = await self._shown(held.whole)
            elif self._held.pop(name, None) is not None:
                await self._forget(held.snapshot.cid)

    def _is_wanted_from(self, author: Did) -> bool:
        trust = self._trust.current
        return trust.auto_adopt and author in trust.allow and author not in trust.block

    # Fetching

    async def _fetch_root(self, cid: Cid, peers: Sequence[PeerId]) -> Snapshot:
        envelope = await self._network.fetch_block(cid, peers, timeout_s=BLOCKS_TIMEOUT_S)
        payload = await self._network.fetch_block(link_of(envelope), peers, timeout_s=BLOCKS_TIMEOUT_S)
        return verify_snapshot(envelope, payload)

    async def _fetch_chunks(
        self, cids: Sequence[Cid], peers: Sequence[PeerId], put: Callable[[Sequence[tuple[Cid, bytes]]], None]
    ) -> list[bytes]:
        chunks: list[bytes] = []
        for first in range(0, len(cids), limits.MAX_BLOCKS_AT_ONCE):
            some = cids[first : first + limits.MAX_BLOCKS_AT_ONCE]
            found = await self._network.fetch_blocks(some, peers, timeout_s=BLOCKS_TIMEOUT_S)
            if any(cid not in found or len(found[cid]) > limits.MAX_REVISION_BYTES for cid in some):
                raise BlockNotFound("a chunk of the snapshot is missing, or too large")
            await asyncio.to_thread(put, [(cid, found[cid]) for cid in some])
            chunks += [found[cid] for cid in some]
        return chunks

    def _read(self, cid: Cid) -> tuple[Snapshot, Playbook] | None:
        envelope = self._blocks.get(cid)
        payload = self._blocks.get(link_of(envelope)) if envelope is not None else None
        if envelope is None or payload is None:
            return None
        snapshot = verify_snapshot(envelope, payload)
        chunks = [self._blocks.get(chunk) for chunk in snapshot.root.chunks]
        here = [chunk for chunk in chunks if chunk is not None]
        return (snapshot, read_snapshot(snapshot.root, here)) if len(here) == len(chunks) else None

    # Showing

    async def _shown(self, whole: Playbook) -> Playbook:
        hidden = await self._hidden([bullet for bullet in whole.bullets if self._trust.allows(bullet.author)])
        return await asyncio.to_thread(without, whole, allows=self._trust.allows, hidden=hidden)

    async def _hidden(self, bullets: Sequence[Bullet]) -> Collection[str]:
        """Which bullets cross a red line, or may: nothing is shown of them before a person has looked."""
        hidden: set[str] = set()
        for first in range(0, len(bullets), BULLETS_AT_ONCE):
            some = bullets[first : first + BULLETS_AT_ONCE]
            found = await self._crossed([(bullet.id, bullet.text) for bullet in some])
            hidden.update(hit.where for hit in found.hits)
            if not found.whole:
                hidden.update(bullet.id for bullet in some)
        return hidden

    # Checking

    async def _lie_of(self, held: _Held, effective: Playbook) -> str | None:
        """What is wrong about a snapshot, or None."""
        whole = held.whole
        if any(cid not in self._judged for cid in whole.revisions):
            return "it names revisions that are not in the history of its heads, or that nobody has"
        if whole.revisions.digest == effective.revisions.digest:
            right = whole.state_hash == effective.state_hash
        else:
            right = await asyncio.to_thread(self._adds_up, whole)
        return None if right else "its revisions add up to another playbook"

    def _adds_up(self, whole: Playbook) -> bool:
        joined = merge.EMPTY(whole.name)
        for cid in whole.revisions:
            signed = self._shelf.held(cid)
            if signed is None or signed.revision.playbook != whole.name:
                return False
            joined = merge.apply(joined, signed)
        return joined.state_hash == whole.state_hash

    async def _note(self, snapshot: Snapshot, status: SnapshotStatus, reason: str | None) -> None:
        """What is known of a snapshot now; with a lie, what it costs its author. One transaction, and an event."""
        root = snapshot.root
        now = self._now()
        row = SnapshotRow(
            *(snapshot.cid, root.playbook, root.author, root.height, root.revisions, root.state_hash),
            *(status, reason, now),
        )
        data = {"playbook": root.playbook, "author": root.author, "revisions": root.revisions, "status": status}
        event = self._events.make(
            "playbook_snapshot", str(snapshot.cid), data | ({"reason": reason} if reason else {}), source="hive"
        )
        noting = self._reputation.noting(
            root.author, "bullet", f"snapshot/{snapshot.cid}", good=0.0, bad=LIE_WEIGHT if status == "refuted" else 0.0
        )

        def store(conn: sqlite3.Connection) -> None:
            rows.put(conn, row)
            self._events.record(conn, event)
            if status == "refuted":
                noting(conn)

        await self._database.write(store)
        self._events.announce(event)

    async def _forget(self, cid: Cid) -> None:
        await self._database.write(lambda conn: rows.drop(conn, cid))
