"""The trio side as a whole: the host and all that runs on it, for one life of the thread.

Calls come in by the bridge as `Core`'s methods; what happens goes out by `Upcalls`, which post to the asyncio side.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import background_trio_service

from identity.cid import Cid
from identity.did import PeerId
from identity.keys import KeyPair
from node.net import patches
from node.net.bitswap import Bitswap
from node.net.connections import Connections
from node.net.counters import Counters
from node.net.dht import Dht
from node.net.dht_records import DhtRecords
from node.net.errors import NetError
from node.net.gossip import Gossip
from node.net.host import check_listen, check_listening, make_host, parse_address
from node.net.neighbours import Neighbours
from node.net.port import BlockSource, PeerDisconnected, PeerEvent, PeerInfo, Provider
from node.net.requester import Requester
from node.net.responder import Responder, Slot
from node.net.settings import NetSettings
from node.net.streams import Inflow
from node.reach import may_dial

MAX_STREAMS_PER_CONNECTION: Final = 256
"""Streams that one connection may have open; the protocols of a twin need about ten."""

ADDRESSES_S: Final = 5.0
"""How long our own addresses are kept before the interfaces are asked again."""

MEET_S: Final = 5.0
"""Time to dial a neighbour that mDNS has found; it is on the same network."""

MEET_WAIT_S: Final = 1.0
"""Of two neighbours that find each other, the one with the greater peer ID waits this long, so that one dials."""

MAX_MEETING: Final = 16
"""Neighbours that are dialled at once: anybody on the network can announce any number."""

MAX_NEIGHBOURS: Final = 32
"""With so many peers connected no more neighbours are dialled; gossip reaches them all the same."""

CLOSE_S: Final = 3.0
"""Time to say goodbye to all peers at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a life of the thread starts from. After a restart `listen` holds the ports that were in use before."""

    keys: KeyPair
    listen: Sequence[str]
    blocks: BlockSource
    settings: NetSettings
    counters: Counters
    dht_records: DhtRecords


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcalls:
    """How the trio side tells what happens. Each may be called from its thread and returns at once."""

    on_gossip: Callable[[str, bytes, str], None]
    on_request: Callable[[str, str, bytes, Slot], None]
    on_event: Callable[[PeerEvent], None]
    on_started: Callable[["Core"], None]
    backlog: Callable[[], int]


class Core:
    """The running network, on the trio side."""

    def __init__(self, plan: Plan, upcalls: Upcalls, nursery: trio.Nursery) -> None:
        self._plan = plan
        self._upcalls = upcalls
        self._nursery = nursery
        self._addresses: tuple[str, ...] = ()
        self._meeting: set[str] = set()
        self._host = make_host(plan.keys, plan.settings)
        swarm = self._host.get_network()
        patches.dial_nobody_unasked(swarm)
        patches.tell_of_connections_only(swarm)
        patches.free_what_a_dial_held(swarm)
        patches.guard_streams(swarm, self._admit, self._stream_failed)
        counters = plan.counters
        inflow = Inflow()
        self._gossip = Gossip(self._host, plan.settings, inflow, counters, upcalls.on_gossip, upcalls.backlog)
        self._connections = Connections(
            self._host, nursery, plan.settings, counters, self._on_event, self._gossip.renew_stream
        )
        self._requester = Requester(self._host, nursery, counters)
        self._responder = Responder(self._host, inflow, counters, upcalls.on_request)
        self._bitswap = Bitswap(self._host, nursery, inflow, plan.blocks, counters)
        self._dht = Dht(
            self._host,
            nursery,
            plan.settings.dht,
            inflow,
            counters,
            connections=self._connections,
            own=self.addresses,
            records=plan.dht_records,
        )

    @property
    def peers(self) -> tuple[PeerInfo, ...]:
        """Safe to read from the other thread."""
        return self._connections.peers

    def addresses(self) -> tuple[str, ...]:
        """The concrete addresses that we listen on, each with our peer ID. Safe to call from the other thread."""
        return self._addresses

    def _read_addresses(self) -> None:
        suffix = f"/p2p/{self._host.get_id()}"
        self._addresses = tuple(str(address).removesuffix(suffix) + suffix for address in self._host.get_addrs())

    def bound(self) -> tuple[str, ...]:
        """The addresses that we listen on as they were given, but with the ports that the system chose."""
        listeners = self._host.get_network().listeners.values()
        return tuple(str(address) for listener in listeners for address in listener.get_addrs())

    async def run(self, until: Callable[[], Any]) -> None:
        """Listen, tell that it has started, and run until `until()` returns.

        Raises AddressInUse, CannotListen or MalformedAddress; anything else that it raises is a fault.
        """
        listen = [parse_address(text) for text in self._plan.listen]
        check_listen(listen)
        async with self._host.run(listen_addrs=listen):
            check_listening(self._host, listen)
            patches.remember_addresses(self._host, ADDRESSES_S)
            async with background_trio_service(self._gossip.router), background_trio_service(self._gossip):
                await self._gossip.wait_until_ready()
                for loop in (self._connections.run, self._requester.run, self._announce):
                    self._nursery.start_soon(loop)
                self._read_addresses()
                if self._plan.settings.mdns:
                    self._nursery.start_soon(Neighbours(self.addresses, self._on_neighbour).run)
                self._upcalls.on_started(self)
                try:
                    await until()
                finally:
                    await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        with trio.move_on_after(CLOSE_S) as scope:
            scope.shield = True
            await self._connections.close()

    # Calls

    async def dial(self, address: str, timeout_s: float, *, keep: bool) -> PeerId:
        peer = await (self._connections.dial if keep else self._connections.dial_once)(address, timeout_s)
        self._dht.keep(ID.from_string(peer))
        return peer

    def forget(self, peer: PeerId) -> None:
        self._connections.forget(ID.from_string(peer))

    async def publish(self, topic: str, data: bytes) -> None:
        await self._gossip.publish_message(topic, data)

    async def subscribe(self, topic: str) -> None:
        await self._gossip.subscribe(topic)

    async def serve(self, protocol: str, max_request_bytes: int, max_in_flight_per_peer: int) -> None:
        self._responder.serve(protocol, max_request_bytes, max_in_flight_per_peer)

    def request(self, peer: PeerId, protocol: str, payload: bytes, timeout_s: float) -> Awaitable[bytes]:
        return self._requester.request(ID.from_string(peer), protocol, payload, timeout_s)

    async def fetch_blocks(self, cids: Sequence[Cid], peers: Sequence[PeerId], timeout_s: float) -> dict[Cid, bytes]:
        return await self._bitswap.fetch(cids, [ID.from_string(peer) for peer in peers], timeout_s)

    async def dht_servers(self) -> tuple[PeerId, ...]:
        return await self._dht.servers()

    async def provide(self, cid: Cid) -> int:
        return await self._dht.provide(cid)

    async def find_providers(self, cid: Cid, limit: int, timeout_s: float) -> tuple[Provider, ...]:
        return await self._dht.find_providers(cid, limit, timeout_s)

    async def put_value(self, key: bytes, value: bytes) -> int:
        return await self._dht.put_value(key, value)

    async def get_value(self, key: bytes, timeout_s: float) -> bytes | None:
        return await self._dht.get_value(key, timeout_s)

    # What the parts tell each other

    def _admit(self, stream: Any) -> bool:
        if len(stream.swarm_conn.streams) <= MAX_STREAMS_PER_CONNECTION:
            return True
        self._plan.counters.add("streams_refused")
        return False

    def _stream_failed(self, stream: Any, error: Exception) -> None:
        self._plan.counters.add("streams_failed")

    def _on_event(self, event: PeerEvent) -> None:
        if isinstance(event, PeerDisconnected):
            self._gossip.forget_peer(ID.from_string(event.peer_id))
        self._upcalls.on_event(event)

    async def _announce(self) -> None:
        """Tell all peers our topics again and again: one that came back on a half-open connection missed them."""
        while True:
            await trio.sleep(self._plan.settings.announce_interval_s)
            self._read_addresses()
            if self._gossip.topic_ids:
                await self._gossip.message_all_peers(self._gossip.get_hello_packet().SerializeToString())

    def _on_neighbour(self, addresses: Sequence[str]) -> None:
        """Somebody on the local network says that a twin is at these addresses."""
        peer = addresses[0].rpartition("/p2p/")[2]
        if peer not in self._meeting and len(self._meeting) < MAX_MEETING and peer != str(self._host.get_id()):
            self._meeting.add(peer)
            self._nursery.start_soon(self._meet, peer, addresses)

    async def _meet(self, peer: str, addresses: Sequence[str]) -> None:
        """Connect to a neighbour, and stay connected once it has answered, unless we have enough company."""
        try:
            if str(self._host.get_id()) > peer:
                await trio.sleep(MEET_WAIT_S)
            for address in addresses:
                connected = {info.peer_id for info in self.peers}
                if peer in connected or len(connected) >= MAX_NEIGHBOURS or not address.endswith(f"/p2p/{peer}"):
                    return
                # Who can announce here is on our network, and could knock at any door of it without us.
                if may_dial(address, named=True, own=self._addresses):
                    with contextlib.suppress(NetError):
                        await self._connections.dial_once(address, MEET_S)
                        await self._connections.dial(address, MEET_S)
        finally:
            self._meeting.discard(peer)
