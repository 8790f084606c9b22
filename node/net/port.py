"""The narrow port between the node and its network: bytes and value types, nothing of libp2p.

Everything here belongs to the asyncio loop: every method is called there, and every handler is called there.
The rules of the port are written down as tests that run against the real network and against the fake.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from identity.cid import Cid
from identity.did import Did, PeerId


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A connected peer. `did` is None if its key is not Ed25519; `latency_ms` is None until the first ping."""

    peer_id: PeerId
    did: Did | None
    addresses: tuple[str, ...]
    latency_ms: float | None
    relayed: bool


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """The first connection to a peer is up."""

    peer_id: PeerId


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The last connection to a peer is gone."""

    peer_id: PeerId


PeerEvent = PeerConnected | PeerDisconnected


@dataclass(frozen=True, slots=True)
class GossipMessage:
    """A message of a topic. `forwarded_by` is the neighbour that it came from, not its author."""

    topic: str
    data: bytes
    forwarded_by: PeerId


Handler = Callable[[PeerId, bytes], Awaitable[bytes]]
"""Answers one request. An error that it raises resets the stream: the requester sees RemoteRefused."""

GossipHandler = Callable[[GossipMessage], None]
"""Takes one message of a topic. It is called on the asyncio loop, and must be quick."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Somebody who says that it has a content. `addresses` are multiaddrs with `/p2p/<peer id>`: a stranger's word."""

    peer_id: PeerId
    addresses: tuple[str, ...]


class BlockSource(Protocol):
    """What bitswap serves from. It is called from the network's thread: synchronous and thread-safe."""

    def get(self, cid: Cid) -> bytes | None: ...

    def has(self, cid: Cid) -> bool: ...


class Network(Protocol):
    """One twin's view of the network."""

    @property
    def peer_id(self) -> PeerId: ...

    @property
    def alive(self) -> bool:
        """False while the network is down and being restarted."""

    def addresses(self) -> tuple[str, ...]:
        """Where we can be dialled: full multiaddrs with `/p2p/<peer id>`, wildcards expanded."""

    def peers(self) -> tuple[PeerInfo, ...]:
        """The peers that are connected now."""

    async def dial(self, address: str, *, timeout_s: float = 10, keep: bool = True) -> PeerId:
        """Connect to a multiaddr that ends in `/p2p/<peer id>`, and keep that peer connected from then on.

        A target is kept, and dialled again with growing pauses, also when this first attempt fails. Without `keep`
        there is this one attempt and nothing afterwards: each target costs a task and a dial every half minute.
        Raises MalformedAddress (nothing is kept), RemoteUnavailable or RemoteTimeout.
        """

    def forget(self, peer: PeerId) -> None:
        """Keep this peer connected no longer. An open connection stays until one side ends it."""

    async def publish(self, topic: str, data: bytes) -> None:
        """Publish to a topic; waits while the peers cannot take more.

        Waits a bounded time for a first subscriber if there are peers but none has told its topics yet; with no
        subscriber at all the message goes nowhere, and the counter `gossip_unheard` says so.
        Raises MessageTooLarge over `limits.MAX_GOSSIP_BYTES`, PublishTimeout, NetworkDown.
        """

    async def subscribe(self, topic: str, handler: GossipHandler) -> None:
        """Receive, and forward, a topic. A second handler replaces the first."""

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float = 10) -> bytes:
        """One frame out, one frame back, on a stream that is kept open; many may be under way at once.

        Raises RemoteUnavailable, RemoteTimeout, RemoteRefused, MessageTooLarge, NetworkDown. After an error it is
        unknown whether the peer handled the request, so requests must be safe to repeat.
        """

    async def serve(
        self, protocol: str, handler: Handler, *, max_request_bytes: int, max_in_flight_per_peer: int
    ) -> None:
        """Answer requests of a protocol; a second handler replaces the first.

        A longer frame, or one that is no frame, resets the stream and is counted. No more than
        `max_in_flight_per_peer` handlers run for one peer; what it sends beyond that waits on the wire.
        """

    async def fetch_block(self, cid: Cid, peers: Sequence[PeerId], *, timeout_s: float = 30) -> bytes:
        """Fetch one block by bitswap, as `fetch_blocks` does. Raises BlockNotFound."""

    async def fetch_blocks(
        self, cids: Sequence[Cid], peers: Sequence[PeerId], *, timeout_s: float = 30
    ) -> dict[Cid, bytes]:
        """Fetch up to `limits.MAX_BLOCKS_AT_ONCE` blocks by bitswap: those that some of the peers gave in time.

        The work is spread over the peers that are connected, those first that have delivered before. What one does not
        have, or does not bring soon, is asked of another; once nobody is left to ask, the rest is given up. Several
        calls may be under way, also for the same blocks. Hashes are checked, and nothing is stored.
        """

    async def dht_servers(self) -> tuple[PeerId, ...]:
        """The connected peers that keep the DHT's records for others, as far as they have told."""

    async def provide(self, cid: Cid) -> int:
        """Tell the DHT that we have this content: how many peers took the record. They keep it for 48 hours.

        0 if nobody who keeps records can be reached, or the DHT is off. Raises NetworkDown.
        """

    async def find_providers(self, cid: Cid, *, limit: int = 20, timeout_s: float = 10) -> tuple[Provider, ...]:
        """Ask the DHT who has this content: each peer once, without us; empty if nobody is known in that time."""

    async def put_value(self, key: bytes, value: bytes) -> int:
        """Store a record that proves itself (an IPNS record under `/ipns/<peer id>`): how many peers took it.

        Raises RemoteProtocolError if our own check refuses it.
        """

    async def get_value(self, key: bytes, *, timeout_s: float = 10) -> bytes | None:
        """The newest valid record of those that the DHT gives for a key within that time; None if there is none."""

    def peer_events(self) -> AsyncIterator[PeerEvent]:
        """Connections that come and go, from the moment of this call on."""

    def counters(self) -> Mapping[str, int]:
        """Counts since the start, for metrics: what was received, served, dropped and why."""
