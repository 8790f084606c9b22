"""The twin's key pair: Ed25519 for signing, and the X25519 key derived from it for key agreement.

One 32-byte seed is everything: the `did:key`, the libp2p peer ID and the DIDComm keys all follow from it.
"""

from functools import cached_property, lru_cache
from typing import Final

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign_ed25519_pk_to_curve25519,
    crypto_sign_ed25519_sk_to_curve25519,
)
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import SigningKey, VerifyKey

from identity.errors import BadSignature, UnsupportedKey

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class KeyPair:
    """An Ed25519 key pair from a 32-byte seed. Its representation never shows the secret."""

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_BYTES
        self._key = SigningKey(seed)
        self.public: Final = bytes(self._key.verify_key)

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public.hex()})"

    @property
    def seed(self) -> bytes:
        """The secret itself, for the keystore and for libp2p. Never log it."""
        return bytes(self._key)

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature of 64 bytes (RFC 8032)."""
        return self._key.sign(data).signature

    @cached_property
    def agreement_secret(self) -> bytes:
        """The X25519 private key, 32 bytes, that belongs to this signing key."""
        return crypto_sign_ed25519_sk_to_curve25519(bytes(self._key) + self.public)


def verify(public: bytes, data: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature (RFC 8032). Raises BadSignature, or UnsupportedKey if `public` is no good key."""
    if len(signature) != SIGNATURE_BYTES:
        raise BadSignature("an Ed25519 signature has 64 bytes")
    try:
        VerifyKey(check_public(public)).verify(data, signature)
    except BadSignatureError as error:
        raise BadSignature("the signature does not match") from error


@lru_cache(maxsize=4096)
def check_public(public: bytes) -> bytes:
    """Return `public` if it is a point of the prime-order group of Ed25519. Raises UnsupportedKey.

    The check costs a third of verifying a signature, and the same twins sign again and again: good keys are remembered.
    """
    if len(public) != PUBLIC_KEY_BYTES or not crypto_core_ed25519_is_valid_point(public):
        raise UnsupportedKey("not an Ed25519 public key, or one of low order")
    return public


def agreement_key_of(public: bytes) -> bytes:
    """The X25519 public key, 32 bytes, derived from an Ed25519 public key (did:key v0.9, section 4)."""
    try:
        return crypto_sign_ed25519_pk_to_curve25519(check_public(public))
    except (CryptoError, RuntimeError) as error:
        raise UnsupportedKey("no X25519 key follows from this Ed25519 key") from error
