"""Reading files and folders: along a path, a range of a file, the entries of a folder.

The blocks come from here or from the swarm, and what is fetched is not kept.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE, CODEC_DAG_JSON, CODEC_DAG_PB, CODEC_RAW
from node.content.ahead import get_or_fetch, reading_ahead
from node.content.blocks import Blocks
from node.content.errors import RangeUnsatisfiable, WrongKind
from node.content.walking import claimed_bytes
from node.errors import ContentTooLarge, ContentUnavailable
from protocols import limits
from protocols.ipld.links import links_of
from protocols.unixfs.folders import Listing, PathWalk
from protocols.unixfs.names import split_path
from protocols.unixfs.nodes import DirectoryNode, FileNode, Node, ShardNode, SymlinkNode, node_of
from protocols.unixfs.reading import FileReader
from storage.page import Page

Kind = Literal["file", "folder", "symlink", "data"]
"""What a CID leads to; `data` is a block of another codec than files have."""

_CODECS: Final = {
    CODEC_RAW: "raw",
    CODEC_DAG_PB: "dag-pb",
    CODEC_DAG_CBOR: "dag-cbor",
    CODEC_DAG_JSON: "dag-json",
    CODEC_DAG_JOSE: "dag-jose",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A file, or a block of data that is read as one: its root block, and how long it is."""

    cid: Cid
    size_bytes: int
    block: bytes
    is_file: bool


@dataclass(frozen=True, slots=True)
class Stat:
    """What a CID is. `total_bytes` is what its root says of all blocks under it, None where it cannot say that.

    `size_bytes` is the length of a file or of a block of data, 0 for the others; `here` says whether the root is kept
    here; `target` is where a symbolic link leads.
    """

    cid: Cid
    kind: Kind
    codec: str
    size_bytes: int
    total_bytes: int | None
    links: int
    here: bool
    target: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of a folder. `kind` and `size_bytes` are None where its root cannot be had now."""

    name: str
    cid: Cid
    kind: Kind | None
    size_bytes: int | None
    total_bytes: int
    target: str | None


async def resolve(blocks: Blocks, path: Cid | str) -> Cid:
    """The CID at the end of a path. Symbolic links are not followed.

    Raises UnusablePath, NoSuchEntry, ContentUnavailable, and what reading a folder raises.
    """
    if isinstance(path, Cid):
        return path
    walk = PathWalk(*split_path(path))
    while (cid := walk.wanted) is not None:
        walk.give(await _block(blocks, cid))
    return walk.cid


async def open_file(blocks: Blocks, path: Cid | str) -> Opened:
    """The file at the end of a path. Raises WrongKind for a folder or a link, and what `resolve` raises."""
    cid = await resolve(blocks, path)
    block = await _block(blocks, cid)
    if cid.codec not in (CODEC_RAW, CODEC_DAG_PB):
        return Opened(cid, len(block), block, is_file=False)
    node = node_of(cid, block)
    if isinstance(node, FileNode):
        return Opened(cid, node.size_bytes, block, is_file=True)
    if isinstance(node, SymlinkNode):
        raise WrongKind(f"{cid} is a symbolic link to {node.target[:200]!r}")
    raise WrongKind(f"{cid} is a folder")


async def read_range(blocks: Blocks, opened: Opened, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
    """The bytes of an open file from `start` on, as they come. Close it when it is not read to its end.

    Raises RangeUnsatisfiable if `start` lies behind the end, ContentUnavailable, MalformedMessage and TooDeep.
    """
    if start > opened.size_bytes:
        raise RangeUnsatisfiable(f"{opened.cid} has {opened.size_bytes} bytes", opened.size_bytes)
    stop = opened.size_bytes if length is None else min(start + length, opened.size_bytes)
    if not opened.is_file:
        yield opened.block[start:stop]
        return
    reader = FileReader(opened.cid, start, stop)
    reader.give(opened.cid, opened.block)
    async with reading_ahead(blocks) as ahead:
        while not reader.done:
            while (piece := reader.take()) is not None:
                yield bytes(piece)
            if upcoming := reader.wanted(limits.MAX_READ_AHEAD):
                reader.give(upcoming[0], await ahead.next(upcoming))


async def stat(blocks: Blocks, path: Cid | str) -> Stat:
    """What stands at the end of a path."""
    cid = await resolve(blocks, path)
    here = await blocks.has(cid)
    block = await _block(blocks, cid)
    node = _node(cid, block)
    return Stat(
        cid=cid,
        kind=_kind_of(node),
        codec=_CODECS.get(cid.codec, hex(cid.codec)),
        size_bytes=_size_of(node, block),
        total_bytes=len(block) if cid.codec == CODEC_RAW else claimed_bytes(cid, block),
        links=len(links_of(cid, block)),
        here=here,
        target=node.target if isinstance(node, SymlinkNode) else None,
    )


async def ls(blocks: Blocks, path: Cid | str, *, limit: int, after: str | None) -> Page[Listed]:
    """The entries of a folder by name, those behind the name `after`.

    Raises WrongKind for what is no folder, ContentTooLarge for one with too many entries, and what `resolve` raises.
    """
    cid = await resolve(blocks, path)
    if not isinstance(_node(cid, await _block(blocks, cid)), DirectoryNode | ShardNode):
        raise WrongKind(f"{cid} is not a folder")
    entries = [entry for entry in await _entries(blocks, cid) if after is None or entry[0] > after]
    entries.sort()
    chosen = entries[:limit]
    roots = await _what_can_be_had(blocks, [child for _, child, _ in chosen])
    items = [_listed(name, child, total_bytes, roots.get(child)) for name, child, total_bytes in chosen]
    return Page(tuple(items), chosen[-1][0] if len(entries) > limit else None)


async def _entries(blocks: Blocks, cid: Cid) -> list[tuple[str, Cid, int]]:
    listing, entries = Listing(cid), list[tuple[str, Cid, int]]()
    async with reading_ahead(blocks) as ahead:
        while upcoming := listing.wanted(limits.MAX_READ_AHEAD):
            entries += listing.give(upcoming[0], await ahead.next(upcoming))
            if len(entries) > limits.MAX_FOLDER_ENTRIES:
                raise ContentTooLarge(f"the folder {cid} has over {limits.MAX_FOLDER_ENTRIES} entries")
    return entries


async def _what_can_be_had(blocks: Blocks, cids: Sequence[Cid]) -> dict[Cid, bytes]:
    """The root blocks of entries; of raw ones nothing needs to be seen."""
    wanted = list(dict.fromkeys(cid for cid in cids if cid.codec != CODEC_RAW))
    found: dict[Cid, bytes] = {}
    for start in range(0, len(wanted), limits.BLOCKS_PER_FETCH):
        found |= await get_or_fetch(blocks, wanted[start : start + limits.BLOCKS_PER_FETCH])
    return found


def _listed(name: str, cid: Cid, total_bytes: int, block: bytes | None) -> Listed:
    if cid.codec == CODEC_RAW:
        return Listed(name, cid, "file", total_bytes, total_bytes, None)
    if block is None:
        return Listed(name, cid, None, None, total_bytes, None)
    node = _node(cid, block)
    target = node.target if isinstance(node, SymlinkNode) else None
    return Listed(name, cid, _kind_of(node), _size_of(node, block), total_bytes, target)


def _node(cid: Cid, block: bytes) -> Node | None:
    """What UnixFS says of a block; None if it is of another codec."""
    return node_of(cid, block) if cid.codec in (CODEC_RAW, CODEC_DAG_PB) else None


def _kind_of(node: Node | None) -> Kind:
    match node:
        case FileNode():
            return "file"
        case DirectoryNode() | ShardNode():
            return "folder"
        case SymlinkNode():
            return "symlink"
        case None:
            return "data"


def _size_of(node: Node | None, block: bytes) -> int:
    if isinstance(node, FileNode):
        return node.size_bytes
    return len(block) if node is None else 0


async def _block(blocks: Blocks, cid: Cid) -> bytes:
    """One block, from here or from the swarm. Raises ContentUnavailable."""
    found = await get_or_fetch(blocks, [cid])
    if cid not in found:
        raise ContentUnavailable(f"{cid} is not here, and nobody who can be reached has it")
    return found[cid]
