"""Foreign DID documents: what is read of them, what is passed over, and what is refused."""

import json
from typing import Any

import base58
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import multibase
from identity.curves import check_key, from_multikey, to_jwk, to_multikey
from identity.did import Did, DidDocument, Endpoint, Service, VerificationMethod
from identity.documents import (
    MAX_DOCUMENT_BYTES,
    MAX_ENDPOINTS,
    MAX_METHODS,
    MAX_ROUTING_KEYS,
    MAX_SERVICES,
    is_endpoint,
    parse_document,
    read_document,
)
from identity.errors import IdentityError, MalformedDocument
from identity.keys import KeyPair, agreement_key_of

DID = Did("did:web:example.org")
OTHER = Did("did:web:other.example")
ED = KeyPair(bytes([1]) * 32).public
X = agreement_key_of(ED)
P256 = from_multikey("zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv")[1]
K1 = from_multikey("zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme")[1]
"""The last two from the test vectors of did:key."""


def method(kind: str = "Multikey", name: str = "#1", controller: str | None = DID, **key: Any) -> dict[str, Any]:
    members = {"id": name, "type": kind, "controller": controller, **(key or {"publicKeyMultibase": ed_text()})}
    return {name: value for name, value in members.items() if value is not None}


def ed_text() -> str:
    return to_multikey("Ed25519", ED)


def x_text() -> str:
    return to_multikey("X25519", X)


def read(**members: Any) -> DidDocument:
    return read_document({"id": DID, **members}, did=DID)


FORMS = [
    (method("Multikey"), "Ed25519", ED),
    (method("Multikey", publicKeyMultibase=multibase.encode("u", b"\xed\x01" + ED)), "Ed25519", ED),
    (method("Multikey", publicKeyMultibase=to_multikey("P-256", P256)), "P-256", P256),
    (method("JsonWebKey", publicKeyJwk=to_jwk("P-256", P256)), "P-256", P256),
    (method("JsonWebKey2020", publicKeyJwk=to_jwk("Ed25519", ED)), "Ed25519", ED),
    (method("JsonWebKey2020", publicKeyJwk=to_jwk("secp256k1", K1)), "secp256k1", K1),
    (method("Ed25519VerificationKey2018", publicKeyBase58=base58.b58encode(ED).decode()), "Ed25519", ED),
    (method("Ed25519VerificationKey2018", publicKeyMultibase=multibase.encode("z", ED)), "Ed25519", ED),
    (method("Ed25519VerificationKey2018", publicKeyMultibase=ed_text()), "Ed25519", ED),
    (method("Ed25519VerificationKey2020"), "Ed25519", ED),
    (method("EcdsaSecp256k1VerificationKey2019", publicKeyJwk=to_jwk("secp256k1", K1)), "secp256k1", K1),
    (method("EcdsaSecp256k1VerificationKey2019", publicKeyHex=K1.hex()), "secp256k1", K1),
    (
        method("EcdsaSecp256k1VerificationKey2019", publicKeyBase58="23o6Sau8NxxzXcgSc3PLcNxrzrZpbLeBn1izfv3jbKhuv"),
        "secp256k1",
        K1,
    ),
    (method("EcdsaSecp256r1VerificationKey2019", publicKeyMultibase=to_multikey("P-256", P256)), "P-256", P256),
    (method("Multikey", controller=None), "Ed25519", ED),
]


@pytest.mark.parametrize(("form", "curve", "public"), FORMS)
def test_each_form_of_a_signing_key(form: dict[str, Any], curve: Any, public: bytes) -> None:
    expected = (VerificationMethod(f"{DID}#1", curve, public),)
    assert read(verificationMethod=[form], authentication=["#1"]).authentication == expected
    assert read(verificationMethod=[form], assertionMethod=[f"{DID}#1"]).assertion == expected
    assert read(authentication=[form]).authentication == expected
    assert read(authentication=[form], assertionMethod=["#1"]).assertion == expected


@pytest.mark.parametrize(
    "form",
    [
        method("Multikey", publicKeyMultibase=x_text()),
        method("JsonWebKey2020", publicKeyJwk=to_jwk("X25519", X)),
        method("X25519KeyAgreementKey2019", publicKeyBase58=base58.b58encode(X).decode()),
        method("X25519KeyAgreementKey2020", publicKeyMultibase=x_text()),
    ],
)
def test_each_form_of_an_agreement_key(form: dict[str, Any]) -> None:
    document = read(keyAgreement=[form], authentication=["#1"])
    assert document.key_agreement == (VerificationMethod(f"{DID}#1", "X25519", X),)
    assert document.authentication == ()  # X25519 cannot sign
    assert read(keyAgreement=[method()]).key_agreement == ()  # and Ed25519 cannot agree


def test_a_key_that_no_relationship_names_is_for_nothing() -> None:
    document = read(verificationMethod=[method()])
    assert document == DidDocument(DID, (), ())
    assert read(verificationMethod=[method()], authentication=["#1", "#1", f"{DID}#1"]).authentication[1:] == ()


def test_keys_of_other_dids_count_for_nothing() -> None:
    for foreign in (
        method(controller=OTHER),
        method(name=f"{OTHER}#1"),
        method(name=f"{OTHER}#1", controller=OTHER),
        method(controller=[DID]),  # type: ignore[arg-type]
    ):
        references = [foreign["id"]]
        document = read(
            verificationMethod=[foreign], authentication=references, assertionMethod=references, keyAgreement=[foreign]
        )
        assert document == DidDocument(DID, (), ())
    assert read(authentication=[f"{OTHER}#1", f"{DID}#unknown"]).authentication == ()


@pytest.mark.parametrize(
    "unknown",
    [
        method("Bls12381G2Key2020", publicKeyBase58="25EEkQtcLKsEzQ6JTo9cg4W7NHpaurn4Wg6LaNPFq6JQXnrP91SDviUz7KrJVMJd"),
        method("Multikey", publicKeyMultibase=multibase.encode("z", b"\xeb\x01" + bytes(96))),
        method("JsonWebKey2020", publicKeyJwk={"kty": "OKP", "crv": "Ed448", "x": "AA"}),
        method("JsonWebKey2020", publicKeyJwk={"kty": "RSA", "n": "AA", "e": "AQAB"}),
        method(
            "EcdsaSecp256k1RecoveryMethod2020",
            blockchainAccountId="eip155:1:0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb",
        ),
    ],
)
def test_keys_of_types_that_we_do_not_speak_are_passed_over(unknown: dict[str, Any]) -> None:
    document = read(verificationMethod=[unknown, method(name="#2")], authentication=["#1", "#2"])
    assert [key.id for key in document.authentication] == [f"{DID}#2"]


@pytest.mark.parametrize(
    "broken",
    [
        method("Multikey", publicKeyMultibase=multibase.encode("z", b"\xed\x01" + bytes(32))),
        method("Multikey", publicKeyMultibase=multibase.encode("z", b"\xec\x01" + bytes(32))),
        method("Multikey", publicKeyMultibase=multibase.encode("z", b"\xed\x01" + ED[:31])),
        method("Multikey", publicKeyMultibase=7),
        method("Multikey", publicKeyBase58=base58.b58encode(ED).decode()),
        method("JsonWebKey2020", publicKeyJwk={**to_jwk("P-256", P256), "y": to_jwk("P-256", P256)["x"]}),
        method("JsonWebKey2020", publicKeyJwk="x"),
        method("Ed25519VerificationKey2018", publicKeyBase58="0OIl"),
        method("Ed25519VerificationKey2018", publicKeyBase58="z" * 100_000),
        method("Ed25519VerificationKey2020", publicKeyMultibase=x_text()),
        method("X25519KeyAgreementKey2019", publicKeyBase58=base58.b58encode(bytes(32)).decode()),
        method("EcdsaSecp256k1VerificationKey2019", publicKeyHex="04" + "11" * 64),
        method("EcdsaSecp256k1VerificationKey2019", publicKeyHex="é"),
        method("EcdsaSecp256k1VerificationKey2019", publicKeyJwk=to_jwk("P-256", P256)),
        {"id": "#1", "controller": DID, "publicKeyMultibase": ed_text()},
        {"type": "Multikey", "controller": DID, "publicKeyMultibase": ed_text()},
        {**method(), "id": "x" * 3000},
        "#1",
    ],
)
def test_a_broken_key_spoils_the_document(broken: Any) -> None:
    with pytest.raises(MalformedDocument):
        read(verificationMethod=[broken])


def test_two_keys_of_one_name_are_refused() -> None:
    twice = [method(), method(publicKeyMultibase=to_multikey("P-256", P256))]
    with pytest.raises(MalformedDocument):
        read(verificationMethod=twice)
    with pytest.raises(MalformedDocument):
        read(authentication=twice[:1], assertionMethod=twice[1:])
    same = read(authentication=twice[:1], assertionMethod=twice[:1])
    assert same.authentication == same.assertion != ()


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, {"id": OTHER}, {"id": DID + "#x"}, {"id": [DID]}])
def test_what_is_not_the_document_is_refused(value: object) -> None:
    with pytest.raises(MalformedDocument):
        read_document(value, did=DID)


@pytest.mark.parametrize("member", ["verificationMethod", "authentication", "keyAgreement", "service"])
@pytest.mark.parametrize("value", [None, {}, "x", [None], [7], [[]]])
def test_members_of_another_shape_are_refused(member: str, value: object) -> None:
    with pytest.raises(MalformedDocument):
        read(**{member: value})


A, B = "https://example.org/didcomm", "wss://example.org/ws"
KEY = "did:example:mediator#key-1"


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (A, [Endpoint(A)]),
        ({"uri": A}, [Endpoint(A)]),
        ([A, B], [Endpoint(A), Endpoint(B)]),
        ([{"uri": A, "accept": ["didcomm/v2"], "routingKeys": [KEY]}], [Endpoint(A, ("didcomm/v2",), (KEY,))]),
        ([A, {"uri": B}], [Endpoint(A), Endpoint(B)]),
        ({"uri": "did:example:mediator"}, [Endpoint("did:example:mediator")]),
        ({"uri": "/ip4/192.0.2.1/tcp/1/p2p/12D3KooW"}, [Endpoint("/ip4/192.0.2.1/tcp/1/p2p/12D3KooW")]),
        ({"uri": A, "accept": None, "routingKeys": []}, [Endpoint(A)]),
        ([{"uri": "didcomm:transport/queue"}, {"uri": A}], [Endpoint(A)]),
        ([{"uri": A, "routingKeys": ["not a key"]}, {"uri": B, "routingKeys": KEY}, {"uri": B}], [Endpoint(B)]),
        ([None, 7, [], {"origins": [A]}, {"uri": A}], [Endpoint(A)]),
    ],
)
def test_endpoints_in_each_shape(given_: object, expected: list[Endpoint]) -> None:
    (service,) = read(service=[{"id": "#s", "type": "DIDCommMessaging", "serviceEndpoint": given_}]).services
    assert service == Service(f"{DID}#s", "DIDCommMessaging", tuple(expected))
    assert read_document(DidDocument(DID, (), (), services=(service,)).to_json(), did=DID).services == (service,)


def test_a_service_as_it_was_before_didcomm_v2() -> None:
    old = {"id": "#s", "type": "DIDCommMessaging", "serviceEndpoint": A, "routingKeys": [KEY], "accept": ["didcomm/v2"]}
    assert read(service=[old]).services[0].endpoints == (Endpoint(A, ("didcomm/v2",), (KEY,)),)


def test_services_that_we_cannot_use_are_passed_over() -> None:
    services = [
        {"id": "#a", "type": "DIDCommMessaging", "serviceEndpoint": "mailto:a@example.org"},
        {"id": "#b", "type": ["Other", "DIDCommMessaging"], "serviceEndpoint": A},
        {"id": "#c", "type": 7, "serviceEndpoint": A},
        {"id": "#d", "serviceEndpoint": A},
        {"id": "#e", "type": "DIDCommMessaging"},
        {"id": "#f", "type": "LinkedDomains", "serviceEndpoint": [A]},
    ]
    found = {service.id.partition("#")[2]: service.type for service in read(service=services).services}
    assert found == {"b": "DIDCommMessaging", "f": "LinkedDomains"}


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://",
        "https://user:secret@example.org",
        "https://user@example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "https://example.org/a b",
        "https://example.org/\n",
        "https://exämple.org",
        "https://[::1",
        "https://example.org:99999",
        "https://example.org:0",
        "did:",
        "did:web:a?b",
        "/unix/socket",
        "https://example.org/" + "a" * 3000,
    ],
)
def test_no_endpoints(uri: str) -> None:
    assert not is_endpoint(uri)


def test_bounds() -> None:
    def methods(count: int) -> list[dict[str, Any]]:
        return [method(name=f"#{index}") for index in range(count)]

    assert len(read(authentication=methods(MAX_METHODS)).authentication) == MAX_METHODS
    with pytest.raises(MalformedDocument):
        read(verificationMethod=methods(MAX_METHODS + 1))
    with pytest.raises(MalformedDocument):
        read(verificationMethod=methods(MAX_METHODS), authentication=[method(name="#more")])
    with pytest.raises(MalformedDocument):
        read(authentication=["#1"] * (MAX_METHODS + 1))

    def service(endpoints: object) -> dict[str, Any]:
        return {"id": "#s", "type": "DIDCommMessaging", "serviceEndpoint": endpoints}

    assert len(read(service=[service([A] * MAX_ENDPOINTS)] * MAX_SERVICES).services) == MAX_SERVICES
    with pytest.raises(MalformedDocument):
        read(service=[service(A)] * (MAX_SERVICES + 1))
    with pytest.raises(MalformedDocument):
        read(service=[service([A] * (MAX_ENDPOINTS + 1))])
    with pytest.raises(MalformedDocument):
        read(service=[service({"uri": A, "routingKeys": [KEY] * (MAX_ROUTING_KEYS + 1)})])


def test_bytes_are_bounded_and_nesting_harms_nobody() -> None:
    small = orjson.dumps({"id": DID, "authentication": [method()]})
    assert parse_document(small, did=DID).authentication[0].public == ED
    for data in (b" " * MAX_DOCUMENT_BYTES + small, b"", b"{", b'{"id":' + b"[" * 30_000, b"\xff"):
        with pytest.raises(MalformedDocument):
            parse_document(data, did=DID)
    deep = b'{"id":"%s","x":%s1%s}' % (DID.encode(), b"[" * 500, b"]" * 500)
    assert parse_document(deep, did=DID) == DidDocument(DID, (), ())


def test_what_we_write_we_read() -> None:
    keys = tuple(
        VerificationMethod(f"{DID}#{index}", curve, check_key(curve, public))
        for index, (curve, public) in enumerate([("Ed25519", ED), ("P-256", P256), ("secp256k1", K1)])
    )
    agreement = (VerificationMethod(f"{DID}#x", "X25519", X), keys[1])
    service = Service(f"{DID}#s", "DIDCommMessaging", (Endpoint(A, ("didcomm/v2",), (KEY,)), Endpoint(B)))
    document = DidDocument(DID, keys, agreement, keys[:1], (service,))
    assert parse_document(orjson.dumps(document.to_json()), did=DID) == document


NAMES = st.sampled_from(
    [
        *("id", "type", "controller", "verificationMethod", "authentication", "keyAgreement", "assertionMethod"),
        *("service", "serviceEndpoint", "uri", "accept", "routingKeys", "publicKeyJwk", "publicKeyMultibase"),
        *("publicKeyBase58", "publicKeyHex", "kty", "crv", "x", "y"),
    ]
)
TEXTS = st.sampled_from(
    [
        *(DID, OTHER, "#1", f"{DID}#1", "Multikey", "JsonWebKey2020", "Ed25519VerificationKey2018", "DIDCommMessaging"),
        *(ed_text(), x_text(), A, KEY, "OKP", "EC", "Ed25519", "P-256", to_jwk("P-256", P256)["x"]),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=6),
    max_leaves=30,
)


@given(st.dictionaries(NAMES, JSON, max_size=8))
def test_any_json_is_read_or_refused(members: dict[str, Any]) -> None:
    try:
        document = read_document({**members, "id": DID}, did=DID)
    except IdentityError:
        return
    assert read_document(document.to_json(), did=DID) == document


@given(st.one_of(JSON, st.binary(max_size=200)))
def test_any_bytes_are_read_or_refused(value: Any) -> None:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(IdentityError):
        parse_document(data, did=Did("did:web:never.example"))


@given(st.text(max_size=60), st.sampled_from(["", "https://", "did:web:", "/ip4/", "ws://["]))
def test_any_text_is_an_endpoint_or_not(text: str, prefix: str) -> None:
    assert is_endpoint(prefix + text) in (True, False)
