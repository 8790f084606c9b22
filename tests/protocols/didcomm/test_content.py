import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.didcomm.content import CIPHERS
from protocols.errors import Undecryptable


@pytest.mark.parametrize("enc", CIPHERS)
@given(data=st.binary(max_size=100), aad=st.binary(max_size=40))
def test_content_comes_back(enc: str, data: bytes, aad: bytes) -> None:
    cipher = CIPHERS[enc]
    key, iv = bytes(range(cipher.key_bytes)), bytes(cipher.iv_bytes)
    sealed = cipher.encrypt(key, iv, data, aad)
    assert cipher.decrypt(key, iv, sealed, aad) == data


@pytest.mark.parametrize("enc", CIPHERS)
@given(data=st.data())
def test_any_changed_bit_is_noticed(enc: str, data: st.DataObject) -> None:
    cipher = CIPHERS[enc]
    key, iv = bytes(range(cipher.key_bytes)), bytes(cipher.iv_bytes)
    parts = [key, iv, cipher.encrypt(key, iv, b"the content", b"header"), b"header"]
    which = data.draw(st.integers(0, 3))
    place = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    changed = bytearray(parts[which])
    changed[place // 8] ^= 1 << place % 8
    parts[which] = bytes(changed)
    with pytest.raises(Undecryptable):
        cipher.decrypt(*parts)


def test_a256cbc_hs512_is_that_of_rfc_7518() -> None:
    """RFC 7518, appendix B.3: the AES_256_CBC_HMAC_SHA_512 test case."""
    key = bytes(range(64))
    iv = bytes.fromhex("1af38c2dc2b96ffdd86694092341bc04")
    plaintext = (
        b"A cipher system must not be required to be secret, and it must be able to fall into the hands of the enemy "
        b"without inconvenience"
    )
    aad = b"The second principle of Auguste Kerckhoffs"
    sealed = CIPHERS["A256CBC-HS512"].encrypt(key, iv, plaintext, aad)
    assert sealed[:16].hex() == "4affaaadb78c31c5da4b1b590d10ffbd"
    assert sealed[-32:].hex() == "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5"


@pytest.mark.parametrize("ciphertext", [b"", bytes(15), bytes(17)])
def test_an_authentic_ciphertext_that_is_not_whole_blocks_is_refused(ciphertext: bytes) -> None:
    key, iv = bytes(64), bytes(16)
    tag = hmac.new(key[:32], iv + ciphertext + bytes(8), hashlib.sha512).digest()[:32]
    with pytest.raises(Undecryptable):
        CIPHERS["A256CBC-HS512"].decrypt(key, iv, ciphertext + tag, b"")


def test_an_authentic_ciphertext_with_wrong_padding_is_refused() -> None:
    key, iv = bytes(64), bytes(16)
    # The first block of a longer message, cut off and given a tag of its own: its last byte is no padding.
    ciphertext = CIPHERS["A256CBC-HS512"].encrypt(key, iv, b"\xff" * 16, b"")[:16]
    tag = hmac.new(key[:32], iv + ciphertext + bytes(8), hashlib.sha512).digest()[:32]
    with pytest.raises(Undecryptable):
        CIPHERS["A256CBC-HS512"].decrypt(key, iv, ciphertext + tag, b"")
