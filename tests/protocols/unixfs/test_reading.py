import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_PB, CODEC_RAW
from protocols.errors import MalformedMessage, RemoteProtocolError, TooDeep
from protocols.ipld import dag_pb
from protocols.ipld.dag_pb import PbLink
from protocols.ipld.errors import UnknownCodec
from protocols.ipld.protobuf import bytes_field, varint_field
from protocols.limits import MAX_FILE_DEPTH
from protocols.unixfs.layout import build_file
from protocols.unixfs.nodes import Child, FileNode
from protocols.unixfs.reading import FileReader, Part, children_in_range

LEAF = Cid.of(CODEC_RAW, b"tide")


def read(reader: FileReader, blocks: dict[Cid, bytes], *, at_once: int = 4) -> tuple[bytes, list[Cid]]:
    """All that a reader gives, and the blocks that it wanted, in their order."""
    parts: list[bytes] = []
    asked: list[Cid] = []
    while not reader.done:
        while (part := reader.take()) is not None:
            assert len(part) > 0
            parts.append(bytes(part))
        wanted = reader.wanted(at_once)
        assert len(wanted) <= at_once
        assert wanted or reader.done
        for cid in reversed(wanted):
            reader.give(cid, blocks[cid])
        asked.extend(wanted)
    return b"".join(parts), asked


def file_node(*children: tuple[Cid, int], own: bytes = b"") -> tuple[Cid, bytes]:
    data = varint_field(1, 2) + bytes_field(2, own) + varint_field(3, len(own) + sum(size for _, size in children))
    data += b"".join(varint_field(4, size) for _, size in children)
    block = dag_pb.encode([PbLink(cid, "", 0) for cid, _ in children], data)
    return Cid.of(CODEC_DAG_PB, block), block


@settings(max_examples=60)
@given(st.integers(0, 3000), st.integers(1, 9), st.integers(0, 3100), st.integers(0, 3100), st.integers(1, 9))
def test_a_range_is_what_it_claims_to_be(size: int, chunk: int, start: int, length: int, at_once: int) -> None:
    data = random.Random(size).randbytes(size)
    root, blocks = build_file(data, chunk_bytes=chunk)
    reader = FileReader(root, start, start + length)
    assert read(reader, blocks, at_once=at_once)[0] == data[start : start + length]
    assert reader.size_bytes == size


def test_the_whole_file_without_an_end() -> None:
    data = random.Random(1).randbytes(5000)
    root, blocks = build_file(data, chunk_bytes=7)
    got, asked = read(FileReader(root), blocks)
    assert got == data
    assert set(asked) == set(blocks)
    assert read(FileReader(root, 4990), blocks)[0] == data[4990:]


def test_only_the_blocks_of_the_range_are_asked_for() -> None:
    root, blocks = build_file(random.Random(2).randbytes(200 * 174 * 4), chunk_bytes=4)
    got, asked = read(FileReader(root, 100_000, 100_001), blocks)
    assert len(got) == 1
    assert len(asked) == 1 + 2 + 1
    assert read(FileReader(root, 10**9, 10**9 + 5), blocks) == (b"", [root])


def test_blocks_are_asked_for_ahead_over_the_edge_of_a_node() -> None:
    root, blocks = build_file(random.Random(3).randbytes(3 * 174), chunk_bytes=1)
    reader = FileReader(root, 170)
    reader.give(root, blocks[root])
    for cid in (nodes := reader.wanted(2)):
        reader.give(cid, blocks[cid])
    assert len(nodes) == 2
    ahead = reader.wanted(30)
    assert len(ahead) > 10
    assert reader.take() is None


def test_a_file_of_the_same_chunk_is_read_with_that_chunk_given_once() -> None:
    root, blocks = build_file(bytes(174 * 174), chunk_bytes=1)
    assert len(blocks) == 3
    got, asked = read(FileReader(root), blocks)
    assert got == bytes(174 * 174)
    assert len(asked) < 200


def test_a_file_without_end_is_read_as_far_as_it_is_taken() -> None:
    cid, size = LEAF, 4
    blocks = {LEAF: b"tide"}
    for _ in range(7):
        cid, block = file_node(*[(cid, size)] * 200)
        blocks[cid], size = block, 200 * size
    reader = FileReader(cid)
    taken = 0
    for _ in range(3000):
        for wanted in reader.wanted(8):
            reader.give(wanted, blocks[wanted])
        while taken < 4000 and (part := reader.take()) is not None:
            taken += len(part)
    assert taken == 4000
    assert reader.size_bytes == 4 * 200**7
    assert read(FileReader(cid, size - 6, size), blocks)[0] == b"detide"


def test_a_part_that_is_not_as_long_as_its_parent_says_is_refused() -> None:
    inner, inner_block = file_node((LEAF, 4), (LEAF, 4))
    for claimed in (0, 7, 9, 1 << 60):
        root, block = file_node((inner, claimed), (LEAF, 4))
        blocks = {root: block, inner: inner_block, LEAF: b"tide"}
        if claimed == 0:  # It is never looked at, so its lie changes nothing.
            assert read(FileReader(root), blocks)[0] == b"tide"
            continue
        with pytest.raises(MalformedMessage, match="its parent says"):
            read(FileReader(root), blocks)
    root, block = file_node((LEAF, 3))
    with pytest.raises(MalformedMessage, match="its parent says"):
        read(FileReader(root), {root: block, LEAF: b"tide"})


def test_a_tower_is_refused_where_it_is_too_high() -> None:
    cid, blocks = LEAF, {LEAF: b"tide"}
    for _ in range(MAX_FILE_DEPTH):
        cid, block = file_node((cid, 4))
        blocks[cid] = block
    assert read(FileReader(cid), blocks)[0] == b"tide"
    top, block = file_node((cid, 4))
    with pytest.raises(TooDeep):
        read(FileReader(top), blocks | {top: block})


def test_what_is_no_file_is_refused() -> None:
    folder = b"\x0a\x02\x08\x01"
    cid = Cid.of(CODEC_DAG_PB, folder)
    with pytest.raises(MalformedMessage, match="not a file"):
        read(FileReader(cid), {cid: folder})
    root, block = file_node((cid, 4))
    with pytest.raises(MalformedMessage, match="not a file"):
        read(FileReader(root), {root: block, cid: folder})
    other = Cid.of(CODEC_DAG_CBOR, b"\xa0")
    with pytest.raises(UnknownCodec):
        read(FileReader(other), {other: b"\xa0"})


def test_a_node_with_bytes_of_its_own() -> None:
    inner, inner_block = file_node((LEAF, 4), own=b"low ")
    root, block = file_node((inner, 8), (LEAF, 4), own=b"high ")
    blocks = {root: block, inner: inner_block, LEAF: b"tide"}
    whole = b"high low tidetide"
    for start in range(len(whole) + 1):
        for stop in range(start, len(whole) + 2):
            assert read(FileReader(root, start, stop), blocks)[0] == whole[start:stop]


def test_the_children_of_a_range() -> None:
    node = FileNode((Child(LEAF, 4), Child(LEAF, 0), Child(LEAF, 5)), b"xx", 11)
    assert list(children_in_range(node, 0, 2)) == []
    assert list(children_in_range(node, 0, 3)) == [Part(LEAF, 4, 0, 1)]
    assert list(children_in_range(node, 5, 7)) == [Part(LEAF, 4, 3, 4), Part(LEAF, 5, 0, 1)]
    assert list(children_in_range(node, 11, 12)) == []


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_random_blocks_raise_nothing_else(blocks: list[bytes]) -> None:
    for block in blocks:
        cid = Cid.of(CODEC_DAG_PB, block)
        try:
            read(FileReader(cid, 1, 5), {cid: block})
        except (RemoteProtocolError, KeyError):
            continue
