"""did:peer 2 and 4 against the specification's examples and against the method authors' libraries."""

import json
from pathlib import Path
from typing import Any

import did_peer_2
import did_peer_4
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import multibase
from identity.curves import to_multikey
from identity.did import (
    DIDCOMM_SERVICE,
    Did,
    DidDocument,
    Endpoint,
    Service,
    VerificationMethod,
    multikey,
    parse_did,
    resolve_did_key,
)
from identity.did_peer import (
    is_long_form,
    make_did_peer_2,
    make_did_peer_4,
    resolve_did_peer,
    resolve_short,
    short_form,
)
from identity.documents import read_document
from identity.errors import IdentityError, MalformedDid, MalformedDocument, NotResolvedYet, UnknownDidMethod
from identity.keys import KeyPair, agreement_key_of

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "did_peer.json").read_text())
PEER_2, PEER_4 = VECTORS["peer_2"], VECTORS["peer_4"]
KEYS = KeyPair(bytes(range(32)))
AGREEMENT = agreement_key_of(KEYS.public)
SERVICES = (
    Service("#mine", DIDCOMM_SERVICE, (Endpoint("did:key:z6Mkmediator", ("didcomm/v2",), ("did:example:m#1",)),)),
    Service("#too", DIDCOMM_SERVICE, (Endpoint("https://example.org/didcomm"), Endpoint("wss://example.org/ws"))),
    Service("#page", "LinkedDomains", (Endpoint("https://example.org"),)),
)


def named(did: str, methods: tuple[VerificationMethod, ...]) -> dict[str, str]:
    return {method.id.removeprefix(did): multikey(method) for method in methods}


def test_the_specifications_peer_2() -> None:
    did = parse_did(PEER_2["did"])
    document = resolve_did_peer(did)
    assert named(did, document.authentication) == PEER_2["authentication"]
    assert named(did, document.key_agreement) == PEER_2["key_agreement"]
    assert document.assertion == ()
    assert [
        {"id": s.id.removeprefix(did), "uri": e.uri, "accept": list(e.accept), "routing_keys": list(e.routing_keys)}
        for s in document.services
        for e in s.endpoints
    ] == PEER_2["services"]


def test_the_specifications_peer_4() -> None:
    long_form = parse_did(PEER_4["did"])
    assert short_form(long_form) == PEER_4["short"]
    assert is_long_form(long_form)
    assert not is_long_form(PEER_4["short"])
    for did, document in (
        (long_form, resolve_did_peer(long_form)),
        (PEER_4["short"], resolve_short(long_form)),
    ):
        assert document.did == did
        assert named(did, document.authentication) == named(did, document.assertion) == PEER_4["authentication"]
        assert named(did, document.key_agreement) == PEER_4["key_agreement"]
        assert document.services == ()  # `didcomm:transport/queue` is no place to send to
    with pytest.raises(NotResolvedYet) as caught:
        resolve_did_peer(PEER_4["short"])
    assert caught.value.did == PEER_4["short"]


def test_what_we_make_resolves_here_and_there() -> None:
    did = make_did_peer_2(KEYS.public, AGREEMENT, SERVICES)
    document = resolve_did_peer(did)
    assert named(did, document.authentication) == {"#key-1": to_multikey("Ed25519", KEYS.public)}
    assert named(did, document.key_agreement) == {"#key-2": to_multikey("X25519", AGREEMENT)}
    assert [service.endpoints for service in document.services] == [service.endpoints for service in SERVICES]
    assert [service.id for service in document.services] == [did + "#service", did + "#service-1", did + "#service-2"]
    assert read_document(did_peer_2.resolve(did), did=did) == document


def test_what_the_library_makes_resolves_here() -> None:
    specs = [
        did_peer_2.KeySpec.assertion(to_multikey("Ed25519", KEYS.public)),
        did_peer_2.KeySpec.key_agreement(to_multikey("X25519", AGREEMENT)),
        did_peer_2.KeySpec.authentication("zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv"),
        did_peer_2.KeySpec.capability_invocation(to_multikey("Ed25519", KEYS.public)),
    ]
    services = [
        {"type": "DIDCommMessaging", "serviceEndpoint": {"uri": "https://a.example", "accept": ["didcomm/v2"]}},
        {"type": "DIDCommMessaging", "id": "#named", "serviceEndpoint": [{"uri": "https://b.example"}]},
        {"type": "DIDCommMessaging", "serviceEndpoint": "https://c.example", "routingKeys": ["did:example:m#1"]},
    ]
    did = parse_did(did_peer_2.generate(specs, services))
    document = resolve_did_peer(did)
    assert document == read_document(did_peer_2.resolve(did), did=did)
    assert named(did, document.assertion).keys() == {"#key-1"}
    assert named(did, document.authentication) == {"#key-3": "zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv"}
    assert [service.id.removeprefix(did) for service in document.services] == ["#service", "#named", "#service-1"]


INPUT = {
    "verificationMethod": [
        {"id": "#sign", "type": "Multikey", "publicKeyMultibase": to_multikey("Ed25519", KEYS.public)},
        {"id": "#agree", "type": "Multikey", "publicKeyMultibase": to_multikey("X25519", AGREEMENT)},
    ],
    "authentication": ["#sign"],
    "keyAgreement": ["#agree"],
}


def test_peer_4_both_ways() -> None:
    did = make_did_peer_4(INPUT)
    assert did == did_peer_4.encode(INPUT)
    document = resolve_did_peer(did)
    assert document == read_document(did_peer_4.resolve(did), did=did)
    short = short_form(did)
    assert resolve_short(did) == read_document(did_peer_4.resolve_short(did), did=short)
    assert short_form(short) == short


def test_a_changed_peer_4_is_refused() -> None:
    did = make_did_peer_4(INPUT)
    other = make_did_peer_4({**INPUT, "keyAgreement": []})
    mixed = Did(short_form(did) + ":" + other.rpartition(":")[2])
    for wrong in (mixed, Did(did[:-1] + ("2" if did[-1] != "2" else "3"))):
        with pytest.raises(MalformedDid):
            resolve_did_peer(wrong)
        with pytest.raises(MalformedDid):
            resolve_short(wrong)


def peer_4_of(data: bytes) -> Did:
    """A did:peer:4 whose hash is right, over any bytes."""
    import hashlib

    encoded = multibase.encode("z", data)
    digest = multibase.encode("z", b"\x12\x20" + hashlib.sha256(encoded.encode()).digest())
    return Did(f"did:peer:4{digest}:{encoded}")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04[1,2,3]",
        b"\x80\x04{" + bytes(10),
        b"\x80\x04" + orjson.dumps({"id": "did:key:z6Mk", "authentication": []}),
        b"\x81\x04" + orjson.dumps(INPUT),
        orjson.dumps(INPUT),
    ],
)
def test_a_peer_4_without_a_document_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDid):
        resolve_did_peer(peer_4_of(data))


def test_a_peer_4_cannot_speak_for_another_did() -> None:
    """A method that names another controller is not the peer DID's, whatever relationship it stands in."""
    foreign = {**INPUT["verificationMethod"][0], "controller": "did:example:somebody"}  # type: ignore[dict-item]
    document = resolve_did_peer(make_did_peer_4({"authentication": [foreign]}))
    assert document.authentication == ()


@pytest.mark.parametrize(
    "text",
    [
        "did:peer:2",
        "did:peer:2.",
        "did:peer:2.Xz6Mk",
        "did:peer:2.Vz6Mk..Ez6LS",
        "did:peer:2.Vu6Mk",
        "did:peer:2.S",
        "did:peer:2.Vz6Mk.S!!",
        "did:peer:2.SAAA",
        "did:peer:2.S" + multibase.base64url(b"7"),
        "did:peer:2.S" + multibase.base64url(b"[" * 20 + b"]" * 20),
        "did:peer:2.S" + multibase.base64url(b'{"s":' + b"[" * 12 + b"]" * 12 + b"}"),
        "did:peer:2.Vz" + "6" * 500,
        "did:peer:4",
        "did:peer:4zQm",
        PEER_4["short"] + ":",
        PEER_4["short"] + ":z6",
    ],
)
def test_texts_that_are_no_did_peer(text: str) -> None:
    with pytest.raises(MalformedDid):
        resolve_did_peer(Did(text))


def test_peer_2_with_a_broken_key_is_refused() -> None:
    with pytest.raises(MalformedDocument):
        resolve_did_peer(Did("did:peer:2.V" + multibase.encode("z", b"\xed\x01" + bytes(32))))


def test_other_kinds_are_not_resolved() -> None:
    for text in ("did:peer:0z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH", "did:peer:1zQm", "did:peer:3zQm"):
        with pytest.raises(UnknownDidMethod):
            resolve_did_peer(Did(text))
    with pytest.raises(MalformedDid):
        short_form(resolve_did_key(Did("did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH")).did)


def test_a_did_that_grows_too_long_is_refused() -> None:
    many = tuple(Service("#s", DIDCOMM_SERVICE, (Endpoint("https://example.org/" + "a" * 200),)) for _ in range(10))
    with pytest.raises(MalformedDid):
        make_did_peer_2(KEYS.public, AGREEMENT, many)


def test_several_services_in_one_element_as_the_first_version_wrote_them() -> None:
    element = multibase.base64url(orjson.dumps([{"t": "dm", "s": "https://a.example"}, {"t": "dm", "s": "ws://b"}]))
    document = resolve_did_peer(Did(f"did:peer:2.S{element}"))
    assert [service.id.rpartition("#")[2] for service in document.services] == ["service", "service-1"]
    assert document.services[1].endpoints == (Endpoint("ws://b"),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.sampled_from(["dm", "https://a.example"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["t", "s", "r", "a", "uri", "id"]), inner)
    ),
    max_leaves=10,
)


@given(st.lists(JSON, max_size=3), st.text(alphabet="AEVIDSz.126Mk", max_size=30))
def test_any_peer_2_resolves_or_is_refused(services: list[object], rest: str) -> None:
    elements = "".join(".S" + multibase.base64url(orjson.dumps(service)) for service in services)
    try:
        document = resolve_did_peer(parse_did(f"did:peer:2{elements}{rest}"))
    except IdentityError:
        return
    assert isinstance(document, DidDocument)
    assert all(service.id and service.endpoints for service in document.services)


@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: b"\x80\x04" + orjson.dumps(value))))
def test_any_peer_4_resolves_or_is_refused(data: bytes) -> None:
    did = peer_4_of(data)
    try:
        document = resolve_did_peer(did)
    except IdentityError:
        return
    assert document.did == did
