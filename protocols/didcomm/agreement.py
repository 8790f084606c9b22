"""Key agreement: X25519, and the key encryption keys of ECDH-ES (RFC 7518, section 4.6) and ECDH-1PU (draft 04).

The curve is named in this file only. A further curve brings its own `agree`, its JWK form and its key size; the key
derivation stays.
"""

import hashlib
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from identity.did import Did, DidDocument, VerificationMethod, did_key, did_of_url, resolve_did_key
from identity.keys import KeyPair
from identity.multibase import base64url
from protocols.didcomm.jose import as_object, binary
from protocols.errors import Undecryptable, UnsupportedAlgorithm
from protocols.limits import MAX_CACHED_SECRETS

CURVE: Final = "X25519"
KEY_BYTES: Final = 32

_KEK_BITS: Final = struct.pack(">I", 256)
"""SuppPubInfo of the Concat KDF: the key encryption key of A256KW has 256 bits."""

_ROUND: Final = struct.pack(">I", 1)
"""One round of SHA-256 gives the 256 bits."""


@dataclass(frozen=True, slots=True)
class AgreementKey:
    """A secret X25519 key and the id that it has in its owner's DID document. Its representation hides the secret."""

    kid: str
    secret: bytes = field(repr=False)

    @property
    def did(self) -> Did:
        """Whose key it is."""
        return did_of_url(self.kid)


@lru_cache(maxsize=64)
def agreement_key(keys: KeyPair) -> AgreementKey:
    """The key agreement key of a `did:key`."""
    (method,) = resolve_did_key(did_key(keys.public)).key_agreement
    return AgreementKey(method.id, keys.agreement_secret)


def agreement_methods(document: DidDocument) -> tuple[VerificationMethod, ...]:
    """The keys of a document that we can encrypt to."""
    return tuple(method for method in document.key_agreement if method.curve == CURVE)


def public_of(secret: bytes) -> bytes:
    """The public key, 32 bytes, of a secret."""
    return crypto_scalarmult_base(secret)


def to_jwk(public: bytes) -> dict[str, str]:
    """The JWK form (RFC 8037)."""
    return {"kty": "OKP", "crv": CURVE, "x": base64url(public)}


def from_jwk(value: object) -> bytes:
    """The public key in a JWK. Raises MalformedMessage or UnsupportedAlgorithm."""
    jwk = as_object(value, "`epk`")
    if jwk.get("kty") != "OKP" or jwk.get("crv") != CURVE:
        raise UnsupportedAlgorithm(f"only keys on {CURVE} are understood")
    return binary(jwk, "x", KEY_BYTES)


def agree(secret: bytes, public: bytes) -> bytes:
    """The shared secret of 32 bytes (RFC 7748, section 6.1).

    Raises Undecryptable if it is all zero: `public` is of low order, and whoever chose it knows the secret.
    """
    try:
        return crypto_scalarmult(secret, public)
    except CryptoError as error:
        raise Undecryptable("a public key of low order") from error


@lru_cache(maxsize=MAX_CACHED_SECRETS)
def agree_static(secret: bytes, public: bytes) -> bytes:
    """`agree` for two keys that stay: the same two always have the same shared secret, so it is computed once.

    What it protects is no weaker for that: whoever reads this process's memory finds `secret` there as well.
    """
    return agree(secret, public)


def kek_es(ephemeral: bytes, *, alg: str, apu: bytes, apv: bytes) -> bytes:
    """The key encryption key of ECDH-ES+A256KW from its one shared secret."""
    return _concat_kdf(ephemeral, alg, apu, apv, b"")


def kek_1pu(ephemeral: bytes, static: bytes, *, alg: str, apu: bytes, apv: bytes, tag: bytes) -> bytes:
    """The key encryption key of ECDH-1PU+A256KW (draft 04, section 2.3).

    `tag` is that of the content, which binds the sender to the content also towards other recipients.
    """
    return _concat_kdf(ephemeral + static, alg, apu, apv, _sized(tag))


def _concat_kdf(secret: bytes, alg: str, apu: bytes, apv: bytes, extra: bytes) -> bytes:
    info = _sized(alg.encode()) + _sized(apu) + _sized(apv) + _KEK_BITS + extra
    return hashlib.sha256(_ROUND + secret + info).digest()


def _sized(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
