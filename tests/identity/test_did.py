"""DIDs and peer IDs against the specifications' vectors and against libp2p."""

import json
from pathlib import Path
from typing import Any

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import curves, multibase
from identity.did import (
    DIDCOMM_SERVICE,
    Did,
    DidDocument,
    Endpoint,
    PeerId,
    Service,
    did_key,
    did_of_peer_id,
    did_of_url,
    parse_did,
    peer_id,
    peer_id_of_did,
    public_key_of,
    resolve_did_key,
)
from identity.errors import MalformedDid, UnsupportedKey
from identity.keys import KeyPair

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "keys.json").read_text())
DID_KEY = Did(VECTORS["did_key"]["did"])
SEEDS = st.binary(min_size=32, max_size=32)


def test_did_key_vector() -> None:
    document = resolve_did_key(DID_KEY)
    assert [method.id for method in document.authentication] == [VECTORS["did_key"]["authentication"]]
    assert [method.id for method in document.key_agreement] == [VECTORS["did_key"]["key_agreement"]]
    assert did_key(document.authentication[0].public) == DID_KEY


CURVES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "did_key.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", CURVES, ids=lambda vector: vector["did"][8:16])
def test_did_key_vectors_of_all_curves(vector: dict[str, Any]) -> None:
    document = resolve_did_key(vector["did"])
    assert [method.id for method in document.authentication] == vector["authentication"]
    assert [method.id for method in document.assertion] == vector["assertionMethod"]
    assert [method.id for method in document.key_agreement] == vector["keyAgreement"]
    key = (document.authentication or document.key_agreement)[0]
    if "jwk" in vector:
        assert curves.to_jwk(key.curve, key.public) == vector["jwk"]
    else:
        assert curves.check_key(key.curve, base58.b58decode(vector["base58"])) == key.public


def test_the_vectors_cover_all_curves() -> None:
    found = {method.curve for vector in CURVES for method in resolve_did_key(vector["did"]).key_agreement}
    assert found == {"X25519", "P-256", "P-384", "P-521", "secp256k1"}


def test_did_document_with_services_as_json() -> None:
    did = Did(CURVES[0]["did"])
    (key,) = resolve_did_key(did).authentication
    endpoint = Endpoint("https://example.org/didcomm", ("didcomm/v2",), ("did:example:m#1",))
    messaging = Service(f"{did}#didcomm", DIDCOMM_SERVICE, (endpoint,))
    both = Service(f"{did}#more", DIDCOMM_SERVICE, (endpoint, Endpoint("did:example:m")))
    page = Service(f"{did}#page", "LinkedDomains", (Endpoint("https://example.org"),))
    document = DidDocument(did, (), (), (key,), (messaging, both, page)).to_json()
    described = {"uri": "https://example.org/didcomm", "accept": ["didcomm/v2"], "routingKeys": ["did:example:m#1"]}
    assert document["service"] == [
        {"id": f"{did}#didcomm", "type": "DIDCommMessaging", "serviceEndpoint": described},
        {"id": f"{did}#more", "type": "DIDCommMessaging", "serviceEndpoint": [described, {"uri": "did:example:m"}]},
        {"id": f"{did}#page", "type": "LinkedDomains", "serviceEndpoint": "https://example.org"},
    ]
    assert "https://didcomm.org/messaging/contexts/v2" in document["@context"]
    assert (document["authentication"], document["assertionMethod"]) == ([], [key.id])
    assert document["verificationMethod"] == [
        {"id": key.id, "type": "Multikey", "controller": did, "publicKeyMultibase": did.removeprefix("did:key:")}
    ]


def test_did_document_as_json() -> None:
    document = resolve_did_key(DID_KEY).to_json()
    signing, agreement = VECTORS["did_key"]["authentication"], VECTORS["did_key"]["key_agreement"]
    assert document["id"] == DID_KEY
    assert document["verificationMethod"] == [
        {"id": name, "type": "Multikey", "controller": DID_KEY, "publicKeyMultibase": name.partition("#")[2]}
        for name in (signing, agreement)
    ]
    for purpose in ("authentication", "assertionMethod", "capabilityInvocation", "capabilityDelegation"):
        assert document[purpose] == [signing]
    assert document["keyAgreement"] == [agreement]


def test_peer_id_vector() -> None:
    vector = VECTORS["peer_id"]
    keys = KeyPair(bytes.fromhex(vector["seed"]))
    protobuf = bytes.fromhex(vector["public_key_protobuf"])
    assert base58.b58decode(peer_id(keys.public)) == bytes([0, len(protobuf)]) + protobuf


@pytest.mark.slow  # imports libp2p
def test_peer_id_agrees_with_libp2p() -> None:
    from libp2p.crypto.ed25519 import Ed25519PublicKey
    from libp2p.peer.id import ID

    for number in range(8):
        public = KeyPair(bytes([number]) * 32).public
        assert str(ID.from_pubkey(Ed25519PublicKey.from_bytes(public))) == peer_id(public)


@given(SEEDS)
def test_key_did_and_peer_id_name_each_other(seed: bytes) -> None:
    public = KeyPair(seed).public
    did = did_key(public)
    assert parse_did(did) == did
    assert public_key_of(did) == public
    assert did_of_peer_id(peer_id(public)) == did
    assert peer_id_of_did(did) == peer_id(public)
    assert did_of_url(resolve_did_key(did).key_agreement[0].id) == did


@pytest.mark.parametrize(
    "text",
    [
        "",
        "did:",
        "did:key",
        "did:key:",
        "DID:key:z6Mk",
        "did:KEY:z6Mk",
        "did:key:z6Mk#z6Mk",
        "did:web:example.org/path",
        "did:web:example.org?query",
        "did:key:z6Mk\n",
        "did:key:z6Mk ",
        "did:web:a:",
        "did:key:" + "z" * 2048,
    ],
)
def test_texts_that_are_no_did(text: str) -> None:
    with pytest.raises(MalformedDid):
        parse_did(text)


@pytest.mark.parametrize("text", ["did:web:example.org%3A3000:users:a", "did:peer:2.Ez6LS.Vz6Mk", "did:x:y"])
def test_other_methods_are_dids_without_a_key_of_their_own(text: str) -> None:
    did = parse_did(text)
    with pytest.raises(MalformedDid):
        public_key_of(did)


def test_did_keys_that_are_refused() -> None:
    public = KeyPair(bytes(32)).public
    low_order = bytes.fromhex(VECTORS["low_order"]["points"][1])
    with pytest.raises(UnsupportedKey):
        public_key_of(did_key(low_order))
    with pytest.raises(UnsupportedKey):
        public_key_of(Did("did:key:" + multibase.encode("z", b"\xec\x01" + public)))
    with pytest.raises(UnsupportedKey):
        public_key_of(Did("did:key:" + multibase.encode("b", b"\xed\x01" + public)))
    with pytest.raises(UnsupportedKey):
        public_key_of(Did("did:key:" + multibase.encode("z", b"\xed\x01" + public[:31])))
    with pytest.raises(MalformedDid):
        public_key_of(Did("did:key:z0OIl"))
    with pytest.raises(MalformedDid):
        public_key_of(Did("did:key:z" + "1" * 4000))


@given(st.one_of(st.text(max_size=70), st.binary(max_size=40).map(lambda data: base58.b58encode(data).decode())))
def test_any_other_peer_id_is_refused(text: str) -> None:
    with pytest.raises(MalformedDid):
        did_of_peer_id(PeerId(text))


@given(st.text(max_size=100))
def test_any_text_is_a_did_or_refused(text: str) -> None:
    for candidate in (text, "did:key:" + text, "did:key:z6Mk" + text):
        try:
            did = parse_did(candidate)
        except MalformedDid:
            continue
        assert did == candidate
        assert did_of_url(f"{did}#anything") == did
