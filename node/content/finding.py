"""Finding who has a content that no connected peer has: by the DHT, then by dialling whoever says so.

A provider record is a stranger's word, and its addresses are doors that we are asked to knock at. So only a few are
dialled, only where `node.reach` allows, and no host more often than an announcement could make us.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Final

from identity.cid import Cid
from identity.did import PeerId, did_of_peer_id
from identity.errors import IdentityError
from node.net.errors import NetError, NetworkDown
from node.net.port import Network, Provider
from node.reach import host_of, may_dial
from node.trust import TrustList
from protocols import limits
from protocols.ratelimit import KeyedBuckets

SEARCH_S: Final = 10.0
"""Time for one search of the DHT."""

DIAL_S: Final = 5.0
"""Time to connect to one provider."""

FOUND_FOR_S: Final = 60.0
"""How long what a search found is used again."""

NOTHING_FOR_S: Final = 10.0
"""How long it is believed that nobody provides a content."""


class Finder:
    """`providers` is what `EmbeddedBlocks` asks."""

    def __init__(self, *, network: Network, trust: TrustList, max_connections: int) -> None:
        self._network = network
        self._trust = trust
        self._max_connections = max_connections
        self._found: OrderedDict[bytes, tuple[float, tuple[Provider, ...]]] = OrderedDict()
        self._knocks = KeyedBuckets(limits.KNOCKS_PER_S, limits.KNOCKS_BURST, limits.MAX_RATED_KEYS)
        self._turns = asyncio.Semaphore(limits.MAX_PROVIDER_DIALS)
        self.counters: Counter[str] = Counter()

    async def providers(self, cid: Cid) -> Sequence[PeerId]:
        """Connected peers who say that they have a content, those first that were connected already.

        Empty if nobody says so, or none of them can be reached. Never raises for what others do.
        """
        found = await self._search(cid)
        connected = {info.peer_id for info in self._network.peers()}
        near = [provider.peer_id for provider in found if provider.peer_id in connected]
        far = [provider for provider in found if provider.peer_id not in connected]
        called = await asyncio.gather(*(self._call(provider) for provider in far[: limits.MAX_PROVIDER_DIALS]))
        return [*near, *(peer for peer in called if peer is not None)]

    async def _search(self, cid: Cid) -> tuple[Provider, ...]:
        expires_s, found = self._found.get(cid.digest, (0.0, ()))
        if expires_s > time.monotonic():
            return found
        self.counters["provider_searches"] += 1
        try:
            found = await self._network.find_providers(cid, timeout_s=SEARCH_S)
        except NetworkDown:
            return ()
        lasts_s = FOUND_FOR_S if found else NOTHING_FOR_S
        self._found[cid.digest] = (time.monotonic() + lasts_s, found)
        self._found.move_to_end(cid.digest)
        if len(self._found) > limits.MAX_PROVIDER_SEARCHES:
            self._found.popitem(last=False)
        return found

    async def _call(self, provider: Provider) -> PeerId | None:
        """Connect to a provider; None if it may not be dialled, or is not there."""
        try:
            did = did_of_peer_id(provider.peer_id)
        except IdentityError:
            did = None  # Its key is not Ed25519: it is no twin, and may have the content all the same.
        named = did in self._trust.named
        if did is not None and self._trust.blocks(did):
            return None
        if not named and len(self._network.peers()) >= self._max_connections:
            return None
        own = self._network.addresses()
        allowed = [address for address in provider.addresses if may_dial(address, named=named, own=own)]
        async with self._turns:
            for address in allowed[: limits.MAX_STRANGER_ADDRESSES]:
                if not named and not self._knocks.allow(host_of(address), time.monotonic()):
                    self.counters["provider_dials_refused"] += 1
                    continue
                self.counters["provider_dials"] += 1
                try:
                    return await self._network.dial(address, timeout_s=DIAL_S, keep=False)
                except NetError:
                    continue
        return None
