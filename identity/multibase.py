"""Multibase text, unsigned varints and the multicodec numbers that this project uses.

Multibase: base58btc (`z`), base32 lower case without padding (`b`), base64url without padding (`u`).
Varints: unsigned LEB128 as in the multiformats specification, at most nine bytes, minimal form only.
"""

import base64
import binascii
from typing import Final, Literal

import base58

from identity.errors import MalformedMultibase

MAX_VARINT_BYTES: Final = 9
"""The multiformats specification's own bound: 63 bits."""

CODEC_RAW: Final = 0x55
CODEC_DAG_PB: Final = 0x70
CODEC_DAG_CBOR: Final = 0x71
CODEC_DAG_JOSE: Final = 0x85
CODEC_DAG_JSON: Final = 0x0129
KEY_ED25519: Final = 0xED
KEY_X25519: Final = 0xEC

_URL_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
"""Base64url as the standard decoder reads it; what has no place in base64url becomes what it refuses."""

_STANDARD_TO_URL: Final = bytes.maketrans(b"+/", b"-_")

_LAST_CHARACTERS: Final = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
"""What may stand last in a rest of 2 or 3 characters: those whose unused bits are zero."""


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5), as JOSE writes it."""
    return binascii.b2a_base64(data, newline=False).translate(_STANDARD_TO_URL, b"=").decode()


def from_base64url(text: str) -> bytes:
    """Read base64url without padding. Raises MalformedMultibase for any other alphabet or length."""
    rest = len(text) % 4
    if rest == 1:
        raise MalformedMultibase("not base64url without padding")
    if rest and text[-1] not in _LAST_CHARACTERS[rest]:
        raise MalformedMultibase("base64url whose last character has bits too many")
    try:
        return binascii.a2b_base64(
            text.encode("ascii").translate(_URL_TO_STANDARD) + b"=" * (-rest % 4), strict_mode=True
        )
    except ValueError as error:
        raise MalformedMultibase("not base64url without padding") from error


def encode(base: Literal["z", "b", "u"], data: bytes) -> str:
    """Write `data` as multibase text with its one-letter prefix."""
    if base == "z":
        return "z" + base58.b58encode(data).decode()
    if base == "b":
        return "b" + base64.b32encode(data).decode().rstrip("=").lower()
    return "u" + base64url(data)


def decode(text: str) -> bytes:
    """Read multibase text. Raises MalformedMultibase if the prefix is unknown or the rest is not its canonical form.

    The caller bounds the length: base58 costs the square of it.
    """
    prefix, rest = text[:1], text[1:]
    try:
        if prefix == "z":
            return base58.b58decode(rest)
        if prefix == "b" and rest == rest.lower():
            data = base64.b32decode(rest.upper() + "=" * (-len(rest) % 8))
            if encode("b", data) == text:
                return data
            raise MalformedMultibase("base32 that is padded, or whose last character has bits too many")
    except (ValueError, binascii.Error) as error:
        raise MalformedMultibase(f"not multibase {prefix!r}") from error
    if prefix == "u":
        return from_base64url(rest)
    raise MalformedMultibase(f"unknown multibase prefix {prefix!r}")


def encode_varint(number: int) -> bytes:
    """Write a number from 0 to 2^63-1 as an unsigned varint."""
    assert 0 <= number < 1 << 63
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode_varint(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Read a varint at `offset`; return it and the offset behind it.

    Raises MalformedMultibase if it is cut short, longer than nine bytes or not in its shortest form.
    """
    number = 0
    for index, byte in enumerate(data[offset : offset + MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            if byte == 0 and index:
                raise MalformedMultibase("varint not in its shortest form")
            return number, offset + index + 1
    raise MalformedMultibase("varint cut short or too long")
