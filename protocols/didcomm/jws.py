"""Signed envelopes: JWS in JSON form with one signature (DIDComm v2.1, "Message Signing").

Written with EdDSA, in the general form with `kid` in the unprotected header, as every implementation reads it. Read
with EdDSA, ES256 and ES256K, in both JSON forms, with `kid` in either header. `kid` needs no protection: it only says
which key to try, and `envelope` checks that the key's owner is the message's sender.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, Protocol

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from identity.curves import Curve
from identity.errors import IdentityError
from identity.keys import SIGNATURE_BYTES, verify
from identity.multibase import base64url
from protocols.didcomm.jose import Json, as_object, binary, disjoint, key_id, protected_header, text
from protocols.errors import ForgedSignature, MalformedMessage, UnsupportedAlgorithm

PublicKeyOf = Callable[[str, Curve], bytes]
"""Finds the public key on this curve of a signer's key id, or raises UnresolvableKey."""

SIGNED_TYP: Final = "application/didcomm-signed+json"

_TYPS: Final = (SIGNED_TYP, "JWM")
"""The text of DIDComm v2.1 shows `JWM`, its test vectors the media type."""

_CURVES: Final[Mapping[object, Curve]] = {"EdDSA": "Ed25519", "ES256": "P-256", "ES256K": "secp256k1"}
"""What DIDComm v2.1 has everybody verify. Each of their signatures has 64 bytes."""

_EC: Final[Mapping[Curve, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "secp256k1": ec.SECP256K1()}
_ECDSA: Final = ec.ECDSA(SHA256())

_PROTECTED: Final = base64url(orjson.dumps({"typ": SIGNED_TYP, "alg": "EdDSA"}))


class Signer(Protocol):
    """Makes Ed25519 signatures, as a KeyPair and an Author do."""

    def sign(self, data: bytes, /) -> bytes: ...


def sign(payload: bytes, *, kid: str, signer: Signer) -> bytes:
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
    curve = curve_of(header)
    kid = key_id(header if "kid" in header else unprotected)
    payload = binary(envelope, "payload")
    signature = binary(entry, "signature", SIGNATURE_BYTES)
    signed = f"{text(entry, 'protected')}.{text(envelope, 'payload')}".encode()
    check(signature, signed, curve=curve, public=signer_key(kid, curve))
    return payload, kid


def curve_of(header: Json) -> Curve:
    """The curve that goes with a header's `alg`. Raises UnsupportedAlgorithm."""
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in _CURVES:
        raise UnsupportedAlgorithm(f"`alg` is none of {', '.join(map(str, _CURVES))}")
    return _CURVES[alg]


def check(signature: bytes, signed: bytes, *, curve: Curve, public: bytes) -> None:
    """Check a signature of 64 bytes (RFC 8037, section 3.1; RFC 7518, section 3.4). Raises ForgedSignature."""
    try:
        if curve == "Ed25519":
            verify(public, signed, signature)
        else:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            _loaded(curve, public).verify(encode_dss_signature(r, s), signed, _ECDSA)
    except (IdentityError, InvalidSignature, ValueError) as error:
        raise ForgedSignature("the signature does not match") from error


@lru_cache(maxsize=1024)
def _loaded(curve: Curve, public: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(_EC[curve], public)


def _only_signature(envelope: Json) -> Json:
    """The one signature of either JSON form. A message has one sender, so several signatures are refused."""
    if "signatures" not in envelope:
        return envelope
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1 or "signature" in envelope:
        raise MalformedMessage("a signed message has one signature")
    return as_object(signatures[0], "a signature")
