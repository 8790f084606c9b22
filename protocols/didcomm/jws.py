"""Signed envelopes: JWS in JSON form with one EdDSA signature (DIDComm v2.1, "Message Signing").

Written in the general form with `kid` in the unprotected header, as every implementation reads it; read in both JSON
forms, with `kid` in either header. `kid` needs no protection: it only says which key to try, and `envelope` checks that
the key's owner is the message's sender.
"""

from collections.abc import Callable
from typing import Final

import orjson

from identity.errors import IdentityError
from identity.keys import SIGNATURE_BYTES, KeyPair, verify
from identity.multibase import base64url
from protocols.didcomm.jose import Json, as_object, binary, disjoint, key_id, protected_header, text
from protocols.errors import ForgedSignature, MalformedMessage, UnsupportedAlgorithm

PublicKeyOf = Callable[[str], bytes]
"""Finds the Ed25519 public key, 32 bytes, of a signer's key id, or raises UnresolvableKey."""

SIGNED_TYP: Final = "application/didcomm-signed+json"

_TYPS: Final = (SIGNED_TYP, "JWM")
"""The text of DIDComm v2.1 shows `JWM`, its test vectors the media type."""

_PROTECTED: Final = base64url(orjson.dumps({"typ": SIGNED_TYP, "alg": "EdDSA"}))


def sign(payload: bytes, *, kid: str, signer: KeyPair) -> bytes:
    """Sign `payload` with `signer`, whose key has the id `kid` in its DID document."""
    body = base64url(payload)
    signature = signer.sign(f"{_PROTECTED}.{body}".encode())
    return orjson.dumps(
        {
            "payload": body,
            "signatures": [{"protected": _PROTECTED, "signature": base64url(signature), "header": {"kid": kid}}],
        }
    )


def open_signed(envelope: Json, *, signer_key: PublicKeyOf) -> tuple[bytes, str]:
    """Check the signature; return the payload and the id of the key that signed it.

    Raises MalformedMessage, UnsupportedAlgorithm, ForgedSignature, or what `signer_key` raises.
    """
    entry = _only_signature(envelope)
    header = protected_header(entry, typs=_TYPS)
    unprotected = as_object(entry.get("header", {}), "`header`")
    disjoint(header, unprotected)
    if header.get("alg") != "EdDSA":
        raise UnsupportedAlgorithm("`alg` is not EdDSA")
    kid = key_id(header if "kid" in header else unprotected)
    payload = binary(envelope, "payload")
    signature = binary(entry, "signature", SIGNATURE_BYTES)
    signed = f"{text(entry, 'protected')}.{text(envelope, 'payload')}".encode()
    try:
        verify(signer_key(kid), signed, signature)
    except IdentityError as error:
        raise ForgedSignature("the signature does not match") from error
    return payload, kid


def _only_signature(envelope: Json) -> Json:
    """The one signature of either JSON form. A message has one sender, so several signatures are refused."""
    if "signatures" not in envelope:
        return envelope
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1 or "signature" in envelope:
        raise MalformedMessage("a signed message has one signature")
    return as_object(signatures[0], "a signature")
