"""Fetching what a walk misses: from our own disk, else from one peer after the other, each block verified.

A peer that speaks `/pagi/history/1.0` gives hundreds of revisions in one answer; bitswap, which also a stock IPFS node
speaks, gives them level by level. Whatever is fetched is on disk before the walk goes on, so that an attempt that is
cut off, by a crash too, is taken up where it was. What a peer answers wrongly is that peer's fault, and the next one is
asked; what is wrong in a block that has the right hash is its author's, and the history is refused.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, Protocol

from identity.cid import Cid
from identity.did import PeerId
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from node.hive.walk import Walk
from node.net.errors import BlockNotFound, RemoteNetError
from node.net.port import Network
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.playbook.history import PROTOCOL, BlockPair, HistoryAnswer, HistoryRequest
from protocols.playbook.revision import SignedRevision, link_of, verify_revision

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S: Final = 20.0
"""One answer has at most 1 MiB: a peer that needs longer is passed over, and asked again with the next attempt."""

BLOCKS_TIMEOUT_S: Final = 10.0
"""Time for one level by bitswap, shared between the peers."""

FIRST_LIMIT: Final = 32
"""Revisions asked for at first; then four times as many with each answer. Most often a few are missing, and a peer that
cannot tell what we have should not send a whole history for them."""


class Disk(Protocol):
    """Our own disk, as far as a walk needs it."""

    def is_judged(self, cid: Cid) -> bool:
        """Whether a revision was judged here, also if its blocks are lost."""

    async def known(self, cids: Sequence[Cid]) -> Mapping[Cid, int]:
        """Of these, the heights of the revisions that were judged here and whose blocks are here."""

    def held(self, cid: Cid) -> SignedRevision | None:
        """A revision whose blocks are here, judged or not. Blocks the calling thread."""

    def stage(self, revisions: Sequence[SignedRevision]) -> None:
        """Keep the blocks until they are judged, or given up. Blocks the calling thread. Raises StorageError."""


class _Garbage(Exception):
    """A peer gave what nobody asked for, or what is no answer."""


class Fetch:
    """Completes one walk. `have` are revisions that are known here, named to peers so that they stop at them."""

    def __init__(
        self,
        walk: Walk,
        *,
        disk: Disk,
        network: Network,
        peers: Sequence[PeerId],
        have: Sequence[Cid],
        counters: Counter[str],
    ) -> None:
        self._walk = walk
        self._disk = disk
        self._network = network
        self._peers = list(peers)
        self._speakers = list(peers)
        self._have = tuple(have)
        self._counters = counters
        self._looked_up: set[Cid] = set()
        self._limit = FIRST_LIMIT

    async def run(self) -> None:
        """Fetch until nothing is missing.

        Raises BlockNotFound if nobody has a block, RemoteProtocolError if the history is to be refused, StorageError.
        """
        while True:
            await self._look_here()
            if not self._walk.missing:
                return
            before = len(self._walk)
            for ask in (self._by_history, self._by_bitswap):
                await ask()
                if len(self._walk) > before:
                    break
            else:
                raise BlockNotFound(f"nobody of {len(self._peers)} peers has what is missing of the history")

    async def _look_here(self) -> None:
        """Take what is here already: known, or left by an attempt that was cut off."""
        while new := [cid for cid in self._walk.missing if cid not in self._looked_up]:
            self._looked_up.update(new)
            self._walk.settle(await self._disk.known(new))
            left = [cid for cid in new if cid in self._walk.missing]
            found = await asyncio.to_thread(lambda cids: [self._disk.held(cid) for cid in cids], left)
            for signed in found:
                if signed is not None:
                    self._walk.take(signed)

    async def _by_history(self) -> None:
        """Ask for a part of the history: the peer that gave the last one first."""
        for peer in tuple(self._speakers):
            if await self._within_fault(peer, self._ask(peer)):
                return
            if peer in self._speakers:
                self._speakers.remove(peer)
                self._speakers.append(peer)
        if self._have and self._speakers:
            # What is missing may lie under something that we have: blocks that our disk lost.
            self._have = ()
            await self._by_history()

    async def _ask(self, peer: PeerId) -> int:
        wanted = tuple(self._walk.wanted(limits.MAX_HISTORY_WANTS))
        request = HistoryRequest(self._walk.playbook, wanted, self._have, self._limit)
        reply = await self._network.request(peer, PROTOCOL, request.encode(), timeout_s=ANSWER_TIMEOUT_S)
        try:
            pairs = (await asyncio.to_thread(HistoryAnswer.decode, reply)).revisions
        except RemoteProtocolError as error:
            raise _Garbage(f"its answer is no answer: {error}") from error
        taken = await self._take(pairs)
        self._limit = min(4 * self._limit, limits.MAX_HISTORY_ANSWER_REVISIONS) if taken else self._limit
        return taken

    async def _by_bitswap(self) -> None:
        """Ask for one level: the envelopes of what is missing, then their payloads."""
        wanted = self._walk.wanted(limits.MAX_BLOCKS_AT_ONCE)
        envelopes = await self._network.fetch_blocks(wanted, self._peers, timeout_s=BLOCKS_TIMEOUT_S)
        links = {cid: link_of(block) for cid, block in envelopes.items() if cid in wanted}
        payloads = await self._network.fetch_blocks([*links.values()], self._peers, timeout_s=BLOCKS_TIMEOUT_S)
        pairs = [(envelopes[cid], payloads[link]) for cid, link in links.items() if link in payloads]
        await self._take(pairs)

    async def _take(self, pairs: Sequence[BlockPair]) -> int:
        """Verify, keep and note the revisions of one answer; how many were missing. Raises _Garbage."""
        cids = [Cid.of(CODEC_DAG_JOSE, envelope) for envelope, _ in pairs]
        known = await self._disk.known([cid for cid in cids if self._disk.is_judged(cid)])
        taken = await asyncio.to_thread(self._verify, list(zip(cids, pairs, strict=True)), known)
        self._counters["history_revisions_fetched"] += taken
        return taken

    def _verify(self, given: Sequence[tuple[Cid, BlockPair]], known: Mapping[Cid, int]) -> int:
        verified: list[SignedRevision] = []
        try:
            for cid, (envelope, payload) in given:
                if cid in known:  # the peer could not tell that we have it
                    self._walk.settle({cid: known[cid]})
                elif cid in self._walk.missing:
                    if not _belongs(envelope, payload):
                        raise _Garbage("it gave a payload that the envelope does not name")
                    signed = verify_revision(envelope, payload)
                    self._walk.take(signed)
                    verified.append(signed)
                elif not self._walk.has(cid) and not self._disk.is_judged(cid):
                    raise _Garbage("it gave a revision that nobody asked for")
        finally:
            self._disk.stage(verified)
        return len(verified)

    async def _within_fault(self, peer: PeerId, asking: Awaitable[int]) -> int:
        """How many revisions a peer gave. One that answers wrongly, or not at all, is not asked again in this walk."""
        try:
            return await asking
        except RemoteNetError as error:
            self._counters["history_unanswered"] += 1
            logger.debug("history from %s: %s", peer, error)
        except _Garbage as error:
            self._counters["history_garbage"] += 1
            self._peers.remove(peer)
            logger.warning("history from %s refused: %s", peer, error)
        self._speakers.remove(peer)
        return 0


def _belongs(envelope: bytes, payload: bytes) -> bool:
    """Whether a payload is the one that an envelope names. Raises RemoteProtocolError for what is no envelope."""
    return link_of(envelope) == Cid.of(CODEC_DAG_CBOR, payload)
