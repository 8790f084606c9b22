"""Receiving playbooks: which announcements are followed, from whom their history is fetched, and what comes of it.

What becomes of a fetched revision is not decided here: verified ones go to the hive, which judges them.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Final, Protocol

from identity.cid import Cid
from identity.did import Did, PeerId, peer_id_of_did
from identity.errors import PagiError
from node.clock import NowMs, now_ms
from node.gossip import Gossip, Heard
from node.hive.fetch import Fetch
from node.hive.following import Following, Wanted
from node.hive.history import HistoryServer
from node.hive.provisional import Provisionals
from node.hive.same_heads import SameHeads
from node.hive.staging import Stage, Staging
from node.hive.walk import Walk
from node.net.errors import BlockNotFound
from node.net.port import Network
from protocols import limits
from protocols.didcomm.envelope import verify_signed
from protocols.errors import ProtocolError, RemoteProtocolError
from protocols.message import Message
from protocols.playbook.merge import Playbook
from protocols.playbook.messages import PLAYBOOK_UPDATE, Update
from protocols.playbook.revision import SignedRevision
from storage import gossip as gossip_rows
from storage import revisions as rows
from storage.blocks import BlockStore
from storage.database import Database

logger = logging.getLogger(__name__)

MAX_ASKED_PEERS: Final = 8
"""Peers asked for a history, the announcer first: the time for a level by bitswap is shared between them."""

TAKEN_AT_ONCE: Final = 512
"""Revisions judged in one transaction. Between two of them others have their turn, and a crash loses no more."""


class Taker(Protocol):
    """Whoever judges what is received: the hive, as far as receiving knows it."""

    @property
    def judged(self) -> Container[Cid]:
        """The revisions that need not be fetched."""

    def follows(self, name: str) -> bool:
        """Whether a playbook of this name is kept here."""

    async def may_teach(self, author: Did) -> bool:
        """Whether what this author announces is fetched."""

    def effective(self, name: str) -> Playbook:
        """The effective playbook; never one that is shown by a snapshot."""

    async def check_room(self, sizes: Mapping[Did, int]) -> None:
        """Raise TooLarge if there is no room for so many more bytes of these authors."""

    async def take_in(self, revisions: Sequence[SignedRevision]) -> None:
        """Store, judge and perhaps adopt verified revisions, parents first. Raises TooLarge if they are too many."""

    async def tell_everyone(self, name: str) -> None:
        """Announce the heads of a playbook to those who may not have heard of them."""

    async def followed(self, update: Update, author: Did) -> None:
        """All that `author` announced is here and judged."""


class Receiving:
    """Fetches what twins announce that may teach us. `did` is our own."""

    def __init__(
        self,
        taker: Taker,
        *,
        did: Did,
        network: Network,
        gossip: Gossip,
        database: Database,
        blocks: BlockStore,
        provisionals: Provisionals,
        counters: Counter[str],
        now: NowMs = now_ms,
    ) -> None:
        self._taker = taker
        self._did = did
        self._network = network
        self._database = database
        self._counters = counters
        self._provisionals = provisionals
        self._staging = Staging(database, blocks, taker.judged)
        self._same = SameHeads(self._taken_in)
        self._server = HistoryServer(network, blocks, counters, now=now)
        self._following = Following(network, self._fetch, counters)
        gossip.on(PLAYBOOK_UPDATE, self._on_update)

    async def run(self) -> None:
        """Serve histories and fetch what is announced, until cancelled; first what is announced on disk."""
        await self._server.serve()
        await self.follow_held()
        await self._following.run()

    async def follow_held(self) -> None:
        """Follow the heads that are on disk: those of twins named since, and those that a crash interrupted."""
        for message, author in await self._held():
            await self._offer(message, author, None, late=True)

    async def offered(self) -> Mapping[str, Sequence[Did]]:
        """The playbooks that twins who may teach here have announced, and who has."""
        found: dict[str, list[Did]] = {}
        for message, author in await self._held():
            if await self._taker.may_teach(author):
                found.setdefault(Update.from_body(message.body).playbook, []).append(author)
        return found

    async def _held(self) -> list[tuple[Message, Did]]:
        """The announcements of others that are on disk, the newest of each author and playbook."""
        held = []
        for signed in await self._database.read(lambda conn: gossip_rows.of_type(conn, PLAYBOOK_UPDATE)):
            try:
                message = verify_signed(signed).message
                Update.from_body(message.body)
            except ProtocolError as error:
                logger.warning("an announcement on disk cannot be read any more: %s", error)
                continue
            if message.from_ is not None and message.from_ != self._did:
                held.append((message, message.from_))
        return held

    async def _on_update(self, heard: Heard) -> None:
        await self._offer(heard.message, heard.author, heard.via, late=not heard.live)

    async def _offer(self, message: Message, author: Did, via: PeerId | None, *, late: bool) -> None:
        update = Update.from_body(message.body)
        # Only what twins announce that the owner named, or let in by their standing, is fetched: a stranger cannot
        # make us store anything.
        if self._taker.follows(update.playbook) and await self._taker.may_teach(author):
            self._following.want(update, author, via, late=late)
        else:
            self._counters["updates_not_followed"] += 1

    async def _fetch(self, wanted: Wanted) -> None:
        name, author = wanted.update.playbook, wanted.author
        if not self._taker.follows(name) or not await self._taker.may_teach(author):
            return  # the owner has changed her mind since
        if self._unjudged(wanted.update.heads):
            await self._offer_snapshot(wanted)
        heads = (*wanted.update.heads, *self._provisionals.heads(name, author))
        await self._same.wait(self._unjudged(heads))
        missing = self._unjudged(heads)
        if missing:
            stage = self._staging.of(name, author)
            try:
                with self._same.fetching(missing):
                    await self._fetch_missing(missing, wanted, stage)
                with contextlib.suppress(BlockNotFound):
                    await self._fetch_missing(self._provisionals.missing(name, author), wanted, stage)
            except RemoteProtocolError:
                await asyncio.to_thread(stage.roll_back)
                self._staging.done(name, author)
                raise
            self._staging.done(name, author)
            if wanted.late:
                await self._taker.tell_everyone(name)
        await self._provisionals.settle(name, author, self._taker.effective(name))
        await self._taker.followed(wanted.update, author)

    def _taken_in(self) -> int:
        """How many revisions came and were judged so far."""
        return sum(count for name, count in self._counters.items() if name.startswith(("revisions_", "history_rev")))

    def _unjudged(self, cids: Sequence[Cid]) -> list[Cid]:
        return [cid for cid in dict.fromkeys(cids) if cid not in self._taker.judged]

    async def _offer_snapshot(self, wanted: Wanted) -> None:
        """Something to look at while the history is on its way; a bad one costs the history nothing."""
        known = len(self._taker.effective(wanted.update.playbook).revisions)
        try:
            await self._provisionals.offer(wanted.update, wanted.author, peers=self._peers_for(wanted), known=known)
        except RemoteProtocolError as error:
            self._counters["snapshots_refused"] += 1
            logger.warning("a snapshot of playbook %s by %s: %s", wanted.update.playbook, wanted.author, error)
        except PagiError as error:
            logger.info("no snapshot of playbook %s by %s: %s", wanted.update.playbook, wanted.author, error)

    async def _fetch_missing(self, heads: Sequence[Cid], wanted: Wanted, stage: Stage) -> None:
        if not heads:
            return
        name = wanted.update.playbook
        await asyncio.to_thread(stage.begin)
        walk = Walk(heads, playbook=name)
        await Fetch(
            walk,
            disk=stage,
            network=self._network,
            peers=self._peers_for(wanted),
            have=await self._have(name),
            counters=self._counters,
        ).run()
        cids = walk.in_order()
        await self._taker.check_room(walk.sizes)
        for first in range(0, len(cids), TAKEN_AT_ONCE):
            await self._take_in(walk, stage, cids[first : first + TAKEN_AT_ONCE])

    async def _take_in(self, walk: Walk, stage: Stage, cids: Sequence[Cid]) -> None:
        """Hand some of the walk's revisions on; those that are no longer in memory are read back."""
        found = await asyncio.to_thread(lambda: [walk.kept(cid) or stage.held(cid) for cid in cids])
        revisions = [signed for signed in found if signed is not None]
        if len(revisions) < len(cids):
            raise BlockNotFound("the disk has lost blocks of a history that is being judged")
        await self._taker.take_in(revisions)

    async def _have(self, name: str) -> Sequence[Cid]:
        """What a peer is told that we have: heads of what is adopted, and the highest of all that was judged."""
        highest = await self._database.read(lambda conn: rows.highest(conn, name, limits.MAX_HISTORY_WANTS))
        some = self._taker.effective(name).next_parents[: limits.MAX_HISTORY_WANTS // 2]
        return [*dict.fromkeys((*some, *highest))][: limits.MAX_HISTORY_WANTS]

    def _peers_for(self, wanted: Wanted) -> Sequence[PeerId]:
        connected = [info.peer_id for info in self._network.peers()]
        first = [peer for peer in (peer_id_of_did(wanted.author), wanted.via) if peer in connected]
        return [*dict.fromkeys(peer for peer in (*first, *connected) if peer is not None)][:MAX_ASKED_PEERS]
