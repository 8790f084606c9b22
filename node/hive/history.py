"""Serving `/pagi/history/1.0` from our own disk, to any peer: the blocks are public, as bitswap serves them too."""

import asyncio
from collections import Counter

from identity.cid import Cid
from identity.did import PeerId
from node.clock import NowMs, now_ms
from node.net.port import Network
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.playbook.history import PROTOCOL, HistoryAnswer, HistoryRequest, Outline, answer
from protocols.playbook.revision import link_of
from protocols.ratelimit import KeyedBuckets
from storage.blocks import BlockStore


class HistoryServer:
    """Answers each request by one bounded walk over the block store, in a worker thread."""

    def __init__(self, network: Network, blocks: BlockStore, counters: Counter[str], *, now: NowMs = now_ms) -> None:
        self._network = network
        self._blocks = blocks
        self._counters = counters
        self._now = now
        self._per_asker = KeyedBuckets(limits.HISTORY_RATE_PER_S, limits.HISTORY_BURST, limits.MAX_RATED_KEYS)
        self._turns = asyncio.Semaphore(limits.MAX_HISTORY_ANSWERS_AT_ONCE)

    async def serve(self) -> None:
        """Answer from now on."""
        await self._network.serve(
            PROTOCOL, self._answer, max_request_bytes=limits.MAX_HISTORY_REQUEST_BYTES, max_in_flight_per_peer=1
        )

    async def _answer(self, peer: PeerId, payload: bytes) -> bytes:
        request = HistoryRequest.decode(payload)
        if not self._per_asker.allow(peer, self._now() / 1000):
            self._counters["history_throttled"] += 1
            raise RemoteProtocolError("it asks again and again")
        async with self._turns:
            given = await asyncio.to_thread(answer, request, self._read)
        self._counters["history_revisions_served"] += len(given.revisions)
        return await asyncio.to_thread(HistoryAnswer.encode, given)

    def _read(self, cid: Cid) -> Outline | None:
        try:
            envelope = self._blocks.get(cid)
            payload = self._blocks.get(link_of(envelope)) if envelope is not None else None
            return Outline.of(envelope, payload) if envelope is not None and payload is not None else None
        except RemoteProtocolError:
            return None  # a block of another kind is here under a revision's codec: somebody's content
