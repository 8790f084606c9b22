"""DIDs and DID documents (W3C DID 1.0), `did:key` of Ed25519 (did:key v0.9), and the libp2p peer ID of the same key.

A document here is already normalised: absolute ids, raw keys, one list for each purpose that we use.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NewType

import base58

from identity import multibase
from identity.errors import MalformedDid, MalformedMultibase, UnsupportedKey
from identity.keys import PUBLIC_KEY_BYTES, agreement_key_of, check_public
from identity.multibase import KEY_ED25519, KEY_X25519

Did = NewType("Did", str)
"""A DID without fragment, path or query, checked by `parse_did`."""

PeerId = NewType("PeerId", str)
"""A libp2p peer ID in its base58btc text form (`12D3KooW…`)."""

MAX_DID_CHARS: Final = 2048
"""Bounds the work on a name from outside; a did:key has 56, a did:peer:4 long form may have far more."""

_DID = re.compile(r"did:[a-z0-9]{1,32}:[A-Za-z0-9._:%-]*[A-Za-z0-9._%-]\Z")
_ED25519_PREFIX: Final = multibase.encode_varint(KEY_ED25519)
_X25519_PREFIX: Final = multibase.encode_varint(KEY_X25519)
_LIBP2P_KEY_PREFIX: Final = bytes.fromhex("002408011220")
"""Identity multihash (00), 36 bytes (24), then the libp2p PublicKey protobuf: type Ed25519 (08 01), data (12 20)."""


@dataclass(frozen=True, slots=True)
class VerificationMethod:
    """One key of a DID document. `id` is absolute; `public` is the raw key, 32 bytes for either curve."""

    id: str
    curve: str
    public: bytes


@dataclass(frozen=True, slots=True)
class DidDocument:
    """What we use of a DID document: who may sign, and with which keys to agree."""

    did: Did
    authentication: tuple[VerificationMethod, ...]
    key_agreement: tuple[VerificationMethod, ...]

    def to_json(self) -> dict[str, object]:
        """The document in the form that `GET /v1/did` and `/.well-known/did.json` serve (Multikey methods)."""
        methods = {method.id: method for method in self.authentication + self.key_agreement}
        signers = [method.id for method in self.authentication]
        return {
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
            "id": self.did,
            "verificationMethod": [
                {
                    "id": method.id,
                    "type": "Multikey",
                    "controller": self.did,
                    "publicKeyMultibase": multikey(method),
                }
                for method in methods.values()
            ],
            "authentication": signers,
            "assertionMethod": signers,
            "capabilityInvocation": signers,
            "capabilityDelegation": signers,
            "keyAgreement": [method.id for method in self.key_agreement],
        }


def multikey(method: VerificationMethod) -> str:
    """The key as Multikey text (Controlled Identifiers 1.0): `z6Mk…` for Ed25519, `z6LS…` for X25519."""
    prefix = _ED25519_PREFIX if method.curve == "Ed25519" else _X25519_PREFIX
    return multibase.encode("z", prefix + method.public)


def parse_did(text: str) -> Did:
    """Check that `text` is a DID without fragment, path or query. Raises MalformedDid."""
    if len(text) > MAX_DID_CHARS or not _DID.match(text):
        raise MalformedDid(f"not a DID: {text[:80]!r}")
    return Did(text)


def did_of_url(did_url: str) -> Did:
    """The DID part of a DID URL such as a key id. Raises MalformedDid."""
    return parse_did(did_url.partition("#")[0])


def did_key(public: bytes) -> Did:
    """The `did:key` of an Ed25519 public key of 32 bytes."""
    return Did("did:key:" + multibase.encode("z", _ED25519_PREFIX + public))


@lru_cache(maxsize=4096)
def public_key_of(did: Did) -> bytes:
    """The Ed25519 public key, 32 bytes, inside a `did:key`. Raises MalformedDid or UnsupportedKey."""
    method, _, text = did.removeprefix("did:").partition(":")
    if method != "key" or len(text) > 64:
        raise MalformedDid(f"not a did:key of an Ed25519 key: {did[:80]!r}")
    try:
        data = multibase.decode(text)
    except MalformedMultibase as error:
        raise MalformedDid(f"not a did:key: {did!r}") from error
    if not text.startswith("z") or data[:2] != _ED25519_PREFIX or len(data) != 2 + PUBLIC_KEY_BYTES:
        raise UnsupportedKey(f"only Ed25519 did:key is understood: {did!r}")
    return check_public(data[2:])


@lru_cache(maxsize=4096)
def resolve_did_key(did: Did) -> DidDocument:
    """Resolve a `did:key` (did:key v0.9): its signing key and the X25519 key derived from it.

    Raises MalformedDid or UnsupportedKey.
    """
    public = public_key_of(did)
    agreement = agreement_key_of(public)
    agreement_text = multibase.encode("z", _X25519_PREFIX + agreement)
    signing = VerificationMethod(f"{did}#{did.removeprefix('did:key:')}", "Ed25519", public)
    return DidDocument(did, (signing,), (VerificationMethod(f"{did}#{agreement_text}", "X25519", agreement),))


def peer_id(public: bytes) -> PeerId:
    """The libp2p peer ID of an Ed25519 public key: the identity multihash of its protobuf (libp2p peer-ids)."""
    return PeerId(base58.b58encode(_LIBP2P_KEY_PREFIX + public).decode())


def peer_id_of_did(did: Did) -> PeerId:
    """The libp2p peer ID of a `did:key`. Raises MalformedDid or UnsupportedKey."""
    return peer_id(public_key_of(did))


def did_of_peer_id(peer: PeerId) -> Did:
    """The `did:key` of a libp2p peer ID. Raises MalformedDid if the peer's key is not an inlined Ed25519 key."""
    try:
        data = base58.b58decode(peer) if len(peer) <= 64 else b""
    except ValueError:
        data = b""
    if not data.startswith(_LIBP2P_KEY_PREFIX) or len(data) != len(_LIBP2P_KEY_PREFIX) + PUBLIC_KEY_BYTES:
        raise MalformedDid(f"peer ID without an inlined Ed25519 key: {peer[:64]!r}")
    return did_key(data[len(_LIBP2P_KEY_PREFIX) :])
