"""The test vectors of DIDComm v2.1, appendix C (tests/vectors/didcomm/appendix_c.json names its source)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from identity.curves import from_jwk
from identity.did import Did, DidDocument, VerificationMethod
from identity.multibase import from_base64url
from protocols.didcomm.agreement import public_of
from protocols.didcomm.author import AgreementKey
from protocols.didcomm.envelope import unpack, verify_signed
from protocols.errors import (
    ForgedSignature,
    MalformedMessage,
    RemoteProtocolError,
    Undecryptable,
    UnresolvableKey,
)
from protocols.message import Message, parse_message

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "didcomm" / "appendix_c.json").read_text()
)
ALICE, BOB = Did("did:example:alice"), Did("did:example:bob")
MESSAGE = Message(
    id="1234567890",
    type="http://example.com/protocols/lets_do_lunch/1.0/proposal",
    body={"messagespecificattribute": "and its value"},
    from_=ALICE,
    to=(BOB,),
    created_time=1516269022,
    expires_time=1516385931,
)


def methods(entries: list[Any]) -> tuple[VerificationMethod, ...]:
    jwks = ((entry["id"], entry["publicKeyJwk"]) for entry in entries)
    return tuple(VerificationMethod(kid, *from_jwk(jwk)) for kid, jwk in jwks)


DOCUMENTS = {
    Did(document["id"]): DidDocument(
        Did(document["id"]), methods(document.get("authentication", [])), methods(document["keyAgreement"])
    )
    for document in VECTORS["documents"]
}
ALL_BOB_KEYS = [AgreementKey(jwk["kid"], from_base64url(jwk["d"]), jwk["crv"]) for jwk in VECTORS["secrets"]["bob"]]
BOB_KEYS = [key for key in ALL_BOB_KEYS if key.curve == "X25519"]


def resolve(did: Did) -> DidDocument:
    if did not in DOCUMENTS:
        raise UnresolvableKey(did)
    return DOCUMENTS[did]


def packed(kind: str, **wanted: str) -> bytes:
    (vector,) = [v for v in VECTORS[kind] if all(v[name] == value for name, value in wanted.items())]
    return json.dumps(vector["envelope"]).encode()


ANONCRYPT = packed("encrypted", curve="X25519", enc="XC20P")
AUTHCRYPT = packed("encrypted", curve="X25519", enc="A256CBC-HS512")
SIGNED = packed("signed", alg="EdDSA")


def test_the_secrets_are_those_of_the_document() -> None:
    public = {method.id: method.public for method in DOCUMENTS[BOB].key_agreement}
    assert len(ALL_BOB_KEYS) == 9
    assert all(public_of(key.curve, key.secret) == public[key.kid] for key in ALL_BOB_KEYS)


def test_plaintext() -> None:
    message = parse_message(json.dumps(VECTORS["plaintext"]).encode())
    assert message == replace(MESSAGE, type="https://example.com/protocols/lets_do_lunch/1.0/proposal")


@pytest.mark.parametrize("vector", VECTORS["signed"], ids=lambda v: v["alg"])
def test_signed(vector: dict[str, Any]) -> None:
    unpacked = verify_signed(json.dumps(vector["envelope"]).encode(), resolve=resolve)
    assert unpacked.message == MESSAGE
    assert (unpacked.sender, unpacked.signer, unpacked.encrypted, unpacked.anonymous) == (None, ALICE, False, False)


@pytest.mark.parametrize("key", BOB_KEYS, ids=lambda key: key.kid)
def test_authcrypt_opens_with_each_key(key: AgreementKey) -> None:
    unpacked = unpack(AUTHCRYPT, keys=[key], resolve=resolve)
    assert unpacked.message == MESSAGE
    assert (unpacked.sender, unpacked.signer, unpacked.encrypted, unpacked.anonymous) == (ALICE, None, True, False)


@pytest.mark.parametrize("key", BOB_KEYS, ids=lambda key: key.kid)
def test_anoncrypt_opens_with_each_key_and_proves_no_sender(key: AgreementKey) -> None:
    unpacked = unpack(ANONCRYPT, keys=[key], resolve=resolve)
    assert unpacked.message == replace(MESSAGE, from_=None)
    assert (unpacked.sender, unpacked.signer, unpacked.encrypted, unpacked.anonymous) == (None, None, True, True)


@pytest.mark.parametrize("vector", VECTORS["encrypted"], ids=lambda v: f"{v['alg']} {v['enc']} {v['curve']}")
def test_every_encrypted_vector_opens_with_each_key_that_it_names(vector: dict[str, Any]) -> None:
    kids = {recipient["header"]["kid"] for recipient in vector["envelope"]["recipients"]}
    keys = [key for key in ALL_BOB_KEYS if key.kid in kids]
    assert len(keys) == len(kids) > 0
    for key in keys:
        unpacked = unpack(json.dumps(vector["envelope"]).encode(), keys=[key], resolve=resolve)
        assert (unpacked.recipient, key.curve) == (BOB, vector["curve"])
        # Two of them hold further envelopes: an authcrypt inside the anoncrypt, or a signed message.
        assert unpacked.message == (MESSAGE if unpacked.author else replace(MESSAGE, from_=None))


@pytest.mark.parametrize("data", [AUTHCRYPT, ANONCRYPT], ids=["authcrypt", "anoncrypt"])
@pytest.mark.parametrize("name", ["ciphertext", "iv", "tag"])
def test_a_changed_part_does_not_authenticate(data: bytes, name: str) -> None:
    envelope = json.loads(data)
    envelope[name] = ("A" if envelope[name][0] != "A" else "B") + envelope[name][1:]
    with pytest.raises(Undecryptable):
        unpack(json.dumps(envelope).encode(), keys=BOB_KEYS, resolve=resolve)


@pytest.mark.parametrize("data", [AUTHCRYPT, ANONCRYPT], ids=["authcrypt", "anoncrypt"])
def test_a_changed_key_does_not_unwrap(data: bytes) -> None:
    envelope = json.loads(data)
    first, second = envelope["recipients"][:2]
    first["encrypted_key"], second["encrypted_key"] = second["encrypted_key"], first["encrypted_key"]
    with pytest.raises(Undecryptable):
        unpack(json.dumps(envelope).encode(), keys=BOB_KEYS, resolve=resolve)


@pytest.mark.parametrize("data", [AUTHCRYPT, ANONCRYPT], ids=["authcrypt", "anoncrypt"])
def test_a_recipient_less_does_not_match_apv(data: bytes) -> None:
    envelope = json.loads(data)
    del envelope["recipients"][2]
    with pytest.raises(MalformedMessage):
        unpack(json.dumps(envelope).encode(), keys=BOB_KEYS, resolve=resolve)


def test_authcrypt_from_another_key_does_not_open() -> None:
    def impostor(did: Did) -> DidDocument:
        document = resolve(did)
        return replace(
            document,
            key_agreement=tuple(
                replace(method, public=public_of("X25519", bytes(32))) for method in document.key_agreement
            ),
        )

    with pytest.raises(Undecryptable):
        unpack(AUTHCRYPT, keys=BOB_KEYS, resolve=impostor)


def test_a_changed_signature_is_forged() -> None:
    envelope = json.loads(SIGNED)
    signature = envelope["signatures"][0]["signature"]
    envelope["signatures"][0]["signature"] = "A" + signature[1:]
    with pytest.raises(ForgedSignature):
        verify_signed(json.dumps(envelope).encode(), resolve=resolve)


@pytest.mark.parametrize("data", [AUTHCRYPT, ANONCRYPT, SIGNED], ids=["authcrypt", "anoncrypt", "signed"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_vector_cut_short_is_refused(data: bytes, share: float) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(data[: int(len(data) * share)], keys=BOB_KEYS, resolve=resolve)
