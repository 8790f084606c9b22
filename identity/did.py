"""DIDs and DID documents (W3C DID 1.0), `did:key` (did:key v0.9), and the libp2p peer ID of an Ed25519 key.

A document here is already normalised: absolute ids, raw keys, one list for each purpose that we use. A twin's own name
is the `did:key` of an Ed25519 key; those of other curves belong to other agents.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NewType

import base58

from identity import multibase
from identity.curves import MAX_MULTIKEY_CHARS, from_multikey, to_multikey
from identity.curves import Curve as Curve
from identity.errors import MalformedDid, MalformedMultibase, UnsupportedKey
from identity.keys import PUBLIC_KEY_BYTES, agreement_key_of, check_public
from identity.multibase import KEY_ED25519

Did = NewType("Did", str)
"""A DID without fragment, path or query, checked by `parse_did`."""

PeerId = NewType("PeerId", str)
"""A libp2p peer ID in its base58btc text form (`12D3KooW…`)."""

MAX_DID_CHARS: Final = 2048
"""Bounds the work on a name from outside; a did:key has 56, a did:peer:4 long form may have far more."""

_DID = re.compile(r"did:[a-z0-9]{1,32}:[A-Za-z0-9._:%-]*[A-Za-z0-9._%-]\Z")
_ED25519_PREFIX: Final = multibase.encode_varint(KEY_ED25519)
_LIBP2P_KEY_PREFIX: Final = bytes.fromhex("002408011220")
"""Identity multihash (00), 36 bytes (24), then the libp2p PublicKey protobuf: type Ed25519 (08 01), data (12 20)."""


DIDCOMM_SERVICE: Final = "DIDCommMessaging"
"""The service type of DIDComm v2 (DIDComm v2.1, section "Service Endpoint")."""

_CONTEXTS: Final = ("https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1")
_DIDCOMM_CONTEXT: Final = "https://didcomm.org/messaging/contexts/v2"


@dataclass(frozen=True, slots=True)
class VerificationMethod:
    """One key of a DID document. `id` is absolute; `public` is the raw key as `identity.curves` has it."""

    id: str
    curve: Curve
    public: bytes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place where a DID takes messages: an http(s) or ws(s) URL, a DID (a mediator's), or a multiaddr.

    `routing_keys` are the mediators' keys or DIDs to wrap a message for, the outermost first.
    """

    uri: str
    accept: tuple[str, ...] = ()
    routing_keys: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The endpoint as DIDComm v2.1 writes it."""
        document: dict[str, object] = {"uri": self.uri}
        if self.accept:
            document["accept"] = list(self.accept)
        if self.routing_keys:
            document["routingKeys"] = list(self.routing_keys)
        return document


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a DID document; `id` is absolute, and the endpoints are in the order of preference."""

    id: str
    type: str
    endpoints: tuple[Endpoint, ...]

    def to_json(self) -> dict[str, object]:
        """The service as DID Core writes it: one endpoint stands alone, one that is a URI only as text."""
        didcomm = self.type == DIDCOMM_SERVICE
        places = [
            endpoint.to_json() if didcomm or endpoint.accept or endpoint.routing_keys else endpoint.uri
            for endpoint in self.endpoints
        ]
        return {"id": self.id, "type": self.type, "serviceEndpoint": places[0] if len(places) == 1 else places}


@dataclass(frozen=True, slots=True)
class DidDocument:
    """What we use of a DID document: who may sign, with which keys to agree, and where to deliver."""

    did: Did
    authentication: tuple[VerificationMethod, ...]
    key_agreement: tuple[VerificationMethod, ...]
    assertion: tuple[VerificationMethod, ...] = ()
    services: tuple[Service, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The document in the form that `GET /v1/did` and `/.well-known/did.json` serve (Multikey methods)."""
        methods = {method.id: method for method in self.authentication + self.assertion + self.key_agreement}
        signers = [method.id for method in self.authentication]
        didcomm = any(service.type == DIDCOMM_SERVICE for service in self.services)
        document: dict[str, object] = {
            "@context": [*_CONTEXTS, _DIDCOMM_CONTEXT] if didcomm else list(_CONTEXTS),
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
            "assertionMethod": [method.id for method in self.assertion],
        }
        if self.did.startswith(
            "did:key:"
        ):  # did:key v0.9 gives its key these two as well; nobody else's are known here
            document["capabilityInvocation"] = document["capabilityDelegation"] = signers
        document["keyAgreement"] = [method.id for method in self.key_agreement]
        if self.services:
            document["service"] = [service.to_json() for service in self.services]
        return document


def multikey(method: VerificationMethod) -> str:
    """The key as Multikey text (Controlled Identifiers 1.0): `z6Mk…` for Ed25519, `z6LS…` for X25519."""
    return to_multikey(method.curve, method.public)


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
    if method != "key" or len(text) > MAX_MULTIKEY_CHARS:
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
    """Resolve a `did:key` (did:key v0.9).

    An Ed25519 key signs, and the X25519 key derived from it agrees. An X25519 key only agrees. Keys of all other curves
    stand for both, as in the method's test vectors.
    Raises MalformedDid or UnsupportedKey.
    """
    method, _, text = did.removeprefix("did:").partition(":")
    if method != "key" or not text.startswith("z"):
        raise MalformedDid(f"not a did:key: {did[:80]!r}")
    try:
        curve, public = from_multikey(text)
    except UnsupportedKey as error:
        raise type(error)(f"{error}: {did[:160]!r}") from error
    key = VerificationMethod(f"{did}#{text}", curve, public)
    if curve == "Ed25519":
        agreement = agreement_key_of(public)
        derived = VerificationMethod(f"{did}#{to_multikey('X25519', agreement)}", "X25519", agreement)
        return DidDocument(did, (key,), (derived,), (key,))
    if curve == "X25519":
        return DidDocument(did, (), (key,))
    return DidDocument(did, (key,), (key,), (key,))


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
