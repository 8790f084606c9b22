import os

import pytest

from identity.curves import Curve, to_jwk
from identity.keys import KeyPair, agreement_key_of
from protocols.didcomm.agreement import agree, agree_static, ephemeral, exchange, public_of, read_epk
from protocols.didcomm.author import AgreementKey, author_of
from protocols.errors import MalformedMessage, Undecryptable, UnsupportedAlgorithm

LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]
"""Points of order 1, 2, 4 and 8 on Curve25519: https://cr.yp.to/ecdh.html#validate."""


def test_x25519_is_that_of_rfc_7748() -> None:
    """RFC 7748, section 6.1."""
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    assert public_of("X25519", alice).hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert (
        agree("X25519", alice, public_of("X25519", bob)).hex()
        == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    )


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_points_of_low_order_are_refused(point: bytes) -> None:
    secret = os.urandom(32)
    with pytest.raises(Undecryptable):
        agree("X25519", secret, point)
    with pytest.raises(Undecryptable):
        agree_static("X25519", secret, point)


def test_a_twins_key_is_that_of_its_did() -> None:
    keys = KeyPair(bytes(32))
    key = author_of(keys).agreement[0]
    assert key.secret == keys.agreement_secret
    assert public_of("X25519", key.secret) == agreement_key_of(keys.public)
    assert key.kid.startswith(f"{key.did}#z6LS")


def test_a_secret_is_never_shown() -> None:
    secret = os.urandom(32)
    shown = repr(AgreementKey("did:example:bob#1", secret))
    assert shown == "AgreementKey(kid='did:example:bob#1', curve='X25519')"


SIZES: dict[Curve, int] = {"X25519": 32, "P-256": 32, "P-384": 48, "P-521": 66}


@pytest.mark.parametrize("curve", SIZES)
def test_an_ephemeral_key_comes_back_from_its_jwk_and_agrees(curve: Curve) -> None:
    secret = b"\x00" + os.urandom(SIZES[curve] - 1)
    public, shared = ephemeral(curve, os.urandom)
    assert read_epk(to_jwk(curve, public)) == (curve, public)
    mine = public_of(curve, secret)
    assert shared(mine) == exchange(curve, secret)(public) == agree(curve, secret, public)
    assert agree_static(curve, secret, public) == agree(curve, secret, public)
    assert len(shared(mine)) == SIZES[curve]


@pytest.mark.parametrize("curve", SIZES)
@pytest.mark.parametrize("byte", [0, 255])
def test_the_poorest_entropy_makes_a_key_still(curve: Curve, byte: int) -> None:
    public, _ = ephemeral(curve, lambda size: bytes((byte,)) * size)
    assert read_epk(to_jwk(curve, public)) == (curve, public)


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_points_off_a_nist_curve_are_refused(curve: Curve) -> None:
    good = public_of(curve, b"\x01")
    for point in (good[:-1] + bytes((good[-1] ^ 1,)), b"\x00", good[:-1], b"\x04" + bytes(len(good) - 1), b""):
        with pytest.raises(Undecryptable):
            agree(curve, b"\x02", point)


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_a_compressed_point_is_the_same_point(curve: Curve) -> None:
    good = public_of(curve, b"\x01")
    compressed = bytes((2 + (good[-1] & 1),)) + good[1 : len(good) // 2 + 1]
    assert agree(curve, b"\x02", compressed) == agree(curve, b"\x02", good)


def test_p256_is_that_of_rfc_5903() -> None:
    """RFC 5903, section 8.1."""
    initiator = bytes.fromhex("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433")
    responder = bytes.fromhex("c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53")
    shared = "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"
    assert agree("P-256", initiator, public_of("P-256", responder)).hex() == shared


@pytest.mark.parametrize(
    ("jwk", "error"),
    [
        (None, MalformedMessage),
        ({}, UnsupportedAlgorithm),
        ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, MalformedMessage),
        ({"kty": "EC", "crv": "secp256k1", "x": "A" * 43, "y": "A" * 43}, UnsupportedAlgorithm),
        ({"kty": "OKP", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}, UnsupportedAlgorithm),
        ({"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}, UnsupportedAlgorithm),
        ({"kty": "OKP", "crv": ["X25519"], "x": "A" * 43}, UnsupportedAlgorithm),
        ({"kty": "OKP", "crv": "X25519"}, MalformedMessage),
        ({"kty": "OKP", "crv": "X25519", "x": "AAAA"}, MalformedMessage),
        ({"kty": "OKP", "crv": "X25519", "x": "A" * 42 + "!"}, MalformedMessage),
        ({"kty": "OKP", "crv": "X25519", "x": 5}, MalformedMessage),
    ],
)
def test_other_jwks_are_refused(jwk: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_epk(jwk)
