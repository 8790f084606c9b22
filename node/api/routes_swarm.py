"""Connected peers and known twins."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from identity.did import Did
from node.api.router import Routes
from node.api.wire import PageQuery, Wire, sorted_page
from node.clock import rfc3339
from node.net.port import PeerInfo
from node.swarm import KnownTwin
from node.twin import Twin

routes = Routes("swarm")


class PeerOut(Wire):
    peer_id: str
    did: str | None
    addresses: list[str]
    latency_ms: float | None
    relayed: bool


class Peers(Wire):
    items: list[PeerOut]
    next: str | None


class DhtOut(Wire):
    """The DHT servers that can be reached now: they keep records of who has which content."""

    servers: list[str]


class Connect(Wire):
    multiaddr: Annotated[str, Field(min_length=1, max_length=1024)]


class Connected(Wire):
    peer_id: str


class TwinOut(Wire):
    """`formerly` are the DIDs that it had before, oldest first; `mediators` keep its mail while it is away."""

    did: str
    formerly: list[str]
    name: str
    addresses: list[str]
    capabilities: list[str]
    topics: list[str]
    last_seen: str
    online: bool
    reputation: float
    mediators: list[str]


class Twins(Wire):
    items: list[TwinOut]
    next: str | None


class TermOut(Wire):
    """One term of the sum: evidence of one kind seen here, or the credential of one issuer."""

    source: str
    good: float
    bad: float
    detail: str


class StandingOut(Wire):
    """A twin's standing as seen from here, from 0 to just under 1 (docs/reputation.md)."""

    did: str
    score: float
    terms: list[TermOut]


@routes.add("GET", "/v1/swarm/peers", "The peers that are connected now.")
async def peers(twin: Twin, query: PageQuery) -> Peers:
    rows, cursor = sorted_page(twin.network.peers(), lambda peer: peer.peer_id, query)
    return Peers(items=[_peer(row) for row in rows], next=cursor)


@routes.add("POST", "/v1/swarm/connect", "Connect to a peer, and stay connected.")
async def connect(twin: Twin, body: Connect) -> Connected:
    return Connected(peer_id=await twin.network.dial(body.multiaddr))


@routes.add("GET", "/v1/swarm/dht", "The DHT servers that can be reached now.")
async def dht(twin: Twin) -> DhtOut:
    return DhtOut(servers=sorted(await twin.network.dht_servers()))


@routes.add("GET", "/v1/twins", "The twins that this one knows.")
async def twins(twin: Twin, query: PageQuery) -> Twins:
    rows, cursor = sorted_page(await twin.directory.twins(), lambda known: known.did, query)
    return Twins(items=[_twin(row, twin.successions.formerly(row.did)) for row in rows], next=cursor)


@routes.add("GET", "/v1/twins/{did}/reputation", "A twin's standing as seen from here, with every term of it.")
async def reputation(twin: Twin, did: Did) -> StandingOut:
    found = await twin.reputation.of(did)
    terms = [TermOut(source=term.source, good=term.good, bad=term.bad, detail=term.detail) for term in found.terms]
    return StandingOut(did=did, score=found.score, terms=terms)


def _peer(peer: PeerInfo) -> PeerOut:
    return PeerOut(
        peer_id=peer.peer_id,
        did=peer.did,
        addresses=list(peer.addresses),
        latency_ms=peer.latency_ms,
        relayed=peer.relayed,
    )


def _twin(known: KnownTwin, formerly: Sequence[Did]) -> TwinOut:
    return TwinOut(
        did=known.did,
        formerly=list(formerly),
        name=known.name,
        addresses=list(known.addresses),
        capabilities=list(known.capabilities),
        topics=list(known.topics),
        last_seen=rfc3339(known.last_seen_ms),
        online=known.online,
        reputation=known.reputation,
        mediators=[mediator.did for mediator in known.mediators],
    )
