"""Which ways there are to somebody, and in which order: the decision as a table, then what it is made of."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from identity.did import DIDCOMM_SERVICE, Did, DidDocument, Endpoint, Service, did_key, peer_id, resolve_did_key
from identity.did_peer import make_did_peer_2
from node.messaging.routes import (
    Hop,
    Known,
    Route,
    endpoints_of_text,
    endpoints_to_text,
    routes_of,
)
from node.messaging.source import LiveRoute
from protocols import limits
from protocols.swarm import Mediator
from storage import contacts, twins
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Mail, new_keys, open_node

ANNA_KEYS, RELAY_KEYS = new_keys(), new_keys()
ME, ANNA, RELAY = did_key(new_keys().public), did_key(ANNA_KEYS.public), did_key(RELAY_KEYS.public)
OTHER = Did("did:web:other.example")
AGENT = Did("did:web:agent.example")
CLOUD = Did("did:web:cloud.example")

ANNAS = f"/ip4/9.9.9.7/tcp/4801/p2p/{peer_id(ANNA_KEYS.public)}"
RELAYS = f"/ip4/9.9.9.8/tcp/4801/p2p/{peer_id(RELAY_KEYS.public)}"
HTTPS, WSS = "https://agent.example/didcomm", "wss://agent.example/didcomm"
VIA_RELAY, VIA_CLOUD = (Hop(RELAY),), (Hop(CLOUD),)


def document_of(did: Did, *endpoints: Endpoint) -> DidDocument:
    return DidDocument(did, (), (), (), (Service(f"{did}#didcomm", DIDCOMM_SERVICE, endpoints),))


AT_CLOUD = {CLOUD: document_of(CLOUD, Endpoint("https://cloud.example/in"), Endpoint("wss://cloud.example/ws"))}

TABLE: Mapping[str, tuple[Known, list[Route]]] = {
    "nothing is known": (Known(did=ANNA), []),
    "connected": (Known(did=ANNA, connected={ANNA}), [Route("libp2p", "", ANNA)]),
    "an open way back": (Known(did=AGENT, live=True), [Route("return", "", AGENT)]),
    "announced": (Known(did=ANNA, addresses=[ANNAS]), [Route("libp2p", ANNAS, ANNA)]),
    "announced and connected is one way": (
        Known(did=ANNA, addresses=[ANNAS], connected={ANNA}),
        [Route("libp2p", "", ANNA)],
    ),
    "an address that may not be dialled": (
        Known(
            did=ANNA, endpoints=[Endpoint(ANNAS)], mediators=[Mediator(RELAY, (RELAYS,))], may_dial=lambda uri: False
        ),
        [],
    ),
    "an announced address is asked about where it is read": (
        Known(did=ANNA, addresses=[ANNAS], may_dial=lambda uri: False),
        [Route("libp2p", ANNAS, ANNA)],
    ),
    "what answers comes before what does not": (
        Known(did=AGENT, endpoints=[Endpoint(WSS), Endpoint(HTTPS)]),
        [Route("http", HTTPS, AGENT), Route("websocket", WSS, AGENT)],
    ),
    "of two of a kind the one that is preferred there": (
        Known(did=AGENT, endpoints=[Endpoint("https://b.example"), Endpoint("https://a.example")]),
        [Route("http", "https://b.example", AGENT), Route("http", "https://a.example", AGENT)],
    ),
    "straight comes before mediated, open before dialled": (
        Known(
            did=ANNA,
            live=True,
            connected={ANNA, RELAY},
            mediators=[Mediator(RELAY, (RELAYS,)), Mediator(CLOUD, ("https://cloud.example/in",))],
            endpoints=[Endpoint(HTTPS)],
        ),
        [
            Route("libp2p", "", ANNA),
            Route("return", "", ANNA),
            Route("http", HTTPS, ANNA),
            Route("libp2p", "", RELAY, VIA_RELAY),
            Route("http", "https://cloud.example/in", CLOUD, VIA_CLOUD),
        ],
    ),
    "its relay is ours too: forward over the connection that is there": (
        Known(did=ANNA, connected={RELAY}, mediators=[Mediator(RELAY, (RELAYS, "https://relay.example"))]),
        [Route("libp2p", "", RELAY, VIA_RELAY), Route("http", "https://relay.example", RELAY, VIA_RELAY)],
    ),
    "its relay is called where we are not connected": (
        Known(did=ANNA, mediators=[Mediator(RELAY, (RELAYS,))]),
        [Route("libp2p", RELAYS, RELAY, VIA_RELAY)],
    ),
    "routing keys, the outermost first": (
        Known(did=AGENT, endpoints=[Endpoint(HTTPS, (), (f"{CLOUD}#key-1", OTHER))]),
        [Route("http", HTTPS, CLOUD, (Hop(f"{CLOUD}#key-1"), Hop(OTHER)))],
    ),
    "a DID in the place of a URL": (
        Known(did=AGENT, endpoints=[Endpoint(CLOUD, (), (OTHER,))], documents=AT_CLOUD),
        [
            Route("http", "https://cloud.example/in", CLOUD, (Hop(CLOUD), Hop(OTHER))),
            Route("websocket", "wss://cloud.example/ws", CLOUD, (Hop(CLOUD), Hop(OTHER))),
        ],
    ),
    "a DID in the place of a URL, which we are connected to": (
        Known(did=AGENT, endpoints=[Endpoint(RELAY)], connected={RELAY}),
        [Route("libp2p", "", RELAY, VIA_RELAY)],
    ),
    "the mediator is itself behind one": (
        Known(
            did=AGENT,
            endpoints=[Endpoint(CLOUD)],
            documents={CLOUD: document_of(CLOUD, Endpoint("https://edge.example", (), (OTHER,)))},
        ),
        [Route("http", "https://edge.example", CLOUD, (Hop(OTHER), Hop(CLOUD)))],
    ),
    "a DID in the mediator's own document is refused": (
        Known(
            did=AGENT,
            endpoints=[Endpoint(CLOUD)],
            documents={CLOUD: document_of(CLOUD, Endpoint(OTHER)), **{OTHER: document_of(OTHER, Endpoint(HTTPS))}},
        ),
        [],
    ),
    "a mediator that is not resolved": (Known(did=AGENT, endpoints=[Endpoint(CLOUD)]), []),
    "an endpoint of another profile": (Known(did=AGENT, endpoints=[Endpoint(HTTPS, ("didcomm/aip2;env=rfc19",))]), []),
    "an endpoint of several profiles": (
        Known(did=AGENT, endpoints=[Endpoint(HTTPS, ("didcomm/aip2;env=rfc587", "didcomm/v2"))]),
        [Route("http", HTTPS, AGENT)],
    ),
    "a multiaddr as endpoint": (
        Known(did=AGENT, endpoints=[Endpoint(ANNAS)]),
        [Route("libp2p", ANNAS, ANNA)],
    ),
    "a multiaddr of somebody who is connected": (
        Known(did=AGENT, endpoints=[Endpoint(ANNAS)], connected={ANNA}),
        [Route("libp2p", "", ANNA)],
    ),
    "through the recipient itself": (Known(did=ANNA, mediators=[Mediator(ANNA, (ANNAS,))]), []),
    "in a circle": (
        Known(did=AGENT, endpoints=[Endpoint(CLOUD, (), (OTHER, CLOUD))], documents=AT_CLOUD),
        [],
    ),
    "through ourselves": (Known(did=AGENT, own={ME}, endpoints=[Endpoint(HTTPS, (), (ME,))]), []),
    "more mediators than anybody needs": (
        Known(did=AGENT, endpoints=[Endpoint(HTTPS, (), tuple(f"did:web:m{n}.example" for n in range(5)))]),
        [],
    ),
    "what is no address, no URL, no key": (
        Known(
            did=AGENT,
            addresses=["/p2p/", "/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1/p2p/Qmnonsense"],
            endpoints=[
                Endpoint(""),
                Endpoint("ftp://agent.example"),
                Endpoint("did:"),
                Endpoint(HTTPS, (), ("nobody",)),
                Endpoint(HTTPS, (), ("",)),
            ],
        ),
        [],
    ),
}


@pytest.mark.parametrize(("known", "expected"), TABLE.values(), ids=TABLE.keys())
def test_what_is_known_decides_the_ways(known: Known, expected: list[Route]) -> None:
    assert list(routes_of(known)) == expected


def test_a_document_with_many_places_costs_no_more_than_the_bound() -> None:
    endpoints = [Endpoint(f"https://{number}.example") for number in range(100)]
    assert len(routes_of(Known(did=AGENT, endpoints=endpoints))) == limits.MAX_ROUTES


@pytest.mark.parametrize(
    ("route", "shown", "confirms"),
    [
        (Route("libp2p", "", ANNA), "libp2p", True),
        (Route("libp2p", ANNAS, ANNA), "libp2p", True),
        (Route("return", "", AGENT), "return", False),
        (
            Route("http", "https://user:word@agent.example:84/secret?token=1", AGENT),
            "https://agent.example:84",
            False,
        ),
        (Route("websocket", WSS, AGENT), "wss://agent.example", False),
        (Route("libp2p", "", RELAY, VIA_RELAY), f"mediator {RELAY} (libp2p)", False),
        (Route("http", HTTPS, CLOUD, (Hop(f"{CLOUD}#key-1"),)), f"mediator {CLOUD} (https://agent.example)", False),
    ],
)
def test_a_way_is_shown_without_secrets_and_knows_what_an_answer_on_it_means(
    route: Route, shown: str, confirms: bool
) -> None:
    assert str(route) == shown
    assert route.confirms is confirms


def test_endpoints_survive_being_kept() -> None:
    endpoints = (Endpoint(HTTPS, ("didcomm/v2",), (CLOUD,)), Endpoint(ANNAS))
    assert endpoints_of_text(endpoints_to_text(endpoints)) == endpoints


class Open:
    """An open way back."""

    name = "test"
    closed = False

    def keep(self) -> None: ...

    async def send(self, packed: bytes) -> None: ...


def test_everything_that_is_known_of_somebody_is_gathered(tmp_path: Path) -> None:
    cloud = make_did_peer_2(
        RELAY_KEYS.public,
        resolve_did_key(RELAY).key_agreement[0].public,
        (Service("#s", DIDCOMM_SERVICE, (Endpoint("https://cloud.example/in"),)),),
    )
    agent = make_did_peer_2(
        ANNA_KEYS.public,
        resolve_did_key(ANNA).key_agreement[0].public,
        (Service("#s", DIDCOMM_SERVICE, (Endpoint(cloud),)), Service("#t", "LinkedDomains", (Endpoint(HTTPS),))),
    )

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            mail = Mail(node)
            mail.addresses[agent] = [ANNAS]
            back: LiveRoute = Open()
            mail.live.open(agent, back)
            told = endpoints_to_text([Endpoint(WSS), Endpoint("did:web:nowhere.example")])
            relay: Any = twins.MediatorRow(RELAY, (RELAYS,))

            def know(conn: Any) -> None:
                contacts.put_contact(conn, agent, services=told, name=None, source="invitation", updated_ms=1)
                twins.upsert_twin(conn, agent, "agent", (), (), (), 1, True, mediators=[relay])

            await node.database.write(know)
            assert await mail.routes.of(agent) == (
                Route("return", "", agent),
                Route("libp2p", ANNAS, ANNA),
                Route("websocket", WSS, agent),
                Route("http", "https://cloud.example/in", cloud, (Hop(cloud),)),
                Route("libp2p", RELAYS, RELAY, VIA_RELAY),
            )
            assert mail.routes.at_hand(agent) == (Route("return", "", agent),)

    asyncio.run(main())


def test_a_private_address_in_a_document_is_dialled_only_of_one_that_the_owner_named(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as node, open_node(swarm, tmp_path / "b") as other:
            mail = Mail(node)
            private = ANNAS.replace("9.9.9.7", "192.168.77.7")
            told = endpoints_to_text([Endpoint(private)])
            await node.database.write(
                lambda conn: contacts.put_contact(
                    conn, other.did, services=told, name=None, source="invitation", updated_ms=1
                )
            )
            assert await mail.routes.of(other.did) == ()
            await node.name(other)
            assert await mail.routes.of(other.did) == (Route("libp2p", private, ANNA),)

    asyncio.run(main())
