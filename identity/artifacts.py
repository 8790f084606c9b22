"""Signed artifacts: any JSON value with a DID and a signature, `{did, signature, artifact}`.

Signed are the bytes of the canonical JSON (JCS, RFC 8785) with Ed25519 (RFC 8032); the signature is multibase
base58btc. Canonical JSON never begins as a JOSE signing input does, so a signature here can stand for nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import rfc8785

from identity import multibase
from identity.did import Did, public_key_of
from identity.errors import BadSignature, MalformedMultibase, UnsignableArtifact
from identity.keys import verify

MAX_SIGNATURE_CHARS: Final = 96
"""64 bytes have at most 89 characters in base58btc with its prefix."""


@dataclass(frozen=True, slots=True)
class SignedArtifact:
    """A JSON value, who signed it, and the signature as multibase text."""

    did: Did
    signature: str
    artifact: Any


def sign_artifact(artifact: Any, *, did: Did, sign: Callable[[bytes], bytes]) -> SignedArtifact:
    """Sign a JSON value. `sign` is the Ed25519 signature by the key of `did`. Raises UnsignableArtifact."""
    return SignedArtifact(did, multibase.encode("z", sign(canonical(artifact))), artifact)


def is_valid(signed: SignedArtifact) -> bool:
    """Whether the key of `signed.did` (a did:key) signed this artifact, whatever the order of its members.

    Raises MalformedDid or UnsupportedKey if the DID names no key that we know, UnsignableArtifact.
    """
    public, data = public_key_of(signed.did), canonical(signed.artifact)
    try:
        if len(signed.signature) > MAX_SIGNATURE_CHARS or not signed.signature.startswith("z"):
            return False
        verify(public, data, multibase.decode(signed.signature))
    except (BadSignature, MalformedMultibase):
        return False
    return True


def canonical(artifact: Any) -> bytes:
    """The canonical JSON of a value (RFC 8785). Raises UnsignableArtifact for what has none."""
    try:
        data: bytes = rfc8785.dumps(artifact)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise UnsignableArtifact(f"the artifact has no canonical JSON: {error}") from error
    return data
