"""Ed25519 and the derived X25519 key against RFC 8032 and the `cryptography` package."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import BadSignature, UnsupportedKey
from identity.keys import KeyPair, agreement_key_of, check_public, verify

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "keys.json").read_text())
SEEDS = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("case", VECTORS["ed25519"]["cases"])
def test_ed25519_vectors(case: dict[str, str]) -> None:
    keys, message = KeyPair(bytes.fromhex(case["seed"])), bytes.fromhex(case["message"])
    assert keys.public.hex() == case["public"]
    assert keys.sign(message).hex() == case["signature"]
    verify(keys.public, message, bytes.fromhex(case["signature"]))


@given(SEEDS, st.binary(max_size=200))
def test_agrees_with_cryptography(seed: bytes, message: bytes) -> None:
    keys = KeyPair(seed)
    other = Ed25519PrivateKey.from_private_bytes(seed)
    assert keys.public == other.public_key().public_bytes_raw()
    assert keys.sign(message) == other.sign(message)
    Ed25519PublicKey.from_public_bytes(keys.public).verify(keys.sign(message), message)


@given(SEEDS)
def test_the_agreement_keys_are_a_pair(seed: bytes) -> None:
    keys = KeyPair(seed)
    public = X25519PrivateKey.from_private_bytes(keys.agreement_secret).public_key().public_bytes_raw()
    assert agreement_key_of(keys.public) == public


@given(SEEDS, st.binary(min_size=1, max_size=50), st.data())
def test_no_changed_bit_verifies(seed: bytes, message: bytes, data: st.DataObject) -> None:
    keys = KeyPair(seed)
    both = bytearray(keys.sign(message) + message)
    bit = data.draw(st.integers(0, 8 * len(both) - 1))
    both[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadSignature):
        verify(keys.public, bytes(both[64:]), bytes(both[:64]))


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(BadSignature):
        verify(KeyPair(bytes(32)).public, b"", bytes(size))


@pytest.mark.parametrize("point", VECTORS["low_order"]["points"])
def test_points_of_low_order_are_refused(point: str) -> None:
    for use in (check_public, agreement_key_of):
        with pytest.raises(UnsupportedKey):
            use(bytes.fromhex(point))
    with pytest.raises(UnsupportedKey):
        verify(bytes.fromhex(point), b"", bytes(64))


def test_a_public_key_of_another_length_is_refused() -> None:
    with pytest.raises(UnsupportedKey):
        check_public(bytes(31))


@given(SEEDS)
def test_the_secret_is_in_no_representation(seed: bytes) -> None:
    keys = KeyPair(seed)
    assert seed.hex() not in repr(keys)
    assert seed.hex() not in str(keys)
    assert keys.seed == seed
