"""What a UnixFS block is: a file or a part of one, a folder or a shard of one, or a symbolic link.

Everything that a block says about itself is checked here. What it says about its children, namely how many bytes of the
file are under each, can only be checked where they are read (`protocols.unixfs.reading`).
Modes and times of modification are allowed and not looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from identity.cid import Cid
from identity.errors import MalformedMultibase
from identity.multibase import CODEC_DAG_PB, CODEC_RAW, decode_varint
from protocols.errors import MalformedMessage
from protocols.ipld import dag_pb
from protocols.ipld.dag_pb import PbLink
from protocols.ipld.errors import UnknownCodec
from protocols.ipld.protobuf import fields
from protocols.limits import MAX_SYMLINK_BYTES
from protocols.unixfs import names

RAW: Final = 0
DIRECTORY: Final = 1
FILE: Final = 2
SYMLINK: Final = 4
SHARD: Final = 5

MURMUR3: Final = 0x22
"""The multicodec of murmur3-x64-64, the only hash of shards."""

FANOUTS: Final = frozenset({8, 16, 32, 64, 128, 256, 512, 1024})
"""Slots of a shard: Kubo writes 256, and can be set to no others than these."""

_MAX_FIELDS: Final = 64
"""Fields of the message besides the sizes of parts. There are nine, and room for what later versions add."""


@dataclass(frozen=True, slots=True)
class Child:
    """A part of a file, and how many of the file's bytes its parent says are in it."""

    cid: Cid
    file_bytes: int


@dataclass(frozen=True, slots=True)
class FileNode:
    """A file or a part of it: bytes of its own, then those of its children."""

    children: tuple[Child, ...]
    data: bytes
    size_bytes: int


class Named(NamedTuple):
    """An entry of a folder: `total_bytes` is what the folder says that all blocks under it take."""

    name: str
    cid: Cid
    total_bytes: int


@dataclass(frozen=True, slots=True)
class DirectoryNode:
    """A folder in one block, in the order of the block; no name stands twice."""

    entries: tuple[Named, ...]


class Slot(NamedTuple):
    """A taken slot of a shard: an entry of the folder, or another shard if `name` is None."""

    position: int
    name: str | None
    cid: Cid
    total_bytes: int


@dataclass(frozen=True, slots=True)
class ShardNode:
    """A shard of a folder: its slots in ascending order of their positions."""

    fanout: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class SymlinkNode:
    """A symbolic link. `names.stays_inside` says whether its target may be followed or written."""

    target: str


Node = FileNode | DirectoryNode | ShardNode | SymlinkNode


def node_of(cid: Cid, block: bytes) -> Node:
    """What a block is, by its codec: a raw block is a file. Raises MalformedMessage, or UnknownCodec for any other."""
    if cid.codec == CODEC_RAW:
        return FileNode((), block, len(block))
    if cid.codec != CODEC_DAG_PB:
        raise UnknownCodec(f"{cid} is of codec 0x{cid.codec:x}, which is neither a file nor a folder")
    return read_node(block)


def read_node(block: bytes) -> Node:
    """Read a dag-pb block. Raises MalformedMessage unless it is a file, a folder, a shard or a symbolic link."""
    node = dag_pb.decode(block)
    if node.data is None:
        raise MalformedMessage("the block is not UnixFS: it says nothing about itself")
    said = _read_data(node.data, len(node.links))
    if said.kind in (RAW, FILE):
        return _file(node.links, said)
    if said.kind == DIRECTORY:
        return _directory(node.links)
    if said.kind == SHARD:
        return _shard(node.links, said)
    if said.kind == SYMLINK:
        return _symlink(node.links, said)
    raise MalformedMessage(f"the block is UnixFS of an unknown type: {said.kind}")


@dataclass(slots=True)
class _Data:
    """The message inside: fields that are missing are None or empty."""

    kind: int | None
    content: bytes
    file_bytes: int | None
    block_sizes: list[int]
    hash_type: int | None
    fanout: int | None


def _read_data(data: bytes, parts: int) -> _Data:
    """The message of a block with so many links: no more is read than such a block can need."""
    said = _Data(None, b"", None, [], None, None)
    for count, (number, value) in enumerate(fields(data)):
        if count == parts + _MAX_FIELDS or len(said.block_sizes) > parts:
            raise MalformedMessage("the block is not UnixFS: it says more about itself than it has parts")
        match number, value:
            case 1, int():
                said.kind = value
            case 2, bytes():
                said.content = value
            case 3, int():
                said.file_bytes = value
            case 4, int():
                said.block_sizes.append(value)
            case 4, bytes():
                said.block_sizes.extend(islice(_packed(value), parts + 1))
            case 5, int():
                said.hash_type = value
            case 6, int():
                said.fanout = value
            case ((1 | 2 | 3 | 5 | 6), _):
                raise MalformedMessage(f"the block is not UnixFS: field {number} has another type")
            case _:  # A mode, a time of modification, or what a later version adds.
                pass
    return said


def _packed(data: bytes) -> Iterator[int]:
    offset = 0
    try:
        while offset < len(data):
            number, offset = decode_varint(data, offset)
            yield number
    except MalformedMultibase as error:
        raise MalformedMessage("the block is not UnixFS: its block sizes are no numbers") from error


def _file(links: Sequence[PbLink], said: _Data) -> FileNode:
    if len(said.block_sizes) != len(links):
        raise MalformedMessage(f"a file of {len(links)} parts that gives the sizes of {len(said.block_sizes)}")
    size_bytes = len(said.content) + sum(said.block_sizes)
    if said.file_bytes not in (None, size_bytes):
        raise MalformedMessage(f"a file that claims {said.file_bytes} bytes, and whose parts have {size_bytes}")
    children = tuple(Child(link.cid, size) for link, size in zip(links, said.block_sizes, strict=True))
    return FileNode(children, said.content, size_bytes)


def _directory(links: Sequence[PbLink]) -> DirectoryNode:
    entries = tuple(Named(link.name, link.cid, link.total_bytes) for link in links)
    if not all(names.is_usable(entry.name) for entry in entries):
        raise MalformedMessage("a folder with a name that no folder may hold")
    if len({entry.name for entry in entries}) != len(entries):
        raise MalformedMessage("a folder in which a name stands twice")
    return DirectoryNode(entries)


def _shard(links: Sequence[PbLink], said: _Data) -> ShardNode:
    fanout, taken = said.fanout, int.from_bytes(said.content)
    if said.hash_type != MURMUR3 or fanout not in FANOUTS:
        raise MalformedMessage("a shard with another hash than murmur3, or another width than folders have")
    if taken.bit_length() > fanout or taken.bit_count() != len(links):
        raise MalformedMessage("a shard whose bitmap does not fit its links")
    digits = len(f"{fanout - 1:X}")
    slots: list[Slot] = []
    for link in links:
        lowest = taken & -taken
        taken ^= lowest
        position = lowest.bit_length() - 1
        if link.name[:digits] != f"{position:0{digits}X}":
            raise MalformedMessage("a shard whose bitmap does not fit the names of its links")
        name = link.name[digits:] or None
        if name is not None and not names.is_usable(name):
            raise MalformedMessage("a shard with a name that no folder may hold")
        slots.append(Slot(position, name, link.cid, link.total_bytes))
    return ShardNode(fanout, tuple(slots))


def _symlink(links: Sequence[PbLink], said: _Data) -> SymlinkNode:
    try:
        target = said.content.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage("a symbolic link whose target is not UTF-8") from error
    if links or not target or "\0" in target or len(said.content) > MAX_SYMLINK_BYTES:
        raise MalformedMessage("a symbolic link without a usable target, or with parts")
    return SymlinkNode(target)
