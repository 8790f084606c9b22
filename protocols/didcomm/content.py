"""Content encryption for DIDComm v2.1: A256CBC-HS512 (RFC 7518, section 5.2.5), A256GCM and XC20P.

Key and nonce are arguments; each pair may be used once.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_aead_xchacha20poly1305_ietf_encrypt
from nacl.exceptions import CryptoError

from protocols.errors import Undecryptable

Enc = Literal["XC20P", "A256GCM", "A256CBC-HS512"]

_BLOCK_BYTES: Final = 16
_TAG_BYTES: Final = 16


class _Function(Protocol):
    def __call__(self, key: bytes, iv: bytes, data: bytes, aad: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """One algorithm. `encrypt` returns ciphertext and tag in one; `decrypt` takes them so, or raises Undecryptable."""

    key_bytes: int
    iv_bytes: int
    tag_bytes: int
    encrypt: _Function
    decrypt: _Function


def _cbc_hs512_encrypt(key: bytes, iv: bytes, data: bytes, aad: bytes) -> bytes:
    encryptor = Cipher(AES(key[32:]), CBC(iv)).encryptor()
    padding = _BLOCK_BYTES - len(data) % _BLOCK_BYTES
    ciphertext = encryptor.update(data + bytes((padding,)) * padding) + encryptor.finalize()
    return ciphertext + _cbc_hs512_tag(key, iv, ciphertext, aad)


def _cbc_hs512_decrypt(key: bytes, iv: bytes, data: bytes, aad: bytes) -> bytes:
    ciphertext, tag = data[:-32], data[-32:]
    # The tag is checked before anything is decrypted, so the padding tells an attacker nothing.
    if not hmac.compare_digest(tag, _cbc_hs512_tag(key, iv, ciphertext, aad)):
        raise Undecryptable("the content does not authenticate")
    if not ciphertext or len(ciphertext) % _BLOCK_BYTES:
        raise Undecryptable("the content is not whole blocks")
    decryptor = Cipher(AES(key[32:]), CBC(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    padding = padded[-1]
    if not 1 <= padding <= _BLOCK_BYTES or padded[-padding:] != bytes((padding,)) * padding:
        raise Undecryptable("the content's padding is wrong")
    return padded[:-padding]


def _cbc_hs512_tag(key: bytes, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """The MAC key is the first half of `key`, and the tag is the first half of the MAC."""
    aad_bits = (len(aad) * 8).to_bytes(8, "big")
    return hmac.digest(key[:32], aad + iv + ciphertext + aad_bits, "sha512")[:32]


def _gcm_encrypt(key: bytes, iv: bytes, data: bytes, aad: bytes) -> bytes:
    return AESGCM(key).encrypt(iv, data, aad)


def _gcm_decrypt(key: bytes, iv: bytes, data: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(iv, data, aad)
    except InvalidTag as error:
        raise Undecryptable("the content does not authenticate") from error


def _xc20p_encrypt(key: bytes, iv: bytes, data: bytes, aad: bytes) -> bytes:
    return crypto_aead_xchacha20poly1305_ietf_encrypt(data, aad, iv, key)


def _xc20p_decrypt(key: bytes, iv: bytes, data: bytes, aad: bytes) -> bytes:
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(data, aad, iv, key)
    except CryptoError as error:
        raise Undecryptable("the content does not authenticate") from error


CIPHERS: Final[Mapping[str, ContentCipher]] = {
    "A256CBC-HS512": ContentCipher(64, 16, 32, _cbc_hs512_encrypt, _cbc_hs512_decrypt),
    "A256GCM": ContentCipher(32, 12, _TAG_BYTES, _gcm_encrypt, _gcm_decrypt),
    "XC20P": ContentCipher(32, 24, _TAG_BYTES, _xc20p_encrypt, _xc20p_decrypt),
}
