"""The peers of the DHT: which of them keep records, how to reach those that somebody named, and one question to one.

Runs on the trio side. Strangers name whom to ask next. Such a peer is dialled only where `node.reach` allows a stranger
to be, and the connection is ended again once newer ones have taken its place.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.exceptions import StreamFailure
from libp2p.network.stream.exceptions import StreamEOF, StreamError
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError

from node.net import dht_wire as wire
from node.net import patches
from node.net.connections import Connections
from node.net.counters import Counters
from node.net.dht_lookup import K, distance, target_of
from node.net.errors import NetError
from node.net.streams import FrameReader, Inflow, drop
from node.reach import may_dial, rank_of_address
from protocols import limits
from protocols.errors import RemoteProtocolError

ASK_S: Final = 6.0
"""Time for one peer to answer one question, its stream included."""

DIAL_S: Final = 5.0
"""Time to connect to a peer that somebody named."""

TOLD_S: Final = 2.0
"""How long a new peer is waited for to tell what it speaks, if there is nobody else to ask."""

LATELY_S: Final = 1.0
"""How long it is believed which of the connected peers are servers."""

MAX_KNOWN: Final = 256
"""Servers that have answered and are remembered, with their addresses."""

MAX_GUESTS: Final = 16
"""Connections that lookups have made and that stay open for the next one."""

_THIS_MACHINE: Final = 3
_TOLD_CHECK_S: Final = 0.05
_SPOKEN: Final = frozenset((wire.PROTOCOL, wire.LAN_PROTOCOL))
_FAILED: Final = (BaseLibp2pError, StreamFailure, StreamError, RemoteProtocolError, trio.TooSlowError, OSError)


class DhtPeers:
    """The other side of one host's DHT. `own` are the addresses that this host can be dialled at."""

    def __init__(
        self,
        host: Any,
        nursery: trio.Nursery,
        inflow: Inflow,
        counters: Counters,
        *,
        connections: Connections,
        own: Callable[[], Sequence[str]],
    ) -> None:
        self._host = host
        self._nursery = nursery
        self._swarm = host.get_network()
        self._inflow = inflow
        self._counters = counters
        self._connections = connections
        self._own = own
        self._lately: tuple[float, list[ID], dict[ID, wire.Peer]] | None = None
        self._known: OrderedDict[ID, wire.Peer] = OrderedDict()
        self._guests: OrderedDict[ID, None] = OrderedDict()
        self._dials = trio.CapacityLimiter(limits.MAX_DHT_DIALS_AT_ONCE)

    # Who there is

    def servers(self) -> list[ID]:
        """The connected peers that have told that they keep records."""
        return [peer for peer in self._connected() if not _SPOKEN.isdisjoint(self._protocols_of(peer))]

    def closest(self, key: bytes) -> list[wire.Peer]:
        """Those of them that are closest to a key, with the addresses that they told. What a peer tells may take
        `LATELY_S` to be seen: each question of a stranger asks for this, and looking at all peers costs milliseconds.
        """
        now_s = trio.current_time()
        if self._lately is None or now_s - self._lately[0] >= LATELY_S:
            self._lately = (now_s, self.servers(), {})
        _, servers, described = self._lately
        target = target_of(key)
        chosen = heapq.nsmallest(K, servers, key=lambda one: distance(one, target))
        for peer in chosen:
            if peer not in described:
                described[peer] = self._described(peer)
        return [described[peer] for peer in chosen]

    async def seeds(self, key: bytes) -> list[wire.Peer]:
        """Where a lookup begins: the closest servers that are connected, then those that answered before."""
        # The library tells nobody when a peer has said what it speaks.
        with trio.move_on_after(TOLD_S):
            while not self.servers() and any(not self._protocols_of(peer) for peer in self._connected()):  # noqa: ASYNC110
                await trio.sleep(_TOLD_CHECK_S)
        self._lately = None
        target = target_of(key)
        others = sorted(self._known.values(), key=lambda peer: distance(peer.peer, target))[:K]
        return [*self.closest(key), *others]

    def answered(self, peer: wire.Peer) -> None:
        """It is a server that works: remember where it is, for when nobody is connected."""
        if peer.addresses:
            self._known[peer.peer] = peer
            self._known.move_to_end(peer.peer)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        if peer.peer in self._guests:
            self._guests.move_to_end(peer.peer)

    def ourselves(self, to: ID | None = None) -> wire.Peer:
        """This host as its own record has it for a peer: by what leads here from there, else by what might."""
        own, rank = self._host.get_id(), _THIS_MACHINE if to is None else max(1, self._rank_of(to))
        ranked = [(rank_of_address(address), address) for address in self._own()]
        near = [address for ours, address in ranked if ours is not None and ours <= rank]
        might = [address for ours, address in ranked if ours is not None and ours < _THIS_MACHINE]
        return wire.Peer(own, wire.write_addresses((near or might)[: limits.MAX_DHT_ADDRESSES], own))

    def _connected(self) -> list[ID]:
        return list(self._swarm.connections)

    def _protocols_of(self, peer: ID) -> list[str]:
        """What a peer said that it speaks; empty until it has told."""
        try:
            return list(self._host.get_peerstore().get_protocols(peer))
        except PeerStoreError:
            return []

    def _described(self, peer: ID) -> wire.Peer:
        try:
            addresses = self._host.get_peerstore().addrs(peer)
        except PeerStoreError:
            addresses = []
        return wire.Peer(peer, wire.write_addresses(addresses[: limits.MAX_DHT_ADDRESSES], peer))

    def _rank_of(self, peer: ID) -> int:
        """How far away a connected peer is, as `node.reach.rank_of_address` counts."""
        ranks = [
            rank_of_address(f"{address}/p2p/{peer.to_base58()}")
            for connection in self._swarm.get_connections(peer)
            for address in connection.get_transport_addresses()
        ]
        return max((rank for rank in ranks if rank is not None), default=0)

    # Connections

    def is_connected(self, peer: ID) -> bool:
        return bool(self._swarm.get_connections(peer))

    def dialable(self, peer: wire.Peer) -> list[str]:
        """Where a peer that a stranger named may be dialled."""
        own = self._own()
        addresses = wire.read_addresses(peer.addresses, peer.peer)
        allowed = [address for address in addresses if may_dial(address, named=False, own=own)]
        return allowed[: limits.MAX_STRANGER_ADDRESSES]

    async def dial(self, peer: ID, addresses: Sequence[str]) -> bool:
        """Connect for a question or two: whether it worked."""
        async with self._dials:
            self._counters.add("dht_dials")
            for address in addresses:
                try:
                    await self._connections.dial_once(address, DIAL_S)
                except NetError:
                    continue
                self._guests[peer] = None
                return True
        return False

    def keep(self, peer: ID) -> None:
        """Somebody else wants this connection: it is ours no longer to end."""
        self._guests.pop(peer, None)

    def end_guests(self) -> None:
        """Hang up on those that were dialled for a question, except the last ones."""
        while len(self._guests) > MAX_GUESTS:
            peer, _ = self._guests.popitem(last=False)
            if not self._connections.keeps(peer):
                for connection in self._swarm.get_connections(peer):
                    self._nursery.start_soon(patches.hang_up, connection)

    # Questions

    async def ask(self, peer: ID, request: bytes) -> wire.Incoming | None:
        """One question and its answer, or None: whatever goes wrong is the other side's matter."""
        stream = None
        try:
            with trio.fail_after(ASK_S):
                stream = await self._open(peer)
                await stream.write(request)
                with FrameReader(stream, self._inflow, limits.MAX_DHT_REPLY_BYTES, idle_s=ASK_S) as frames:
                    while not (answers := await frames.read()):
                        pass
                await stream.close()
                return wire.parse(answers[0])
        except _FAILED:
            self._counters.add("dht_unanswered")
            if stream is not None:
                await drop(stream)
        return None

    async def tell(self, peer: ID, message: bytes) -> bool:
        """Send what has no answer: taken if the other side ends the stream and does not break it off."""
        stream = None
        try:
            with trio.fail_after(ASK_S):
                stream = await self._open(peer)
                await stream.write(message)
                await stream.close_write()
                try:
                    while await stream.read(1024):
                        pass
                except StreamEOF:
                    pass
                await stream.close()
                return not stream.muxed_stream.reset_received
        except _FAILED:
            self._counters.add("dht_unanswered")
            if stream is not None:
                await drop(stream)
        return False

    async def _open(self, peer: ID) -> Any:
        """A stream to a server: on a private network by the name that Kubo has for the DHT there, if it knows it."""
        private = self._rank_of(peer) > 1
        protocols = [wire.LAN_PROTOCOL, wire.PROTOCOL] if private else [wire.PROTOCOL, wire.LAN_PROTOCOL]
        return await self._host.new_stream(peer, protocols)
