import os

import pytest

from identity.keys import KeyPair, agreement_key_of
from protocols.didcomm.agreement import AgreementKey, agree, agree_static, agreement_key, from_jwk, public_of, to_jwk
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
    assert public_of(alice).hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert agree(alice, public_of(bob)).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_points_of_low_order_are_refused(point: bytes) -> None:
    secret = os.urandom(32)
    with pytest.raises(Undecryptable):
        agree(secret, point)
    with pytest.raises(Undecryptable):
        agree_static(secret, point)


def test_both_sides_agree() -> None:
    a, b = os.urandom(32), os.urandom(32)
    assert agree(a, public_of(b)) == agree(b, public_of(a)) == agree_static(a, public_of(b))


def test_a_twins_key_is_that_of_its_did() -> None:
    keys = KeyPair(bytes(32))
    key = agreement_key(keys)
    assert key.secret == keys.agreement_secret
    assert public_of(key.secret) == agreement_key_of(keys.public)
    assert key.kid.startswith(f"{key.did}#z6LS")


def test_a_secret_is_never_shown() -> None:
    secret = os.urandom(32)
    shown = repr(AgreementKey("did:example:bob#1", secret))
    assert shown == "AgreementKey(kid='did:example:bob#1')"


def test_a_jwk_comes_back() -> None:
    public = public_of(os.urandom(32))
    assert from_jwk(to_jwk(public)) == public


@pytest.mark.parametrize(
    ("jwk", "error"),
    [
        (None, MalformedMessage),
        ({}, UnsupportedAlgorithm),
        ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, UnsupportedAlgorithm),
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
        from_jwk(jwk)
