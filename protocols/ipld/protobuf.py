"""The fields of a protobuf message (https://protobuf.dev/programming-guides/encoding/), as dag-pb and UnixFS use them.

Varints must be in their shortest form and stay below 2^63, as everywhere else here; groups are refused.
"""

from collections.abc import Iterator
from typing import Final

from identity.errors import MalformedMultibase
from identity.multibase import decode_varint, encode_varint
from protocols.errors import MalformedMessage

_VARINT: Final = 0
_BYTES: Final = 2
_FIXED: Final = {1: 8, 5: 4}
"""Wire types of a fixed length, in bytes."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields in their order as (number, value): varints as int, all others as bytes. Raises MalformedMessage."""
    offset, end = 0, len(data)
    while offset < end:
        key, offset = _varint(data, offset)
        wire_type = key & 7
        if wire_type == _VARINT:
            value, offset = _varint(data, offset)
            yield key >> 3, value
            continue
        if wire_type == _BYTES:
            length, offset = _varint(data, offset)
        elif wire_type in _FIXED:
            length = _FIXED[wire_type]
        else:
            raise MalformedMessage("the block is not protobuf: it has a wire type that is not used")
        if offset + length > end:
            raise MalformedMessage("the block is not protobuf: it is cut short")
        yield key >> 3, data[offset : offset + length]
        offset += length


def varint_field(number: int, value: int) -> bytes:
    """A field that is a number. Field numbers are below 16."""
    return bytes([number << 3]) + encode_varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A field that is bytes or another message."""
    return bytes([number << 3 | _BYTES]) + encode_varint(len(value)) + value


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    if offset < len(data) and data[offset] < 0x80:
        return data[offset], offset + 1
    try:
        return decode_varint(data, offset)
    except MalformedMultibase as error:
        raise MalformedMessage("the block is not protobuf: it holds a number that is none") from error
