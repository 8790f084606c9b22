"""Signed artifacts: any JSON value with a DID and a signature, `{did, signature, artifact}`.

Signed are the bytes of the canonical JSON (JCS, RFC 8785) with Ed25519 (RFC 8032); the signature is multibase
base58btc. Canonical JSON never begins as a JOSE signing input does, so a signature here can stand for nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import rfc8785

from identity import multibase
from identity.did import Did, DidDocument, resolve_did_key
from identity.errors import BadSignature, MalformedMultibase, UnsignableArtifact, UnsupportedKey
from identity.keys import verify

MAX_SIGNATURE_CHARS: Final = 96
"""64 bytes have at most 89 characters in base58btc with its prefix."""


MAX_KEYS_TRIED: Final = 8
"""A signature does not say which key made it; a document with more keys than this is made to keep us busy."""

Resolve = Callable[[Did], DidDocument]
"""Finds the document of a DID, or raises an IdentityError."""


@dataclass(frozen=True, slots=True)
class SignedArtifact:
    """A JSON value, who signed it, and the signature as multibase text."""

    did: Did
    signature: str
    artifact: Any


def sign_artifact(artifact: Any, *, did: Did, sign: Callable[[bytes], bytes]) -> SignedArtifact:
    """Sign a JSON value. `sign` is the Ed25519 signature by the key of `did`. Raises UnsignableArtifact."""
    return SignedArtifact(did, multibase.encode("z", sign(canonical(artifact))), artifact)


def is_valid(signed: SignedArtifact, *, resolve: Resolve = resolve_did_key) -> bool:
    """Whether a key of `signed.did` signed this artifact, whatever the order of its members.

    `resolve` finds the DID's document; its Ed25519 keys for assertions are tried, or where it names none, as a
    did:peer may, those that it authenticates with. Raises what `resolve` raises, UnsupportedKey if the document has no
    such key, UnsignableArtifact.
    """
    document, data = resolve(signed.did), canonical(signed.artifact)
    methods = document.assertion or document.authentication
    keys = [method.public for method in methods if method.curve == "Ed25519"]
    if not keys:
        raise UnsupportedKey(f"{signed.did[:120]} has no Ed25519 key that signs")
    if len(signed.signature) > MAX_SIGNATURE_CHARS or not signed.signature.startswith("z"):
        return False
    try:
        signature = multibase.decode(signed.signature)
    except MalformedMultibase:
        return False
    return any(_signed_by(public, data, signature) for public in keys[:MAX_KEYS_TRIED])


def _signed_by(public: bytes, data: bytes, signature: bytes) -> bool:
    try:
        verify(public, data, signature)
    except BadSignature:
        return False
    return True


def canonical(artifact: Any) -> bytes:
    """The canonical JSON of a value (RFC 8785). Raises UnsignableArtifact for what has none."""
    try:
        data: bytes = rfc8785.dumps(artifact)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise UnsignableArtifact(f"the artifact has no canonical JSON: {error}") from error
    return data
