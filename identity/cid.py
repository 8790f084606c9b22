"""Content identifiers: CIDv1 with sha2-256, and CIDv0 on reading.

Specification: https://github.com/multiformats/cid. Other hash functions are refused: everything here is
verified by its hash, and one hash function is enough to verify.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import base58

from identity import multibase
from identity.errors import MalformedCid, MalformedMultibase
from identity.multibase import CODEC_DAG_PB

MAX_CID_CHARS: Final = 128
"""A base32 CIDv1 with sha2-256 has 59 characters; nothing that we read needs more than twice that."""

_SHA2_256: Final = b"\x12\x20"

_TEXTS_KEPT: Final = 4096
"""Text forms that are remembered, some 300 bytes each: a block that is being handled is named a dozen times."""


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """A CID with a sha2-256 hash. `codec` is the multicodec number; `digest` has 32 bytes.

    `str(cid)` is the base32 form of CIDv1 (`bafy…`); a CIDv0 that was read becomes its CIDv1.
    """

    codec: int
    digest: bytes

    @classmethod
    def of(cls, codec: int, block: bytes) -> Self:
        """The CID of a block's bytes."""
        return cls(codec, hashlib.sha256(block).digest())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CID's text form. Raises MalformedCid."""
        if len(text) > MAX_CID_CHARS:
            raise MalformedCid("longer than any CID that is used here")
        try:
            if text.startswith("Qm") and len(text) == 46:
                data = base58.b58decode(text)
                if data[:2] != _SHA2_256 or len(data) != 34:
                    raise MalformedCid(f"not a CIDv0: {text}")
                return cls(CODEC_DAG_PB, data[2:])
            return cls.from_bytes(multibase.decode(text))
        except (MalformedMultibase, ValueError) as error:
            raise MalformedCid(f"not a CID: {text!r}") from error

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a CIDv1's binary form, whole. Raises MalformedCid."""
        try:
            version, offset = multibase.decode_varint(data)
            codec, offset = multibase.decode_varint(data, offset)
        except MalformedMultibase as error:
            raise MalformedCid("cut short") from error
        if version != 1 or data[offset : offset + 2] != _SHA2_256 or len(data) != offset + 34:
            raise MalformedCid("not a CIDv1 with a sha2-256 hash")
        return cls(codec, data[offset + 2 :])

    def __bytes__(self) -> bytes:
        return b"\x01" + multibase.encode_varint(self.codec) + _SHA2_256 + self.digest

    def __str__(self) -> str:
        return _text(self.codec, self.digest)

    def matches(self, block: bytes) -> bool:
        """Whether `block` has this hash."""
        return hashlib.sha256(block).digest() == self.digest


@lru_cache(maxsize=_TEXTS_KEPT)
def _text(codec: int, digest: bytes) -> str:
    """The base32 form of CIDv1."""
    return multibase.encode("b", b"\x01" + multibase.encode_varint(codec) + _SHA2_256 + digest)
