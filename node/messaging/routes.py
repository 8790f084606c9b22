"""Ways to bring a message to somebody: which there are, and which to try first.

`routes_of` is pure: what is known goes in, an ordered list comes out. `Routes` gathers what is known. Ways straight to
the recipient come before those through a mediator, what is open before what must be dialled, and what answers that the
message is on a disk before what answers nothing.

Mediators are wrapped for as DIDComm v2.1 says ("Sender Process to Enable Forwarding"). A mediator's DID in the place of
a URL stands for the places in the mediator's own document ("Using a DID as an endpoint"); a DID in there is refused, so
that nobody sends us round in circles.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from identity.did import DIDCOMM_SERVICE, Did, DidDocument, Endpoint, PeerId, did_of_peer_id, parse_did
from identity.errors import PagiError
from identity.resolver import Resolver
from node.messaging.live import LiveRoutes
from node.net.port import Network
from node.reach import may_dial
from node.trust import TrustList
from protocols import limits
from protocols.swarm import Mediator
from storage import contacts, twins
from storage.database import Database

logger = logging.getLogger(__name__)

Transport = Literal["return", "libp2p", "http", "websocket"]

_PROFILE: Final = "didcomm/v2"


@dataclass(frozen=True, slots=True)
class Hop:
    """A mediator to wrap a forward for. `key` is its DID, or the one key of it that the recipient named."""

    key: str

    @property
    def did(self) -> Did:
        """Whose key it is."""
        return Did(self.key.partition("#")[0])


@dataclass(frozen=True, slots=True)
class Route:
    """One way. `peer` is who takes the message at `address`; `via` are the mediators to wrap it for, outermost first.

    `address` is a URL, or a multiaddr to dial; it is empty where a connection is open already.
    """

    transport: Transport
    address: str
    peer: Did
    via: tuple[Hop, ...] = ()

    @property
    def direct(self) -> bool:
        """Whether the recipient itself takes the message at the other end."""
        return not self.via

    @property
    def confirms(self) -> bool:
        """Whether an answer on this way proves that the recipient has the message on its own disk.

        A libp2p connection proves the recipient's key. A web server proves at most its own name, and whoever gave us
        its URL may have given us somebody else's.
        """
        return self.direct and self.transport == "libp2p"

    def __str__(self) -> str:
        """What a person is shown. Paths and queries of URLs can hold secrets, so they are left out."""
        way = self.transport if self.transport in ("libp2p", "return") else _origin(self.address)
        return way if self.direct else f"mediator {self.via[0].did} ({way})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the ways to one recipient.

    `connected` are all who are connected over libp2p, `addresses` its announced ones that may be dialled, `endpoints`
    those of its contact and of its document, `documents` those of mediators that the endpoints name by their DIDs. What
    endpoints and mediators say where to dial must pass `may_dial`.
    """

    did: Did
    own: AbstractSet[Did] = frozenset()
    live: bool = False
    connected: AbstractSet[Did] = frozenset()
    addresses: Sequence[str] = ()
    mediators: Sequence[Mediator] = ()
    endpoints: Sequence[Endpoint] = ()
    documents: Mapping[Did, DidDocument] = field(default_factory=dict)
    may_dial: Callable[[str], bool] = lambda address: True


def routes_of(known: Known) -> tuple[Route, ...]:
    """The ways, best first, each once and at most `limits.MAX_ROUTES`."""
    found = [route for route in _all_routes(known) if route is not None and _is_sound(known, route)]
    found.sort(key=_rank)
    return tuple(dict.fromkeys(found))[: limits.MAX_ROUTES]


def _all_routes(known: Known) -> Iterator[Route | None]:
    if known.did in known.connected:
        yield Route("libp2p", "", known.did)
    if known.live:
        yield Route("return", "", known.did)
    for address in known.addresses:
        yield _route(known, address, known.did, (), checked=True)
    for endpoint in known.endpoints:
        yield from _by_endpoint(known, endpoint)
    for mediator in known.mediators:
        hops = (Hop(mediator.did),)
        if mediator.did in known.connected:
            yield Route("libp2p", "", mediator.did, hops)
        for uri in mediator.uris:
            yield _route(known, uri, mediator.did, hops)


def _by_endpoint(known: Known, endpoint: Endpoint) -> Iterator[Route | None]:
    if endpoint.accept and _PROFILE not in endpoint.accept:
        return
    hops = tuple(Hop(key) for key in endpoint.routing_keys)
    if not endpoint.uri.startswith("did:"):
        yield _route(known, endpoint.uri, hops[0].did if hops else known.did, hops)
        return
    mediator = Did(endpoint.uri)  # What is no DID at all finds no document, and is not sound.
    hops = (Hop(mediator), *hops)
    if mediator in known.connected:
        yield Route("libp2p", "", mediator, hops)
    document = known.documents.get(mediator)
    for place in endpoints_in(document) if document else ():
        if not place.uri.startswith("did:"):
            yield _route(known, place.uri, mediator, (*map(Hop, place.routing_keys), *hops))


def _route(known: Known, uri: str, peer: Did, via: tuple[Hop, ...], *, checked: bool = False) -> Route | None:
    """The way to a multiaddr or URL; None if it is neither, or may not be dialled."""
    scheme = uri.partition(":")[0].lower()
    if scheme in ("http", "https"):
        return Route("http", uri, peer, via)
    if scheme in ("ws", "wss"):
        return Route("websocket", uri, peer, via)
    if not uri.startswith("/") or "/p2p/" not in uri:
        return None
    try:
        peer = did_of_peer_id(PeerId(uri.rpartition("/p2p/")[2]))
    except PagiError:
        return None  # A key of another kind than Ed25519: nobody of ours.
    if peer in known.connected:
        return Route("libp2p", "", peer, via)
    return Route("libp2p", uri, peer, via) if checked or known.may_dial(uri) else None


def _is_sound(known: Known, route: Route) -> bool:
    """Whether the way leads on: not to ourselves, not through the recipient, and through nobody twice."""
    hops = [hop.did for hop in route.via]
    return all(map(_is_did, hops)) and (
        route.peer not in known.own
        and known.did not in hops
        and len(set(hops)) == len(hops) <= limits.MAX_HOPS
        and known.own.isdisjoint(hops)
    )


def _is_did(text: str) -> bool:
    try:
        parse_did(text)
    except PagiError:
        return False
    return True


def _rank(route: Route) -> int:
    opened = route.transport == "libp2p" and not route.address
    if route.direct:
        return 0 if opened else ("return", "libp2p", "http", "websocket").index(route.transport) + 1
    return 5 if opened else ("http", "libp2p", "websocket").index(route.transport) + 6


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def endpoints_in(document: DidDocument) -> tuple[Endpoint, ...]:
    """Where a document says that its subject takes DIDComm messages, in the order of its preference."""
    services = (service for service in document.services if service.type == DIDCOMM_SERVICE)
    return tuple(endpoint for service in services for endpoint in service.endpoints)


def endpoints_to_text(endpoints: Sequence[Endpoint]) -> str:
    """Endpoints as a contact's row keeps them."""
    return json.dumps([endpoint.to_json() for endpoint in endpoints])


def endpoints_of_text(text: str) -> tuple[Endpoint, ...]:
    """What `endpoints_to_text` wrote."""
    return tuple(
        Endpoint(entry["uri"], tuple(entry.get("accept", ())), tuple(entry.get("routingKeys", ())))
        for entry in json.loads(text)
    )


class Routes:
    """Gathers what is known of the ways to somebody: connections, announcements, contacts and documents."""

    def __init__(
        self,
        *,
        own: Callable[[Did], bool],
        network: Network,
        database: Database,
        resolver: Resolver,
        live: LiveRoutes,
        trust: TrustList,
        addresses_of: Callable[[Did], Awaitable[Sequence[str]]],
    ) -> None:
        """`addresses_of` gives a twin's announced addresses, those that may be dialled."""
        self._own = own
        self._network = network
        self._database = database
        self._resolver = resolver
        self._live = live
        self._trust = trust
        self._addresses_of = addresses_of

    def at_hand(self, did: Did, threads: Sequence[str | None] = (None,)) -> tuple[Route, ...]:
        """The ways that are open now: nothing is read and nothing is dialled to find them."""
        live = any(self._live.of(did, thread) is not None for thread in threads)
        return routes_of(Known(did=did, live=live, connected=self._connected()))

    async def of(self, did: Did) -> tuple[Route, ...]:
        """All ways, best first. Raises PagiError if the recipient's document cannot be had."""
        document = await self._resolver.resolve(did)
        addresses = await self._addresses_of(did)
        twin, contact = await self._database.read(
            lambda conn: (twins.get_twin(conn, did), contacts.get_contact(conn, did))
        )
        told = endpoints_of_text(contact.services) if contact else ()
        endpoints = tuple(dict.fromkeys((*told, *endpoints_in(document))))[: limits.MAX_ROUTES]
        mediators = [Mediator(keeper.did, keeper.uris) for keeper in twin.mediators] if twin else []
        mentioned = {did, *(hop for endpoint in endpoints for hop in _dids_in(endpoint)), *(m.did for m in mediators)}
        named, ours = did in self._trust.named, self._network.addresses()
        return routes_of(
            Known(
                did=did,
                own=frozenset(filter(self._own, mentioned)),
                live=self._live.of(did) is not None,
                connected=self._connected(),
                addresses=addresses,
                mediators=mediators,
                endpoints=endpoints,
                documents=await self._documents(endpoints),
                may_dial=lambda address: may_dial(address, named=named, own=ours),
            )
        )

    async def _documents(self, endpoints: Sequence[Endpoint]) -> Mapping[Did, DidDocument]:
        """The documents of mediators that stand in the place of a URL: those that can be had."""
        documents: dict[Did, DidDocument] = {}
        for endpoint in endpoints:
            if endpoint.uri.startswith("did:") and endpoint.uri not in documents:
                try:
                    mediator = parse_did(endpoint.uri)
                    documents[mediator] = await self._resolver.resolve(mediator)
                except PagiError as error:
                    logger.debug("the mediator %s cannot be used: %s", endpoint.uri, error)
        return documents

    def _connected(self) -> AbstractSet[Did]:
        return frozenset(info.did for info in self._network.peers() if info.did is not None)


def _dids_in(endpoint: Endpoint) -> Iterator[Did]:
    for text in (endpoint.uri, *endpoint.routing_keys):
        if text.startswith("did:"):
            yield Did(text.partition("#")[0])
