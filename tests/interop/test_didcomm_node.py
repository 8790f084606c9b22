"""Our envelopes against npm didcomm-node (Rust compiled to wasm), both ways."""

import json
import os
from typing import Any

import pytest

from identity.did import Did, DidDocument, did_key, resolve_did_key
from identity.keys import KeyPair
from identity.multibase import base64url
from protocols.didcomm.content import Enc
from protocols.didcomm.envelope import pack_anoncrypt, pack_authcrypt, pack_signed, unpack, verify_signed
from protocols.errors import RemoteProtocolError
from protocols.message import Message

pytestmark = [pytest.mark.node_js, pytest.mark.slow]

ENCS: tuple[Enc, ...] = ("XC20P", "A256GCM", "A256CBC-HS512")

ALICE, BOB = KeyPair(os.urandom(32)), KeyPair(os.urandom(32))
ALICE_DID, BOB_DID = did_key(ALICE.public), did_key(BOB.public)
ALICE_DOCUMENT, BOB_DOCUMENT = resolve_did_key(ALICE_DID), resolve_did_key(BOB_DID)
ALICE_SIGNS_AS = ALICE_DOCUMENT.authentication[0].id


@pytest.fixture
def peer(didcomm_node: Any) -> Any:
    forms = [_document_and_secrets(keys) for keys in (ALICE, BOB)]
    documents = [document for document, _ in forms]
    assert didcomm_node.ask("know", documents=documents, secrets=[s for _, secrets in forms for s in secrets]) == {}
    return didcomm_node


def test_it_reads_our_authcrypt(peer: Any) -> None:
    message = _message()
    answer = _unpacked(peer, pack_authcrypt(message, sender=ALICE, recipients=[BOB_DOCUMENT], entropy=os.urandom))
    assert answer["message"] == json.loads(message.to_bytes())
    metadata = answer["metadata"]
    assert metadata["authenticated"]
    assert metadata["encrypted"]
    assert not metadata["anonymous_sender"]
    assert metadata["encrypted_from_kid"] == ALICE_DOCUMENT.key_agreement[0].id
    assert metadata["encrypted_to_kids"] == [BOB_DOCUMENT.key_agreement[0].id]


@pytest.mark.parametrize("enc", ENCS)
def test_it_reads_our_anoncrypt(peer: Any, enc: Enc) -> None:
    message = _message(from_=None)
    packed = pack_anoncrypt(message, recipients=[BOB_DOCUMENT], entropy=os.urandom, enc=enc)
    answer = _unpacked(peer, packed)
    assert answer["message"] == json.loads(message.to_bytes())
    assert answer["metadata"]["encrypted"]
    assert not answer["metadata"]["authenticated"]


def test_it_reads_our_signed(peer: Any) -> None:
    message = _message()
    answer = _unpacked(peer, pack_signed(message, signer=ALICE))
    assert answer["message"] == json.loads(message.to_bytes())
    assert answer["metadata"]["sign_from"] == ALICE_SIGNS_AS
    assert answer["metadata"]["non_repudiation"]


@pytest.mark.parametrize("hide_sender", [False, True])
def test_it_reads_our_signed_inside_authcrypt(peer: Any, hide_sender: bool) -> None:
    message = _message()
    packed = pack_authcrypt(
        message, sender=ALICE, recipients=[BOB_DOCUMENT], entropy=os.urandom, sign=True, hide_sender=hide_sender
    )
    answer = _unpacked(peer, packed)
    assert answer["message"] == json.loads(message.to_bytes())
    assert answer["metadata"]["authenticated"]
    assert answer["metadata"]["non_repudiation"]
    assert answer["metadata"]["anonymous_sender"] is hide_sender


def test_it_reads_our_signed_inside_anoncrypt(peer: Any) -> None:
    message = _message()
    packed = pack_anoncrypt(message, recipients=[BOB_DOCUMENT], entropy=os.urandom, signer=ALICE)
    answer = _unpacked(peer, packed)
    assert answer["message"] == json.loads(message.to_bytes())
    assert answer["metadata"]["sign_from"] == ALICE_SIGNS_AS


def test_it_refuses_what_we_packed_and_somebody_changed(peer: Any) -> None:
    packed = pack_authcrypt(_message(), sender=ALICE, recipients=[BOB_DOCUMENT], entropy=os.urandom)
    envelope = json.loads(packed)
    envelope["tag"] = base64url(bytes(32))
    assert "error" in peer.ask("unpack", packed=json.dumps(envelope))


def test_we_read_its_authcrypt(peer: Any) -> None:
    message = _message()
    unpacked = unpack(_encrypted(peer, message, sender=ALICE_DID), keys=[BOB])
    assert unpacked.message == message
    assert (unpacked.sender, unpacked.signer, unpacked.encrypted, unpacked.anonymous) == (ALICE_DID, None, True, False)


@pytest.mark.parametrize("enc", ENCS)
def test_we_read_its_anoncrypt(peer: Any, enc: Enc) -> None:
    message = _message(from_=None)
    unpacked = unpack(_encrypted(peer, message, enc=enc), keys=[BOB])
    assert unpacked.message == message
    assert (unpacked.sender, unpacked.signer, unpacked.encrypted, unpacked.anonymous) == (None, None, True, True)


def test_we_read_its_signed(peer: Any) -> None:
    message = _message()
    packed = _packed(peer.ask("sign", message=json.loads(message.to_bytes()), by=ALICE_SIGNS_AS))
    unpacked = verify_signed(packed)
    assert unpacked.message == message
    assert (unpacked.sender, unpacked.signer, unpacked.encrypted) == (None, ALICE_DID, False)


def test_we_read_its_signed_inside_authcrypt(peer: Any) -> None:
    message = _message()
    unpacked = unpack(_encrypted(peer, message, sender=ALICE_DID, signer=ALICE_SIGNS_AS), keys=[BOB])
    assert unpacked.message == message
    assert (unpacked.sender, unpacked.signer) == (ALICE_DID, ALICE_DID)


def test_we_read_its_signed_inside_anoncrypt(peer: Any) -> None:
    message = _message()
    unpacked = unpack(_encrypted(peer, message, signer=ALICE_SIGNS_AS), keys=[BOB])
    assert unpacked.message == message
    assert (unpacked.sender, unpacked.signer, unpacked.anonymous) == (None, ALICE_DID, True)


def test_we_refuse_what_it_packed_for_another(peer: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack(_encrypted(peer, _message(), sender=ALICE_DID), keys=[ALICE])


def _message(from_: Did | None = ALICE_DID) -> Message:
    return Message(
        id="0f2f6a6e-5c0e-4f2f-9f0e-6a7d3f0c9a11",
        type="https://didcomm.org/basicmessage/2.0/message",
        body={"content": "Grüße", "nested": {"list": [1, 2.5, None, True]}},
        from_=from_,
        to=(BOB_DID,),
        thid="thread-1",
        created_time=1_700_000_000,
        expires_time=1_700_003_600,
    )


def _encrypted(
    peer: Any, message: Message, *, sender: Did | None = None, signer: str | None = None, enc: Enc = "XC20P"
) -> bytes:
    fields: dict[str, Any] = {"message": json.loads(message.to_bytes()), "to": BOB_DID}
    return _packed(peer.ask("encrypt", **fields, **{"from": sender}, sign_by=signer, enc=enc))


def _packed(answer: dict[str, Any]) -> bytes:
    assert "error" not in answer, answer
    packed: str = answer["packed"]
    return packed.encode()


def _unpacked(peer: Any, packed: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = peer.ask("unpack", packed=packed.decode())
    assert "error" not in answer, answer
    return answer


def _document_and_secrets(keys: KeyPair) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A twin's DID document and secrets as didcomm-node reads them: JsonWebKey2020, ids in the purposes."""
    document: DidDocument = resolve_did_key(did_key(keys.public))
    methods, secrets = [], []
    for method, secret in (
        (document.authentication[0], keys.seed),
        (document.key_agreement[0], keys.agreement_secret),
    ):
        jwk = {"kty": "OKP", "crv": method.curve, "x": base64url(method.public)}
        form = {"id": method.id, "type": "JsonWebKey2020"}
        methods.append({**form, "controller": document.did, "publicKeyJwk": jwk})
        secrets.append({**form, "privateKeyJwk": {**jwk, "d": base64url(secret)}})
    return {
        "id": document.did,
        "authentication": [document.authentication[0].id],
        "keyAgreement": [document.key_agreement[0].id],
        "verificationMethod": methods,
        "service": [],
    }, secrets
