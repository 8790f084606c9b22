"""One iterative lookup: from the servers that we know, closer and closer to a key (Kademlia specification of libp2p).

Runs on the trio side. Whom it may ask, and how, is its caller's business.
"""

from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Final, Protocol

import trio
from libp2p.peer.id import ID

from node.net.dht_wire import Peer
from protocols import limits

K: Final = 20
"""How many servers keep a record, and how many closest ones a lookup settles on (the specification's k)."""

_ALPHA: Final = 6
"""Servers asked at one time. The specification proposes 10; each is a stream and perhaps a dial of ours."""


class Asking(Protocol):
    """Asks one server: the servers that it names, or None if it did not answer."""

    def __call__(self, peer: Peer) -> Awaitable[Iterable[Peer] | None]: ...


def distance(peer: ID, target: int) -> int:
    """How far a peer is from a key, whose hash `target` is, by the XOR metric."""
    return int(peer.xor_id) ^ target


def target_of(key: bytes) -> int:
    """A key's place in the space of distances."""
    return int.from_bytes(sha256(key).digest())


class Lookup:
    """Finds the servers closest to a key. `run` once; then `closest` has those that answered, the closest first.

    `enough` ends it early.
    """

    def __init__(
        self, key: bytes, seeds: Iterable[Peer], ask: Asking, *, own: ID, enough: Callable[[], bool] = lambda: False
    ) -> None:
        self._target = target_of(key)
        self._ask = ask
        self._own = own
        self._enough = enough
        self._waiting: dict[ID, Peer] = {}
        self._seen: set[ID] = {own}
        self._answered: dict[ID, Peer] = {}
        self._under_way = 0
        self._asked = 0
        self._changed = trio.Event()
        self._learn(seeds)

    @property
    def closest(self) -> list[Peer]:
        return sorted(self._answered.values(), key=lambda peer: distance(peer.peer, self._target))[:K]

    async def run(self) -> None:
        """Ask until the closest servers that are known have all answered, or there is nobody left to ask."""
        async with trio.open_nursery() as nursery:
            for _ in range(_ALPHA):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while not self._enough() and self._asked < limits.MAX_DHT_ASKED:
            peer = self._next()
            if peer is not None:
                await self._ask_one(peer)
            elif self._under_way:
                changed = self._changed
                await changed.wait()
            else:
                break
        self._wake()

    async def _ask_one(self, peer: Peer) -> None:
        self._asked += 1
        self._under_way += 1
        try:
            named = await self._ask(peer)
            if named is not None:
                self._answered[peer.peer] = peer
                self._learn(named)
        finally:
            self._under_way -= 1
            self._wake()

    def _next(self) -> Peer | None:
        """The closest peer that was not asked yet, unless k closer ones have answered."""
        if not self._waiting:
            return None
        peer = min(self._waiting.values(), key=lambda one: distance(one.peer, self._target))
        mine = distance(peer.peer, self._target)
        if sum(distance(other, self._target) < mine for other in self._answered) >= K:
            return None
        return self._waiting.pop(peer.peer)

    def _learn(self, peers: Iterable[Peer]) -> None:
        for peer in peers:
            if peer.peer not in self._seen and len(self._seen) <= limits.MAX_DHT_ASKED * K:
                self._seen.add(peer.peer)
                self._waiting[peer.peer] = peer

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
