"""The six curves of did:key v0.9: which bytes are a key on them, and the two public forms of a key, Multikey and JWK.

A key is raw here: 32 bytes for Ed25519 and X25519 (RFC 8032, RFC 7748), for the others the uncompressed point of SEC 1,
`04 | x | y`. What this module gives is a point of its curve, and of no small order.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, cast, get_args

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import crypto_scalarmult
from nacl.exceptions import CryptoError

from identity import multibase
from identity.errors import MalformedMultibase, UnknownKeyType, UnsupportedKey
from identity.keys import check_public
from identity.multibase import KEY_ED25519, KEY_X25519

Curve = Literal["Ed25519", "X25519", "P-256", "P-384", "P-521", "secp256k1"]

MAX_MULTIKEY_CHARS: Final = 128
"""A key on P-521 has 95 in base58, and what is longer is a key of another type. Reading base58 costs the square of its
length."""

_CODES: Final[Mapping[Curve, int]] = {
    "Ed25519": KEY_ED25519,
    "X25519": KEY_X25519,
    "P-256": 0x1200,
    "P-384": 0x1201,
    "P-521": 0x1202,
    "secp256k1": 0xE7,
}
"""Multicodec numbers of public keys; elliptic points follow them compressed."""

_OF_CODE: Final[Mapping[int, Curve]] = {code: curve for curve, code in _CODES.items()}
_EC: Final[Mapping[Curve, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}
_KEY_BYTES: Final = 32
_ANY_SCALAR: Final = bytes(_KEY_BYTES)
"""X25519 makes a scalar of any 32 bytes (RFC 7748, section 5), one that small orders divide."""


def curve_named(name: str) -> Curve:
    """The curve of this name, as JWK and this project write it. Raises UnknownKeyType."""
    if name not in get_args(Curve):
        raise UnknownKeyType(f"no curve that we know: {name[:32]!r}")
    return cast(Curve, name)


@lru_cache(maxsize=4096)
def check_key(curve: Curve, public: bytes) -> bytes:
    """The key in raw form, from its raw or its SEC 1 form, compressed or not.

    Raises UnsupportedKey if it has another length, is not on the curve, or is of low order.
    """
    if curve == "Ed25519":
        return check_public(public)
    if curve == "X25519":
        return _check_x25519(public)
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(_EC[curve], public)
    except ValueError as error:
        raise UnsupportedKey(f"not a point of {curve}") from error
    return point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def to_multikey(curve: Curve, public: bytes) -> str:
    """The raw key as Multikey text (Controlled Identifiers 1.0): `z6Mk…`, `z6LS…`, `zDn…`, `zQ3s…`."""
    return multibase.encode("z", multibase.encode_varint(_CODES[curve]) + _compressed(public))


def from_multikey(text: str) -> tuple[Curve, bytes]:
    """The curve and the raw key of a Multikey.

    Raises UnsupportedKey if it is none, UnknownKeyType if it is one of another curve.
    """
    if len(text) > MAX_MULTIKEY_CHARS:
        raise UnknownKeyType(f"a key of {len(text)} characters, longer than any on a curve that we know")
    try:
        data = multibase.decode(text)
        code, start = multibase.decode_varint(data)
    except MalformedMultibase as error:
        raise UnsupportedKey("not a Multikey") from error
    curve = _OF_CODE.get(code)
    if curve is None:
        raise UnknownKeyType(f"a key of a type that we do not know (multicodec {code:#x})")
    public = check_key(curve, data[start:])
    if data[start:] != _compressed(public):
        raise UnsupportedKey("a Multikey holds its point compressed")
    return curve, public


def to_jwk(curve: Curve, public: bytes) -> dict[str, str]:
    """The raw key as a public JWK (RFC 7518, section 6.2; RFC 8037; RFC 8812)."""
    if curve in _EC:
        x, y = public[1 : len(public) // 2 + 1], public[len(public) // 2 + 1 :]
        return {"kty": "EC", "crv": curve, "x": multibase.base64url(x), "y": multibase.base64url(y)}
    return {"kty": "OKP", "crv": curve, "x": multibase.base64url(public)}


def from_jwk(value: object) -> tuple[Curve, bytes]:
    """The curve and the raw key of a JWK; members beyond the key itself are not looked at.

    Raises UnsupportedKey if it is no key, UnknownKeyType if it is one of another curve.
    """
    if not isinstance(value, Mapping):
        raise UnsupportedKey("a JWK is a JSON object")
    name = value.get("crv")
    if not isinstance(name, str):
        raise UnknownKeyType("a JWK that names no curve")
    curve = curve_named(name)
    if value.get("kty") != ("EC" if curve in _EC else "OKP"):
        raise UnsupportedKey(f"a JWK on {curve} has another `kty`")
    if curve not in _EC:
        return curve, check_key(curve, _member(value, "x", _KEY_BYTES))
    size = (_EC[curve].key_size + 7) // 8
    return curve, check_key(curve, b"\x04" + _member(value, "x", size) + _member(value, "y", size))


def _member(jwk: Mapping[str, object], name: str, size: int) -> bytes:
    """RFC 7518, section 6.2.1.2: a coordinate has the full length of its field."""
    text = jwk.get(name)
    if not isinstance(text, str) or len(text) > 2 * size:
        raise UnsupportedKey(f"a JWK without `{name}`")
    try:
        data = multibase.from_base64url(text)
    except MalformedMultibase as error:
        raise UnsupportedKey(f"`{name}` of a JWK: {error}") from error
    if len(data) != size:
        raise UnsupportedKey(f"`{name}` of a JWK has {len(data)} bytes instead of {size}")
    return data


def _compressed(public: bytes) -> bytes:
    """SEC 1, section 2.3.3. Raw keys of 32 bytes have no other form."""
    if len(public) == _KEY_BYTES:
        return public
    return bytes([2 + (public[-1] & 1)]) + public[1 : len(public) // 2 + 1]


def _check_x25519(public: bytes) -> bytes:
    """With a point of low order the shared secret is zero, whoever computes it (RFC 7748, section 6.1)."""
    if len(public) != _KEY_BYTES:
        raise UnsupportedKey(f"an X25519 key has {_KEY_BYTES} bytes")
    try:
        crypto_scalarmult(_ANY_SCALAR, public)
    except CryptoError as error:
        raise UnsupportedKey("an X25519 key of low order") from error
    return public
