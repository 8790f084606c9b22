"""Files as blocks: chunks of one size, raw leaves, and boxo's balanced tree of at most 174 links in a node.

A builder holds one chunk and the links of the nodes that are not full yet, however long the file is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB, CODEC_RAW, encode_varint
from protocols.errors import MalformedMessage
from protocols.ipld.protobuf import bytes_field
from protocols.limits import MAX_FILE_DEPTH
from protocols.unixfs.nodes import FileNode, read_node

CHUNK_BYTES: Final = 256 * 1024
"""Kubo's `size-262144`."""

MAX_LINKS: Final = 174
"""Links of one node in boxo's balanced layout (`helpers.DefaultLinksPerBlock`)."""

MAX_DEPTH: Final = MAX_FILE_DEPTH
"""Levels of a file's tree."""

Block = tuple[Cid, bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder must know to name something: its CID, its bytes as a file (0 if it is none), all its blocks'."""

    cid: Cid
    file_bytes: int
    total_bytes: int


class FileBuilder:
    """Makes a file's blocks while its bytes come in. The blocks of a part come before the node that names them."""

    def __init__(self, chunk_bytes: int = CHUNK_BYTES) -> None:
        assert chunk_bytes > 0
        self._chunk_bytes = chunk_bytes
        self._begun = (
            bytearray()
        )  # room for one chunk, once there is part of one: a growing one is copied again and again
        self._begun_bytes = 0
        self._levels: list[list[Entry]] = [[]]

    def feed(self, data: bytes | bytearray | memoryview) -> list[Block]:
        """Take the next bytes of the file, as many as there are; return the blocks that are complete now."""
        made: list[Block] = []
        size, offset = self._chunk_bytes, 0
        view = memoryview(data).cast("B")
        if self._begun_bytes:
            offset = min(size - self._begun_bytes, len(view))
            self._begin(view[:offset])
            if self._begun_bytes == size:
                self._chunk(self._take_begun(), made)
        while len(view) - offset >= size:
            self._chunk(bytes(view[offset : offset + size]), made)
            offset += size
        self._begin(view[offset:])
        return made

    def finish(self) -> tuple[Entry, list[Block]]:
        """The file as a folder may name it, and its last blocks: at least its root, if that was not made before."""
        made: list[Block] = []
        if self._begun_bytes or not any(self._levels):
            self._chunk(self._take_begun(), made)
        for level, links in enumerate(self._levels):
            is_top = level == len(self._levels) - 1
            if is_top and len(links) == 1:
                break
            if links:
                self._close(level, made)
        (root,) = self._levels[-1]
        return root, made

    def _begin(self, part: memoryview) -> None:
        """Keep part of a chunk, behind what is kept of it."""
        if part and not self._begun:
            self._begun = bytearray(self._chunk_bytes)
        end = self._begun_bytes + len(part)
        self._begun[self._begun_bytes : end] = part
        self._begun_bytes = end

    def _take_begun(self) -> bytes:
        chunk = bytes(memoryview(self._begun)[: self._begun_bytes])
        self._begun_bytes = 0
        return chunk

    def _chunk(self, chunk: bytes, made: list[Block]) -> None:
        cid = Cid.of(CODEC_RAW, chunk)
        made.append((cid, chunk))
        self._name(0, Entry(cid, len(chunk), len(chunk)), made)

    def _name(self, level: int, entry: Entry, made: list[Block]) -> None:
        """Give an entry to the open node of a level, and close that node if it is full."""
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(entry)
        if len(self._levels[level]) == MAX_LINKS:
            self._close(level, made)

    def _close(self, level: int, made: list[Block]) -> None:
        links, self._levels[level] = self._levels[level], []
        block = _encode_file(links)
        cid = Cid.of(CODEC_DAG_PB, block)
        made.append((cid, block))
        file_bytes = sum(link.file_bytes for link in links)
        self._name(level + 1, Entry(cid, file_bytes, len(block) + sum(link.total_bytes for link in links)), made)


def build_file(data: bytes, *, chunk_bytes: int = CHUNK_BYTES) -> tuple[Cid, dict[Cid, bytes]]:
    """The root CID of a file and all its blocks, as `ipfs add --cid-version=1 --chunker=size-N` gives them."""
    builder = FileBuilder(chunk_bytes)
    blocks = dict(builder.feed(data))
    root, last = builder.finish()
    blocks.update(last)
    return root.cid, blocks


def children_of(block: bytes) -> tuple[list[Cid], bytes]:
    """The children of a dag-pb file node in order, and the bytes that it holds itself.

    Raises MalformedMessage if it is not a UnixFS file: folders, symbolic links and shards are refused.
    """
    node = read_node(block)
    if not isinstance(node, FileNode):
        raise MalformedMessage("the block is not a UnixFS file")
    return [child.cid for child in node.children], node.data


def _encode_file(links: Sequence[Entry]) -> bytes:
    """A node that holds nothing but links. It is what `dag_pb.encode` writes, without the sorting of empty names."""
    parts: list[bytes] = []
    for link in links:
        body = bytes_field(1, bytes(link.cid)) + b"\x12\x00\x18" + encode_varint(link.total_bytes)
        parts.append(bytes_field(2, body))
    inner = [b"\x08\x02\x18" + encode_varint(sum(link.file_bytes for link in links))]
    inner.extend(b"\x20" + encode_varint(link.file_bytes) for link in links)
    parts.append(bytes_field(1, b"".join(inner)))
    return b"".join(parts)
