"""Connections that stay: dial targets are dialled again, silent peers are hung up on, the newest connection counts.

Runs on the trio side.
"""

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import trio
from libp2p.abc import INotifee
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo as Libp2pPeerInfo
from libp2p.peer.peerstore import PeerStoreError
from multiaddr import Multiaddr

from identity.did import PeerId, did_of_peer_id
from identity.errors import MalformedDid, UnsupportedKey
from node.net import patches
from node.net.counters import Counters
from node.net.errors import MalformedAddress, RemoteTimeout, RemoteUnavailable
from node.net.host import parse_address
from node.net.port import PeerConnected, PeerDisconnected, PeerEvent, PeerInfo
from node.net.settings import NetSettings

DIAL_TIMEOUT_S: Final = 10.0
"""One attempt of the loop that keeps a target connected."""

MAX_ADDRESSES: Final = 4
"""Addresses kept for one target, the newest first."""

ADDRESS_TTL_S: Final = 3600

MAX_BUFFERED_BYTES: Final = 32 * 1024 * 1024
"""Unread bytes of one connection: each of its streams may fill its window."""

PINGS_PER_S: Final = 20
"""Pings a second over all connections; with more than 100 connections each is pinged less often."""


class Connections(INotifee):  # type: ignore[misc] # the library is not typed for us
    """All connections of a host. `on_event` is told when the first connection to a peer comes and the last one goes."""

    def __init__(
        self,
        host: Any,
        nursery: trio.Nursery,
        settings: NetSettings,
        counters: Counters,
        on_event: Callable[[PeerEvent], None],
        renew_gossip: Callable[[ID, Any], None],
    ) -> None:
        self._host = host
        self._swarm = host.get_network()
        self._nursery = nursery
        self._settings = settings
        self._counters = counters
        self._on_event = on_event
        self._renew_gossip = renew_gossip
        self._targets: dict[ID, list[Multiaddr]] = {}
        self._keepers: dict[ID, trio.CancelScope] = {}
        self._gone: dict[ID, trio.Event] = {}
        self._open: Counter[ID] = Counter()
        self._live: set[Any] = set()
        self._latency_ms: dict[ID, float] = {}
        self._peers: tuple[PeerInfo, ...] = ()
        self._swarm.register_notifee(self)

    @property
    def peers(self) -> tuple[PeerInfo, ...]:
        """The connected peers; a new tuple whenever something changed, so that another thread may read it."""
        return self._peers

    # Dialling

    async def dial(self, text: str, timeout_s: float) -> PeerId:
        """Connect, and keep the peer connected. Raises MalformedAddress, RemoteUnavailable or RemoteTimeout."""
        peer, address = self._parse(text)
        addresses = self._targets.setdefault(peer, [])
        if address in addresses:
            addresses.remove(address)
        addresses.insert(0, address)
        del addresses[MAX_ADDRESSES:]
        try:
            await self.dial_once(text, timeout_s)
        finally:
            if peer not in self._keepers:
                self._keepers[peer] = trio.CancelScope()
                self._nursery.start_soon(self._keep, peer, self._keepers[peer])
        return PeerId(peer.to_base58())

    async def dial_once(self, text: str, timeout_s: float) -> PeerId:
        """Connect, and do nothing more for it. Raises as `dial` does."""
        peer, address = self._parse(text)
        try:
            with trio.fail_after(timeout_s):
                await self._connect(peer, [address])
        except trio.TooSlowError:
            raise RemoteTimeout(f"{text} did not answer within {timeout_s:g} s") from None
        return PeerId(peer.to_base58())

    def forget(self, peer: ID) -> None:
        """Dial this peer no more."""
        self._targets.pop(peer, None)
        scope = self._keepers.pop(peer, None)
        if scope is not None:
            scope.cancel()

    def keeps(self, peer: ID) -> bool:
        """Whether this peer is dialled again when it goes."""
        return peer in self._keepers

    def _parse(self, text: str) -> tuple[ID, Multiaddr]:
        address = parse_address(text)
        peer_text = address.get_peer_id()
        if peer_text is None:
            raise MalformedAddress(f"an address must end in /p2p/<peer ID>: {text[:120]!r}")
        peer = ID.from_string(peer_text)
        if peer == self._host.get_id():
            raise MalformedAddress("this is our own address")
        return peer, address

    async def _connect(self, peer: ID, addresses: list[Multiaddr]) -> None:
        if self._swarm.get_connections(peer):
            return
        patches.dial_again_at_once(self._swarm, peer, addresses, ADDRESS_TTL_S)
        try:
            await self._host.connect(Libp2pPeerInfo(peer, addresses))
        except BaseLibp2pError as error:
            raise RemoteUnavailable(f"cannot connect to {peer} at {addresses[0]}") from error
        if not self._swarm.get_connections(peer):
            raise RemoteUnavailable(f"cannot connect to {peer} at {addresses[0]}")

    async def _keep(self, peer: ID, scope: trio.CancelScope) -> None:
        with scope:
            pause_s = self._settings.redial_first_s
            while True:
                gone = self._gone.get(peer)
                if gone is not None:
                    await gone.wait()
                    pause_s = self._settings.redial_first_s
                await trio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, self._settings.redial_max_s)
                self._counters.add("redials")
                for address in tuple(self._targets.get(peer, ())):
                    try:
                        with trio.move_on_after(DIAL_TIMEOUT_S):
                            await self._connect(peer, [address])
                            break
                    except RemoteUnavailable:
                        continue

    # Liveness

    async def run(self) -> None:
        """Ping every connection again and again, and hang up on those that do not answer."""
        while True:
            connections = self._swarm.get_connections()
            await trio.sleep(max(self._settings.ping_interval_s, len(connections) / PINGS_PER_S))
            async with trio.open_nursery() as nursery:
                for connection in connections:
                    nursery.start_soon(self._probe, connection, self._settings.ping_timeout_s)
            self._refresh()

    async def _probe(self, connection: Any, timeout_s: float) -> None:
        if connection.is_closed:
            return
        buffered = connection.muxed_conn.unread_bytes
        latency_ms = await patches.is_responsive(connection, timeout_s) if buffered <= MAX_BUFFERED_BYTES else None
        if latency_ms is not None:
            if connection in self._live:  # It may have gone meanwhile, and what is known of its peer with it.
                self._latency_ms[connection.muxed_conn.peer_id] = latency_ms
        elif not connection.is_closed:
            self._counters.add("connections_silent" if buffered <= MAX_BUFFERED_BYTES else "connections_overfull")
            await patches.hang_up(connection)

    async def _check_older(self, newest: Any) -> None:
        """A peer that came back has a new connection while its old one may be half open: ask the old one."""
        peer = newest.muxed_conn.peer_id
        for connection in self._swarm.get_connections(peer):
            if connection is not newest:
                await self._probe(connection, 1.0)

    async def close(self) -> None:
        """Hang up on everybody: leaving the host leaves connections open, and their sockets too if it was a fault
        that ended it."""
        for peer in tuple(self._keepers):
            self.forget(peer)
        async with trio.open_nursery() as nursery:
            for connection in tuple(self._live):
                nursery.start_soon(patches.hang_up, connection)

    # Events of the library

    async def connected(self, network: Any, conn: Any) -> None:
        peer = conn.muxed_conn.peer_id
        self._live.add(conn)
        self._open[peer] += 1
        if self._open[peer] == 1:
            self._gone[peer] = trio.Event()
            self._counters.add("peers_connected")
            self._refresh()
            self._on_event(PeerConnected(PeerId(peer.to_base58())))
        else:
            self._nursery.start_soon(self._check_older, conn)

    async def disconnected(self, network: Any, conn: Any) -> None:
        peer = conn.muxed_conn.peer_id
        if conn not in self._live:
            return
        self._live.discard(conn)
        self._renew_gossip(peer, conn)
        self._open[peer] -= 1
        if self._open[peer]:
            return
        del self._open[peer]
        self._latency_ms.pop(peer, None)
        self._gone.pop(peer).set()
        self._refresh()
        self._on_event(PeerDisconnected(PeerId(peer.to_base58())))

    async def opened_stream(self, network: Any, stream: Any) -> None:
        pass

    async def closed_stream(self, network: Any, stream: Any) -> None:
        pass

    async def listen(self, network: Any, multiaddr: Any) -> None:
        pass

    async def listen_close(self, network: Any, multiaddr: Any) -> None:
        pass

    def _refresh(self) -> None:
        self._peers = tuple(self._describe(peer) for peer in self._open)

    def _describe(self, peer: ID) -> PeerInfo:
        text = PeerId(peer.to_base58())
        try:
            did = did_of_peer_id(text)
        except (MalformedDid, UnsupportedKey):
            did = None
        known: list[Multiaddr] = list(self._targets.get(peer, ()))
        if not known:
            with contextlib.suppress(PeerStoreError):
                known = list(self._swarm.peerstore.addrs(peer))
        suffix = f"/p2p/{text}"
        addresses = tuple(str(address).removesuffix(suffix) + suffix for address in known)
        return PeerInfo(text, did, addresses, self._latency_ms.get(peer), relayed=False)
