"""Key agreement on X25519, P-256, P-384 and P-521, and the key encryption keys of ECDH-ES (RFC 7518, section 4.6) and
ECDH-1PU (draft 04).

A further curve is an entry in `_NIST`, or its own branch in `exchange`. Public keys are raw as `identity.curves` has
them; secret ones 32 bytes for X25519, else the number as a JWK writes it.
"""

import hashlib
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from identity.curves import Curve
from protocols.didcomm.jose import as_object, binary
from protocols.errors import Undecryptable, UnsupportedAlgorithm
from protocols.limits import MAX_CACHED_SECRETS

Entropy = Callable[[int], bytes]
"""Gives so many bytes that nobody can guess, such as `os.urandom`."""

Exchange = Callable[[bytes], bytes]
"""Takes the other side's public key and gives the secret that both share.

Raises Undecryptable for a public key off its curve or of low order: whoever chose it knows the secret.
"""

_X25519_BYTES: Final = 32
_EXTRA_SEED_BYTES: Final = 8
"""FIPS 186-5, appendix A.2.1: 64 bits more than the order has, and the remainder is as good as even."""

_NIST: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}

CURVES: Final = frozenset({"X25519", *_NIST})
"""The curves that we agree on keys on."""

_KEK_BITS: Final = struct.pack(">I", 256)
"""SuppPubInfo of the Concat KDF: the key encryption key of A256KW has 256 bits."""

_ROUND: Final = struct.pack(">I", 1)
"""One round of SHA-256 gives the 256 bits."""


def exchange(curve: Curve, secret: bytes) -> Exchange:
    """The exchange of shared secrets with `secret`, for more than one message: with OpenSSL a key is slow to load and
    quick to use. libsodium is quicker at the ephemeral keys, which are used once.
    """
    if curve == "X25519":
        return partial(_x25519_loaded, x25519.X25519PrivateKey.from_private_bytes(secret))
    return partial(_ecdh, _private_key(curve, int.from_bytes(secret, "big")))


_exchange_of_ours: Final = lru_cache(maxsize=64)(exchange)
"""For keys that stay: loading one computes its public key, which costs as much as an exchange."""


def agree(curve: Curve, secret: bytes, public: bytes) -> bytes:
    """The secret that our key `secret`, one that stays, shares with `public`. Raises Undecryptable as an Exchange."""
    return _exchange_of_ours(curve, secret)(public)


@lru_cache(maxsize=MAX_CACHED_SECRETS)
def agree_static(curve: Curve, secret: bytes, public: bytes) -> bytes:
    """`agree` for two keys that stay: the same two always have the same shared secret, so it is computed once.

    What it protects is no weaker for that: whoever reads this process's memory finds `secret` there as well.
    """
    return agree(curve, secret, public)


def public_of(curve: Curve, secret: bytes) -> bytes:
    """The public key of a secret."""
    if curve == "X25519":
        return crypto_scalarmult_base(secret)
    return _point(_private_key(curve, int.from_bytes(secret, "big")))


def ephemeral(curve: Curve, entropy: Entropy) -> tuple[bytes, Exchange]:
    """A key for one message: its public half, and what its secret half is good for."""
    if curve == "X25519":
        secret = entropy(_X25519_BYTES)
        return crypto_scalarmult_base(secret), partial(_x25519, secret)
    seed = int.from_bytes(entropy(_size(curve) + _EXTRA_SEED_BYTES), "big")
    key = _private_key(curve, seed % (_NIST[curve].group_order - 1) + 1)
    return _point(key), partial(_ecdh, key)


def read_epk(value: object) -> tuple[Curve, bytes]:
    """The curve and public key of an ephemeral key's JWK; whether the point is good is for an Exchange to see.

    Raises MalformedMessage or UnsupportedAlgorithm.
    """
    jwk = as_object(value, "`epk`")
    match jwk.get("kty"), jwk.get("crv"):
        case "OKP", "X25519":
            return "X25519", binary(jwk, "x", _X25519_BYTES)
        case "EC", ("P-256" | "P-384" | "P-521") as curve:
            return curve, b"\x04" + binary(jwk, "x", _size(curve)) + binary(jwk, "y", _size(curve))
    raise UnsupportedAlgorithm(f"`epk` is on none of {', '.join(sorted(CURVES))}")


def kek(shared: bytes, *, alg: str, apu: bytes, apv: bytes, tag: bytes | None = None) -> bytes:
    """The key encryption key of ECDH-ES+A256KW, or with a `tag` of ECDH-1PU+A256KW (draft 04, section 2.3).

    For the latter `shared` is the ephemeral secret and the static one behind it. `tag` is that of the content, which
    binds the sender to the content also towards other recipients.
    """
    info = _sized(alg.encode()) + _sized(apu) + _sized(apv) + _KEK_BITS
    if tag is not None:
        info += _sized(tag)
    return hashlib.sha256(_ROUND + shared + info).digest()


def _x25519(secret: bytes, public: bytes) -> bytes:
    """RFC 7748, section 6.1."""
    try:
        return crypto_scalarmult(secret, public)
    except CryptoError as error:
        raise Undecryptable("a public key of low order") from error


def _x25519_loaded(private: x25519.X25519PrivateKey, public: bytes) -> bytes:
    """`_x25519` with OpenSSL."""
    try:
        return private.exchange(x25519.X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise Undecryptable("a public key of low order") from error


def _ecdh(private: ec.EllipticCurvePrivateKey, public: bytes) -> bytes:
    """SP 800-56A, section 5.7.1.2: the x coordinate, in the full length of its field."""
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(private.curve, public)
    except ValueError as error:
        raise Undecryptable("a public key off its curve") from error
    return private.exchange(ec.ECDH(), point)


def _size(curve: Curve) -> int:
    """The bytes of a coordinate (RFC 7518, section 6.2.1.2)."""
    return (_NIST[curve].key_size + 7) // 8


def _private_key(curve: Curve, number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, _NIST[curve])


def _point(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _sized(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
