"""A network in memory: the same port, no sockets, no threads. Every FakeNetwork of one FakeSwarm can dial the others.

`swarm.cut(a, b)` ends a connection and keeps it from coming back until `swarm.heal(a, b)`.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

from identity.cid import Cid
from identity.did import PeerId, did_key, peer_id
from identity.keys import KeyPair
from node.clock import now_ms
from node.net.errors import (
    BlockNotFound,
    MalformedAddress,
    MessageTooLarge,
    NetworkDown,
    RemoteRefused,
    RemoteTimeout,
    RemoteUnavailable,
)
from node.net.port import (
    BlockSource,
    GossipHandler,
    GossipMessage,
    Handler,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerInfo,
    Provider,
)
from protocols import ipns, limits


class FakeSwarm:
    """What the fake networks share: who is up, who is connected, which paths are cut."""

    def __init__(self) -> None:
        self.up: dict[PeerId, FakeNetwork] = {}
        self.provided: dict[bytes, dict[PeerId, None]] = {}
        self.values: dict[bytes, bytes] = {}
        self._links: set[frozenset[PeerId]] = set()
        self._cut: set[frozenset[PeerId]] = set()

    @contextlib.asynccontextmanager
    async def open(
        self, keys: KeyPair, blocks: BlockSource, *, dht_server: bool = False
    ) -> "AsyncIterator[FakeNetwork]":
        network = FakeNetwork(self, keys, blocks)
        network.dht_server = dht_server
        self.up[network.peer_id] = network
        for other in self.up.values():
            if network.peer_id in other.targets:
                self.link(other.peer_id, network.peer_id)
        try:
            yield network
        finally:
            network.alive = False
            del self.up[network.peer_id]
            for peer in self.neighbours(network.peer_id):
                self._unlink(peer, network.peer_id)

    def neighbours(self, peer: PeerId) -> list[PeerId]:
        return [other for link in self._links if peer in link for other in link if other != peer]

    def link(self, one: PeerId, other: PeerId) -> bool:
        pair = frozenset((one, other))
        if pair in self._cut or not pair <= self.up.keys():
            return False
        if pair not in self._links:
            self._links.add(pair)
            self.up[one].tell(PeerConnected(other))
            self.up[other].tell(PeerConnected(one))
        return True

    def cut(self, one: PeerId, other: PeerId) -> None:
        self._cut.add(frozenset((one, other)))
        self._unlink(one, other)

    def heal(self, one: PeerId, other: PeerId) -> None:
        self._cut.discard(frozenset((one, other)))
        if one in self.up[other].targets or other in self.up[one].targets:
            self.link(one, other)

    def spread(self, origin: "FakeNetwork", topic: str, data: bytes) -> None:
        """Hand a message to all who can be reached from one subscriber to the next."""
        reached, edge = {origin.peer_id}, [origin.peer_id]
        while edge:
            at = edge.pop()
            for peer in self.neighbours(at):
                handler = self.up[peer].topics.get(topic)
                if peer not in reached and handler is not None:
                    reached.add(peer)
                    edge.append(peer)
                    asyncio.get_running_loop().call_soon(handler, GossipMessage(topic, data, at))

    def _unlink(self, one: PeerId, other: PeerId) -> None:
        self._links.discard(frozenset((one, other)))
        for peer, gone in ((one, other), (other, one)):
            if peer in self.up:
                self.up[peer].tell(PeerDisconnected(gone))


class FakeNetwork:
    """A `Network` in memory. Made by `FakeSwarm.open`."""

    def __init__(self, swarm: FakeSwarm, keys: KeyPair, blocks: BlockSource) -> None:
        self.peer_id = peer_id(keys.public)
        self.did = did_key(keys.public)
        self.alive = True
        self.blocks = blocks
        self.topics: dict[str, GossipHandler] = {}
        self.services: dict[str, tuple[Handler, int]] = {}
        self.targets: set[PeerId] = set()
        self.dht_server = False
        self.counts: Counter[str] = Counter()
        self._swarm = swarm
        self._watchers: set[asyncio.Queue[PeerEvent]] = set()

    def addresses(self) -> tuple[str, ...]:
        return (f"/ip4/127.0.0.1/tcp/{1 + sum(self.peer_id.encode())}/p2p/{self.peer_id}",)

    def peers(self) -> tuple[PeerInfo, ...]:
        up = self._swarm.up
        return tuple(
            PeerInfo(peer, up[peer].did, up[peer].addresses(), 0.1, relayed=False)
            for peer in self._swarm.neighbours(self.peer_id)
        )

    async def dial(self, address: str, *, timeout_s: float = 10, keep: bool = True) -> PeerId:
        head, _, text = address.rpartition("/p2p/")
        peer = PeerId(text)
        if not head or not text or peer == self.peer_id:
            raise MalformedAddress(address)
        if keep:
            self.targets.add(peer)
        await asyncio.sleep(0)
        if not self._swarm.link(self.peer_id, peer):
            raise RemoteUnavailable(address)
        return peer

    def forget(self, peer: PeerId) -> None:
        self.targets.discard(peer)

    async def publish(self, topic: str, data: bytes) -> None:
        if len(data) > limits.MAX_GOSSIP_BYTES:
            raise MessageTooLarge(topic)
        self._check_alive()
        self.counts["gossip_published"] += 1
        self._swarm.spread(self, topic, data)
        await asyncio.sleep(0)

    async def subscribe(self, topic: str, handler: GossipHandler) -> None:
        self._check_alive()
        self.topics[topic] = handler

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float = 10) -> bytes:
        self._check_alive()
        if peer not in self._swarm.neighbours(self.peer_id):
            raise RemoteUnavailable(peer)
        handler, max_request_bytes = self._swarm.up[peer].services.get(protocol, (None, 0))
        if handler is None or len(payload) > max_request_bytes:
            raise RemoteRefused(protocol)
        try:
            async with asyncio.timeout(timeout_s):
                return await handler(self.peer_id, payload)
        except TimeoutError:
            raise RemoteTimeout(protocol) from None
        except Exception as error:
            raise RemoteRefused(protocol) from error

    async def serve(
        self, protocol: str, handler: Handler, *, max_request_bytes: int, max_in_flight_per_peer: int
    ) -> None:
        self._check_alive()
        self.services[protocol] = (handler, max_request_bytes)

    async def fetch_block(self, cid: Cid, peers: Sequence[PeerId], *, timeout_s: float = 30) -> bytes:
        self._check_alive()
        await asyncio.sleep(0)
        for peer in peers:
            if peer in self._swarm.neighbours(self.peer_id):
                block = self._swarm.up[peer].blocks.get(cid)
                if block is not None and cid.matches(block):
                    return block
        raise BlockNotFound(str(cid))

    async def fetch_blocks(
        self, cids: Sequence[Cid], peers: Sequence[PeerId], *, timeout_s: float = 30
    ) -> dict[Cid, bytes]:
        found = {}
        for cid in cids:
            with contextlib.suppress(BlockNotFound):
                found[cid] = await self.fetch_block(cid, peers, timeout_s=timeout_s)
        return found

    async def dht_servers(self) -> tuple[PeerId, ...]:
        self.counts["dht_servers"] += 1
        up = self._swarm.up
        return tuple(peer for peer in self._swarm.neighbours(self.peer_id) if up[peer].dht_server)

    async def provide(self, cid: Cid) -> int:
        self._check_alive()
        if await self.dht_servers():
            self._swarm.provided.setdefault(cid.digest, {})[self.peer_id] = None
        return len(await self.dht_servers())

    async def find_providers(self, cid: Cid, *, limit: int = 20, timeout_s: float = 10) -> tuple[Provider, ...]:
        self._check_alive()
        known = self._swarm.provided.get(cid.digest, {}) if await self.dht_servers() else {}
        up = self._swarm.up
        others = [peer for peer in known if peer != self.peer_id][:limit]
        return tuple(Provider(peer, up[peer].addresses() if peer in up else ()) for peer in others)

    async def put_value(self, key: bytes, value: bytes) -> int:
        self._check_alive()
        record = ipns.verify_value(key, value, now_ms=now_ms())
        held = self._swarm.values.get(key, value)
        servers = await self.dht_servers()
        if servers and not ipns.verify_value(key, held, now_ms=now_ms()).newer_than(record):
            self._swarm.values[key] = value
            return len(servers)
        return 0

    async def get_value(self, key: bytes, *, timeout_s: float = 10) -> bytes | None:
        self._check_alive()
        return self._swarm.values.get(key) if await self.dht_servers() else None

    def peer_events(self) -> AsyncIterator[PeerEvent]:
        queue: asyncio.Queue[PeerEvent] = asyncio.Queue()
        self._watchers.add(queue)
        return self._watch(queue)

    def counters(self) -> Mapping[str, int]:
        return dict(self.counts)

    def tell(self, event: PeerEvent) -> None:
        for queue in self._watchers:
            queue.put_nowait(event)

    async def _watch(self, queue: "asyncio.Queue[PeerEvent]") -> AsyncIterator[PeerEvent]:
        while True:
            yield await queue.get()

    def _check_alive(self) -> None:
        if not self.alive:
            raise NetworkDown("closed")
