"""What a DHT server keeps for others: provider records and IPNS records, under bounds.

Pure: the caller brings the time. A name costs nothing, so no bound rests on how many peers bring something alone:
each may have so much, and when all is full, what goes is the oldest of whoever has brought the most.
"""

import random
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from libp2p.peer.id import ID

from node.net.dht_wire import Peer
from protocols import limits
from protocols.ipns import IpnsRecord

Item = TypeVar("Item", bound=Hashable)

_EVICTED_AT_ONCE: Final = 1 / 16
"""The part of the largest share that goes when all is full: whose share that is need not be found out each time."""


class Shares(Generic[Item]):
    """Which items are kept, of which owner, and until when. All live equally long from when they were last kept."""

    def __init__(self, *, most: int, most_per_owner: int, lifetime_s: float) -> None:
        self._most = most
        self._most_per_owner = most_per_owner
        self._lifetime_s = lifetime_s
        self._expires: dict[Item, tuple[float, ID]] = {}
        self._owned: dict[ID, dict[Item, None]] = {}

    def __len__(self) -> int:
        return len(self._expires)

    def owner_of(self, item: Item) -> ID | None:
        """Who brought it."""
        return self._expires[item][1] if item in self._expires else None

    def has_room_for(self, item: Item, owner: ID) -> bool:
        """Whether the owner may bring it: it has done so before, or has not reached its share."""
        return self.owner_of(item) == owner or len(self._owned.get(owner, ())) < self._most_per_owner

    def keep(self, item: Item, owner: ID, now_s: float) -> list[Item]:
        """Keep it, or keep it longer; the items that had to make room."""
        gone: list[Item] = []
        self.drop(item)
        while len(self._expires) >= self._most:
            gone += self.make_room()
        self._expires[item] = (now_s + self._lifetime_s, owner)
        self._owned.setdefault(owner, {})[item] = None
        return gone

    def expired(self, now_s: float) -> list[Item]:
        """Drop what has reached its end, and say what that was."""
        gone: list[Item] = []
        for item, (expires_s, _) in self._expires.items():
            if expires_s > now_s:
                break
            gone.append(item)
        for item in gone:
            self.drop(item)
        return gone

    def drop(self, item: Item) -> None:
        _, owner = self._expires.pop(item, (0.0, None))
        if owner is not None:
            owned = self._owned[owner]
            del owned[item]
            if not owned:
                del self._owned[owner]

    def make_room(self) -> list[Item]:
        """Drop the oldest items of whoever has the most, and say what these were."""
        largest = max(self._owned.values(), key=len)
        gone = list(largest)[: max(1, int(len(largest) * _EVICTED_AT_ONCE))]
        for item in gone:
            self.drop(item)
        return gone


class ProviderRecords:
    """Who provides what. A peer's addresses are those that it gave last."""

    def __init__(
        self,
        *,
        most: int = limits.MAX_PROVIDER_RECORDS,
        most_per_peer: int = limits.MAX_PROVIDER_RECORDS_PER_PEER,
        lifetime_s: float = limits.PROVIDER_RECORD_S,
    ) -> None:
        self._shares: Shares[tuple[bytes, ID]] = Shares(most=most, most_per_owner=most_per_peer, lifetime_s=lifetime_s)
        self._providers: dict[bytes, dict[ID, None]] = {}
        self._addresses: dict[ID, tuple[int, tuple[bytes, ...]]] = {}

    def __len__(self) -> int:
        return len(self._shares)

    def add(self, key: bytes, provider: Peer, now_s: float) -> bool:
        """Whether the record was taken: not if its peer has as many as one may have."""
        self._expire(now_s)
        item = (key, provider.peer)
        if not self._shares.has_room_for(item, provider.peer):
            return False
        of_key = self._providers.get(key, {})
        if provider.peer not in of_key and len(of_key) >= limits.MAX_PROVIDER_RECORDS_PER_KEY:
            oldest = (key, next(iter(of_key)))
            self._shares.drop(oldest)
            self._forget(oldest)
        if self._shares.owner_of(item) is not None:
            self._forget(item)  # It comes again as the newest.
        for gone in self._shares.keep(item, provider.peer, now_s):
            self._forget(gone)
        self._providers.setdefault(key, {})[provider.peer] = None
        held, _ = self._addresses.get(provider.peer, (0, ()))
        self._addresses[provider.peer] = (held + 1, provider.addresses)
        return True

    def get(self, key: bytes, now_s: float, *, limit: int = limits.MAX_PROVIDERS_ANSWERED) -> list[Peer]:
        """Some of the providers, chosen by chance if there are more than `limit`."""
        self._expire(now_s)
        peers = list(self._providers.get(key, ()))
        chosen = random.sample(peers, limit) if len(peers) > limit else peers
        return [Peer(peer, self._addresses[peer][1]) for peer in chosen]

    def _expire(self, now_s: float) -> None:
        for gone in self._shares.expired(now_s):
            self._forget(gone)

    def _forget(self, item: tuple[bytes, ID]) -> None:
        key, peer = item
        of_key = self._providers[key]
        del of_key[peer]
        if not of_key:
            del self._providers[key]
        held, addresses = self._addresses[peer]
        if held > 1:
            self._addresses[peer] = (held - 1, addresses)
        else:
            del self._addresses[peer]


class ValueRecords:
    """IPNS records by their routing keys: of each name the newest that was brought and is valid."""

    def __init__(
        self,
        *,
        most: int = limits.MAX_DHT_VALUES,
        most_per_peer: int = limits.MAX_DHT_VALUES_PER_PEER,
        most_bytes: int = limits.MAX_DHT_VALUES_BYTES,
        lifetime_s: float = limits.DHT_VALUE_S,
    ) -> None:
        self._shares: Shares[bytes] = Shares(most=most, most_per_owner=most_per_peer, lifetime_s=lifetime_s)
        self._most_bytes = most_bytes
        self._held: dict[bytes, IpnsRecord] = {}
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._shares)

    def put(self, key: bytes, record: IpnsRecord, peer: ID, *, now_s: float, now_ms: int) -> bool:
        """Keep a record that was verified. False for an older one than is held, or one too many of this peer."""
        held = self.get(key, now_s=now_s, now_ms=now_ms)
        if held is not None and held.raw != record.raw and not record.newer_than(held):
            return False
        if not self._shares.has_room_for(key, peer):
            return False
        # Who only brings again what is here gets no say over it: its own next records would push this one out.
        owner = (self._shares.owner_of(key) or peer) if held is not None and held.raw == record.raw else peer
        self._forget(key)
        for gone in self._shares.keep(key, owner, now_s):
            self._forget(gone)
        self._held[key] = record
        self._size_bytes += len(record.raw)
        while self._size_bytes > self._most_bytes:
            for gone in self._shares.make_room():
                self._forget(gone)
        return True

    def get(self, key: bytes, *, now_s: float, now_ms: int) -> IpnsRecord | None:
        """The record, if it is valid still."""
        for gone in self._shares.expired(now_s):
            self._forget(gone)
        record = self._held.get(key)
        if record is not None and record.valid_until_ms <= now_ms:
            self._shares.drop(key)
            self._forget(key)
            return None
        return record

    def _forget(self, key: bytes) -> None:
        record = self._held.pop(key, None)
        if record is not None:
            self._size_bytes -= len(record.raw)


@dataclass(frozen=True, slots=True)
class DhtRecords:
    """All that one server keeps. It outlives the network's thread: its times are of `time.monotonic`, since each run of
    trio has a clock of its own."""

    providers: ProviderRecords = field(default_factory=ProviderRecords)
    values: ValueRecords = field(default_factory=ValueRecords)
