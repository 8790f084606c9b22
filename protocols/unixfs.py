"""UnixFS files as dag-pb blocks, laid out as Kubo lays them out for CIDv1 with raw leaves and fixed-size chunks.

Sources: dag-pb (https://ipld.io/specs/codecs/dag-pb/spec/), UnixFS (https://specs.ipfs.tech/unixfs/), and the
balanced layout of boxo with at most 174 links in a node.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.errors import MalformedCid, MalformedMultibase
from identity.multibase import CODEC_DAG_PB, CODEC_RAW, decode_varint, encode_varint
from protocols.errors import MalformedMessage

CHUNK_BYTES: Final = 256 * 1024
"""Kubo's `size-262144`."""

MAX_LINKS: Final = 174
"""Links of one node in boxo's balanced layout (`helpers.DefaultLinksPerBlock`)."""

MAX_DEPTH: Final = 8
"""Levels of a file's tree: 174^8 chunks are more than any disk holds."""

_FILE: Final = 2


@dataclass(frozen=True, slots=True)
class Link:
    """A child of a file node: its CID, and the sizes of its file bytes and of all blocks under it."""

    cid: Cid
    file_bytes: int
    total_bytes: int


def build_file(data: bytes, *, chunk_bytes: int = CHUNK_BYTES) -> tuple[Cid, dict[Cid, bytes]]:
    """The root CID of a file and all its blocks, as `ipfs add --cid-version=1 --chunker=size-N` gives them."""
    blocks: dict[Cid, bytes] = {}
    level: list[Link] = []
    for start in range(0, max(len(data), 1), chunk_bytes):
        chunk = data[start : start + chunk_bytes]
        cid = Cid.of(CODEC_RAW, chunk)
        blocks[cid] = chunk
        level.append(Link(cid, len(chunk), len(chunk)))
    while len(level) > 1:
        groups = [level[start : start + MAX_LINKS] for start in range(0, len(level), MAX_LINKS)]
        level = []
        for group in groups:
            block = _encode_node(group)
            cid = Cid.of(CODEC_DAG_PB, block)
            blocks[cid] = block
            file_bytes = sum(link.file_bytes for link in group)
            level.append(Link(cid, file_bytes, len(block) + sum(link.total_bytes for link in group)))
    return level[0].cid, blocks


def children_of(block: bytes) -> tuple[list[Cid], bytes]:
    """The children of a dag-pb file node in order, and the bytes that it holds itself.

    Raises MalformedMessage if it is not a UnixFS file: directories, symbolic links and HAMT shards are refused.
    """
    links: list[Cid] = []
    inner = b""
    for number, value in _fields(block):
        if number == 2 and isinstance(value, bytes):
            links.append(_link_cid(value))
        elif number == 1 and isinstance(value, bytes):
            inner = value
    kind, content = None, b""
    for number, value in _fields(inner):
        if number == 1:
            kind = value
        elif number == 2 and isinstance(value, bytes):
            content = value
    if kind not in (0, _FILE):
        raise MalformedMessage("the block is not a UnixFS file")
    return links, content


def _encode_node(links: Sequence[Link]) -> bytes:
    encoded = bytearray()
    for link in links:
        cid = bytes(link.cid)
        body = b"\x0a" + encode_varint(len(cid)) + cid + b"\x12\x00" + b"\x18" + encode_varint(link.total_bytes)
        encoded += b"\x12" + encode_varint(len(body)) + body
    inner = b"\x08\x02\x18" + encode_varint(sum(link.file_bytes for link in links))
    inner += b"".join(b"\x20" + encode_varint(link.file_bytes) for link in links)
    return bytes(encoded) + b"\x0a" + encode_varint(len(inner)) + inner


def _link_cid(link: bytes) -> Cid:
    for number, value in _fields(link):
        if number == 1 and isinstance(value, bytes):
            try:
                return _any_cid(value)
            except MalformedCid as error:
                raise MalformedMessage("a link of the block is not a CID") from error
    raise MalformedMessage("a link of the block has no CID")


def _any_cid(data: bytes) -> Cid:
    if len(data) == 34 and data[:2] == b"\x12\x20":
        return Cid(CODEC_DAG_PB, data[2:])
    return Cid.from_bytes(data)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: varints as int, length-delimited ones as bytes. Raises MalformedMessage."""
    offset = 0
    while offset < len(data):
        try:
            key, offset = decode_varint(data, offset)
            if key & 7 == 0:
                number, offset = decode_varint(data, offset)
                yield key >> 3, number
                continue
            length, offset = decode_varint(data, offset)
        except MalformedMultibase as error:
            raise MalformedMessage("the block is not protobuf") from error
        if key & 7 != 2 or offset + length > len(data):
            raise MalformedMessage("the block is not protobuf")
        yield key >> 3, data[offset : offset + length]
        offset += length
