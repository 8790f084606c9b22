"""The DHT as one host uses it: say what it provides, find who provides, store and find IPNS records.

Runs on the trio side.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Literal

import trio
from libp2p.peer.id import ID

from identity.cid import Cid
from identity.did import PeerId
from node.clock import now_ms
from node.net import dht_wire as wire
from node.net.connections import Connections
from node.net.counters import Counters
from node.net.dht_lookup import Lookup
from node.net.dht_peers import DhtPeers
from node.net.dht_records import DhtRecords
from node.net.dht_server import DhtServer
from node.net.port import Provider
from node.net.streams import Inflow
from protocols import ipns, limits
from protocols.errors import RemoteProtocolError

STORE_S: Final = 30.0
"""Time for all of storing one record: finding the servers and telling them."""

ENOUGH_VALUES: Final = 16
"""Answers with a valid IPNS record after which no more are waited for (the quorum that Kubo has)."""

_MULTIHASH: Final = b"\x12\x20"

Mode = Literal["off", "client", "server"]


class Dht:
    """The DHT of one host. `own` are the addresses that it can be dialled at; `records` outlive this object."""

    def __init__(
        self,
        host: Any,
        nursery: trio.Nursery,
        mode: Mode,
        inflow: Inflow,
        counters: Counters,
        *,
        connections: Connections,
        own: Callable[[], Sequence[str]],
        records: DhtRecords,
    ) -> None:
        self._own_id: ID = host.get_id()
        self._mode = mode
        self._counters = counters
        self._records = records
        self._lookups = trio.CapacityLimiter(limits.MAX_DHT_LOOKUPS)
        self._peers = DhtPeers(host, nursery, inflow, counters, connections=connections, own=own)
        self.keep: Final = self._peers.keep
        if mode == "server":
            DhtServer(host, inflow, counters, self._peers.closest, records=records)

    async def servers(self) -> tuple[PeerId, ...]:
        """The connected peers that have told that they are servers."""
        return () if self._mode == "off" else tuple(PeerId(peer.to_base58()) for peer in self._peers.servers())

    async def provide(self, cid: Cid) -> int:
        """Tell the servers closest to a content that it is here: how many took the record."""
        if self._mode == "off":
            return 0
        key = _MULTIHASH + cid.digest
        if self._mode == "server":
            self._records.providers.add(key, self._peers.ourselves(), time.monotonic())

        async def tell(peer: ID) -> bool:
            ours = self._peers.ourselves(peer)
            return await self._peers.tell(peer, wire.write("add_provider", key, providers=[ours]))

        taken = await self._store(key, tell)
        self._counters.add("dht_provided" if taken else "dht_provided_to_nobody")
        return taken

    async def find_providers(self, cid: Cid, limit: int, timeout_s: float) -> tuple[Provider, ...]:
        """Who provides a content, each once."""
        key = _MULTIHASH + cid.digest
        found: dict[ID, tuple[str, ...]] = {}

        def learn(providers: Iterable[wire.Peer]) -> None:
            for one in providers:
                if one.peer != self._own_id:
                    known = (*found.get(one.peer, ()), *wire.read_addresses(one.addresses, one.peer))
                    found[one.peer] = tuple(dict.fromkeys(known))[: limits.MAX_DHT_ADDRESSES]

        def take(_: ID, answer: wire.Incoming) -> None:
            learn(answer.providers)

        if self._mode == "server":
            learn(self._records.providers.get(key, time.monotonic(), limit=limit))
        await self._look_up("get_providers", key, timeout_s, take, enough=lambda: len(found) >= limit)
        named = [Provider(PeerId(peer.to_base58()), addresses) for peer, addresses in found.items()]
        return tuple(named[:limit])

    async def put_value(self, key: bytes, value: bytes) -> int:
        """Store an IPNS record: how many servers took it. Raises RemoteProtocolError if it is not valid."""
        record = ipns.verify_value(key, value, now_ms=now_ms())
        if self._mode == "off":
            return 0
        if self._mode == "server":
            self._records.values.put(key, record, self._own_id, now_s=time.monotonic(), now_ms=now_ms())
        return await self._store(key, lambda peer: self._put(peer, key, value))

    async def get_value(self, key: bytes, timeout_s: float) -> bytes | None:
        """The newest valid record for a key. Servers that gave an older one are told of it."""
        ipns.name_of_key(key)
        given: dict[ID, ipns.IpnsRecord] = {}
        if self._mode == "server":
            held = self._records.values.get(key, now_s=time.monotonic(), now_ms=now_ms())
            if held is not None:
                given[self._own_id] = held

        def take(peer: ID, answer: wire.Incoming) -> None:
            if answer.value is not None:
                try:
                    given[peer] = ipns.verify_value(key, answer.value, now_ms=now_ms())
                except RemoteProtocolError:
                    self._counters.add("dht_values_refused")

        await self._look_up("get_value", key, timeout_s, take, enough=lambda: len(given) >= ENOUGH_VALUES)
        newest = ipns.newest_of(given.values())
        if newest is None:
            return None
        async with trio.open_nursery() as nursery:
            for peer, record in given.items():
                if record.raw != newest.raw and peer != self._own_id:
                    nursery.start_soon(self._put, peer, key, newest.raw)
        return newest.raw

    async def _put(self, peer: ID, key: bytes, value: bytes) -> bool:
        answer = await self._peers.ask(peer, wire.write("put_value", key, value=value))
        return answer is not None and answer.kind == "put_value" and answer.key == key

    async def _store(self, key: bytes, tell: Callable[[ID], Awaitable[bool]]) -> int:
        """Find the servers closest to a key, tell each, and count those that took it."""
        taken = 0

        async def tell_one(peer: ID) -> None:
            nonlocal taken
            taken += await tell(peer)

        with trio.move_on_after(STORE_S):
            closest = await self._look_up("find_node", key, STORE_S / 2, lambda peer, answer: None)
            async with trio.open_nursery() as nursery:
                for peer in closest:
                    nursery.start_soon(tell_one, peer.peer)
        return taken

    async def _look_up(
        self,
        kind: wire.Kind,
        key: bytes,
        timeout_s: float,
        take: Callable[[ID, wire.Incoming], None],
        *,
        enough: Callable[[], bool] = lambda: False,
    ) -> list[wire.Peer]:
        """Ask from server to server; `take` gets each answer. The servers closest to the key that answered in time."""
        if self._mode == "off":
            return []
        dials_left = limits.MAX_DHT_LOOKUP_DIALS
        request = wire.write(kind, key)
        lookup: Lookup | None = None

        async def ask(peer: wire.Peer) -> Iterable[wire.Peer] | None:
            nonlocal dials_left
            if not self._peers.is_connected(peer.peer):
                addresses = self._peers.dialable(peer)
                if not addresses or dials_left <= 0:
                    return None
                dials_left -= 1
                if not await self._peers.dial(peer.peer, addresses):
                    return None
            answer = await self._peers.ask(peer.peer, request)
            if answer is None or answer.kind != kind:
                return None
            self._peers.answered(peer)
            take(peer.peer, answer)
            return answer.closer

        with trio.move_on_after(timeout_s):
            async with self._lookups:
                self._counters.add("dht_lookups")
                lookup = Lookup(key, await self._peers.seeds(key), ask, own=self._own_id, enough=enough)
                await lookup.run()
        self._peers.end_guests()
        return lookup.closest if lookup is not None else []
