"""dag-pb (https://ipld.io/specs/codecs/dag-pb/spec/): named links, and bytes whose meaning is somebody else's.

Written as the specification demands: links first, sorted by the bytes of their names, those of the same name in the
order that they are given. Read are also blocks whose bytes stand before the links, links that are not sorted, which
keep their order, and links by a CIDv0, which become CIDv1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from identity.cid import Cid
from identity.errors import MalformedCid
from identity.multibase import CODEC_DAG_PB
from protocols.errors import MalformedMessage
from protocols.ipld.protobuf import bytes_field, fields, varint_field


@dataclass(frozen=True, slots=True)
class PbLink:
    """A link: what its writer calls it, and the bytes of all blocks that it says are under it."""

    cid: Cid
    name: str
    total_bytes: int


@dataclass(frozen=True, slots=True)
class PbNode:
    """A block; `data` is None where the field is missing, which is not the same as empty."""

    links: tuple[PbLink, ...]
    data: bytes | None


def encode(links: Sequence[PbLink], data: bytes | None) -> bytes:
    """The block of these links and bytes."""
    named = [(link.name.encode(), link) for link in links]
    named.sort(key=lambda pair: pair[0])
    parts = [bytes_field(2, _encode_link(name, link)) for name, link in named]
    if data is not None:
        parts.append(bytes_field(1, data))
    return b"".join(parts)


def decode(block: bytes) -> PbNode:
    """Read a block. Raises MalformedMessage, also for a link whose hash is not sha2-256."""
    links: list[PbLink] = []
    data: bytes | None = None
    ended = False
    for number, value in fields(block):
        if number == 2 and isinstance(value, bytes) and not ended:
            links.append(_decode_link(value))
        elif number == 1 and isinstance(value, bytes) and data is None:
            data, ended = value, bool(links)
        else:
            raise MalformedMessage("the block is not dag-pb: a field is unknown, stands twice or between others")
    return PbNode(tuple(links), data)


def any_cid(data: bytes) -> Cid:
    """A binary CID of version 1 or 0. Raises MalformedMessage, also for another hash than sha2-256."""
    try:
        if len(data) == 34 and data[:2] == b"\x12\x20":
            return Cid(CODEC_DAG_PB, bytes(data[2:]))
        return Cid.from_bytes(data)
    except MalformedCid as error:
        raise MalformedMessage("a link of the block is not a CID with a sha2-256 hash") from error


def _encode_link(name: bytes, link: PbLink) -> bytes:
    return bytes_field(1, bytes(link.cid)) + bytes_field(2, name) + varint_field(3, link.total_bytes)


def _decode_link(data: bytes) -> PbLink:
    cid, name, total_bytes, last = None, "", 0, 0
    for number, value in fields(data):
        if number <= last:
            raise MalformedMessage("the block is not dag-pb: the fields of a link are not in order")
        last = number
        if number == 1 and isinstance(value, bytes):
            cid = any_cid(value)
        elif number == 2 and isinstance(value, bytes):
            try:
                name = value.decode()
            except UnicodeDecodeError as error:
                raise MalformedMessage("the block is not dag-pb: the name of a link is not UTF-8") from error
        elif number == 3 and isinstance(value, int):
            total_bytes = value
        else:
            raise MalformedMessage("the block is not dag-pb: a link has an unknown field")
    if cid is None:
        raise MalformedMessage("a link of the block has no CID")
    return PbLink(cid, name, total_bytes)
