"""Keys on all curves: their public forms lead back to them, and what is no good key of a curve is refused."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from identity import multibase
from identity.curves import (
    Curve,
    check_key,
    curve_named,
    from_jwk,
    from_multikey,
    to_jwk,
    to_multikey,
)
from identity.errors import IdentityError, UnknownKeyType, UnsupportedKey
from identity.keys import KeyPair, agreement_key_of

LOW_ORDER: list[str] = json.loads((Path(__file__).parent / "vectors" / "keys.json").read_text())["low_order"]["points"]
EC: dict[Curve, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}
CODES = {"P-256": 0x1200, "P-384": 0x1201, "P-521": 0x1202, "secp256k1": 0xE7, "Ed25519": 0xED, "X25519": 0xEC}


def key_on(curve: Curve, number: int) -> bytes:
    """A raw key, another for each number from 1."""
    ed25519 = KeyPair(number.to_bytes(32, "big")).public
    if curve == "Ed25519":
        return ed25519
    if curve == "X25519":
        return agreement_key_of(ed25519)
    point = ec.derive_private_key(number, EC[curve]).public_key()
    return point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@given(st.sampled_from(get_args(Curve)), st.integers(1, 2**240))
def test_each_form_leads_back_to_the_key(curve: Curve, number: int) -> None:
    public = key_on(curve, number)
    assert from_multikey(to_multikey(curve, public)) == (curve, public)
    assert from_jwk(to_jwk(curve, public)) == (curve, public)
    assert check_key(curve, public) == public


@pytest.mark.parametrize("curve", EC)
def test_a_compressed_point_is_the_same_key(curve: Curve) -> None:
    for number in (1, 2, 3, 4):
        public = key_on(curve, number)
        point = ec.derive_private_key(number, EC[curve]).public_key()
        assert check_key(curve, point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)) == public


@pytest.mark.parametrize("curve", EC)
def test_what_is_not_on_the_curve_is_refused(curve: Curve) -> None:
    public = key_on(curve, 5)
    moved = public[:-1] + bytes([public[-1] ^ 1])
    for data in (moved, public[:-1], public + b"\0", public[1:], b"", b"\0", bytes(len(public)), b"\x04" + bytes(64)):
        with pytest.raises(UnsupportedKey):
            check_key(curve, data)
    jwk = {**to_jwk(curve, public), "y": to_jwk(curve, key_on(curve, 6))["y"]}
    with pytest.raises(UnsupportedKey):
        from_jwk(jwk)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_low_order_ed25519_keys_are_refused(point: str) -> None:
    with pytest.raises(UnsupportedKey):
        check_key("Ed25519", bytes.fromhex(point))


X25519_LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]
"""The points of order 1, 2, 4 and 8 of Curve25519 and its twist (https://cr.yp.to/ecdh.html#validate)."""


@pytest.mark.parametrize("point", X25519_LOW_ORDER, ids=bytes.hex)
def test_low_order_x25519_keys_are_refused_in_each_form(point: bytes) -> None:
    with pytest.raises(UnsupportedKey):
        check_key("X25519", point)
    with pytest.raises(UnsupportedKey):
        from_jwk({"kty": "OKP", "crv": "X25519", "x": multibase.base64url(point)})
    with pytest.raises(UnsupportedKey):
        from_multikey(multibase.encode("z", b"\xec\x01" + point))


def test_multikeys_that_are_refused() -> None:
    public = key_on("P-256", 7)
    for text in (
        "",
        "z",
        "zzzz0",
        "Q" + to_multikey("P-256", public),
        multibase.encode("z", multibase.encode_varint(0x1200) + public),  # not compressed
        multibase.encode("z", multibase.encode_varint(0x1201) + b"\x02" + public[1:33]),  # of another curve
    ):
        with pytest.raises(UnsupportedKey):
            from_multikey(text)
    for code, size in ((0xEB, 96), (0x1203, 57), (0x1205, 270)):  # BLS12-381, Ed448, RSA
        with pytest.raises(UnknownKeyType):
            from_multikey(multibase.encode("z", multibase.encode_varint(code) + bytes(size)))


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "OKP"},
        {"crv": "P-384"},
        {"x": None},
        {"x": "AAA="},
        {"x": "A" * 43},
        {"x": "A" * 100_000},
        {"y": ""},
    ],
)
def test_jwks_that_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedKey):
        from_jwk({**to_jwk("P-256", key_on("P-256", 7)), **change})


@pytest.mark.parametrize("change", [{"crv": "Ed448"}, {"crv": None}, {"kty": "RSA", "crv": []}])
def test_jwks_of_other_types_are_unknown(change: dict[str, Any]) -> None:
    with pytest.raises(UnknownKeyType):
        from_jwk({**to_jwk("P-256", key_on("P-256", 7)), **change})
    with pytest.raises(UnknownKeyType):
        curve_named("P-192")


def test_a_coordinate_keeps_its_zeros() -> None:
    """RFC 7518, section 6.2.1.2: the full length of the field, which for P-521 begins with zeros for half the keys."""
    public = next(key for key in (key_on("P-521", number) for number in range(1, 99)) if key[1] == 0)
    jwk = to_jwk("P-521", public)
    assert len(multibase.from_base64url(jwk["x"])) == 66
    shorter = multibase.base64url(multibase.from_base64url(jwk["x"]).lstrip(b"\0"))
    assert shorter != jwk["x"]
    with pytest.raises(UnsupportedKey):
        from_jwk({**jwk, "x": shorter})


@given(st.binary(max_size=80), st.sampled_from(sorted(CODES.values())))
def test_any_bytes_are_a_key_or_refused(data: bytes, code: int) -> None:
    text = multibase.encode("z", multibase.encode_varint(code) + data)
    try:
        curve, public = from_multikey(text)
    except IdentityError:
        return
    assert to_multikey(curve, public) == text


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner))


@given(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "d"]), JSON | st.sampled_from(["EC", "OKP", *CODES])))
def test_any_object_is_a_jwk_or_refused(value: dict[str, object]) -> None:
    try:
        curve, public = from_jwk(value)
    except IdentityError:
        return
    assert from_jwk(to_jwk(curve, public)) == (curve, public)
