"""Folders and symbolic links as blocks: a folder in one block, or, where Kubo does so, in shards by the names' hash.

Kubo's rule is `Import.UnixFSHAMTDirectorySizeEstimation = links`, its default: the bytes of all names and binary CIDs.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB
from protocols.errors import LocalProtocolError
from protocols.ipld import dag_pb
from protocols.ipld.dag_pb import PbLink
from protocols.ipld.errors import UnusableName
from protocols.ipld.protobuf import bytes_field, varint_field
from protocols.limits import MAX_SYMLINK_BYTES
from protocols.unixfs import names, nodes
from protocols.unixfs.layout import Block, Entry
from protocols.unixfs.murmur3 import murmur3_x64_64

MAX_PLAIN_BYTES: Final = 256 * 1024
"""Names and CIDs of a folder in one block; one that has more is sharded (`Import.UnixFSHAMTDirectorySizeThreshold`)."""

FANOUT: Final = 256
"""Slots of a shard: one byte of the name's hash on each level (`Import.UnixFSHAMTDirectoryMaxFanout`)."""

HASH_BITS: Final = 64
"""Bits of a name's hash: what falls together on all of them has no place in a folder of shards."""

_Hashed = tuple[bytes, str, Entry]


def build_directory(entries: Mapping[str, Entry]) -> tuple[Entry, list[Block]]:
    """A folder of these entries, and its own blocks, its root the last.

    Raises UnusableName for a name that no folder may hold.
    """
    for name in entries:
        if not names.is_usable(name):
            raise UnusableName(f"a folder cannot hold an entry with the name {name[:80]!r}")
    made: list[Block] = []
    if sum(len(name.encode()) + len(bytes(entry.cid)) for name, entry in entries.items()) > MAX_PLAIN_BYTES:
        hashed = [(murmur3_x64_64(name.encode()).to_bytes(8), name, entry) for name, entry in entries.items()]
        return _shard(hashed, 0, made), made
    links = [PbLink(entry.cid, name, entry.total_bytes) for name, entry in entries.items()]
    return _node(links, varint_field(1, nodes.DIRECTORY), made), made


def build_symlink(target: str) -> tuple[Entry, list[Block]]:
    """A symbolic link, wherever it points. Raises UnusableName if no file system would take the target."""
    try:
        encoded = target.encode()
    except UnicodeEncodeError as error:
        raise UnusableName("the target of a symbolic link is not UTF-8") from error
    if not target or "\0" in target or len(encoded) > MAX_SYMLINK_BYTES:
        raise UnusableName(f"the target of a symbolic link is empty, or longer than {MAX_SYMLINK_BYTES} bytes")
    made: list[Block] = []
    return _node([], varint_field(1, nodes.SYMLINK) + bytes_field(2, encoded), made), made


def hash_digit(name_hash: int, used_bits: int, bits: int) -> int | None:
    """The slot of a name in a shard that takes `bits` of its hash after `used_bits`; None where the hash has ended."""
    rest = HASH_BITS - used_bits - bits
    return None if rest < 0 else name_hash >> rest & (1 << bits) - 1


def _shard(entries: Sequence[_Hashed], level: int, made: list[Block]) -> Entry:
    if level * 8 == HASH_BITS:
        raise LocalProtocolError("two names of the folder have one hash, and cannot both be in it")
    by_slot: dict[int, list[_Hashed]] = {}
    for hashed in entries:
        by_slot.setdefault(hashed[0][level], []).append(hashed)
    links: list[PbLink] = []
    for slot in sorted(by_slot):
        group = by_slot[slot]
        if len(group) == 1:
            (_, name, entry) = group[0]
            links.append(PbLink(entry.cid, f"{slot:02X}{name}", entry.total_bytes))
        else:
            below = _shard(group, level + 1, made)
            links.append(PbLink(below.cid, f"{slot:02X}", below.total_bytes))
    taken = sum(1 << slot for slot in by_slot)
    data = varint_field(1, nodes.SHARD) + bytes_field(2, taken.to_bytes((taken.bit_length() + 7) // 8))
    return _node(links, data + varint_field(5, nodes.MURMUR3) + varint_field(6, FANOUT), made)


def _node(links: Sequence[PbLink], data: bytes, made: list[Block]) -> Entry:
    block = dag_pb.encode(links, data)
    cid = Cid.of(CODEC_DAG_PB, block)
    made.append((cid, block))
    return Entry(cid, 0, len(block) + sum(link.total_bytes for link in links))
