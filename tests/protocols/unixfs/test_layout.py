"""The layout of files as blocks; test_kubo_vectors.py compares the CIDs with a real Kubo's."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB, CODEC_RAW
from protocols.errors import MalformedMessage
from protocols.unixfs.layout import MAX_LINKS, Entry, FileBuilder, build_file, children_of


def joined(root: Cid, blocks: dict[Cid, bytes]) -> bytes:
    if root.codec == CODEC_RAW:
        return blocks[root]
    links, own = children_of(blocks[root])
    return own + b"".join(joined(link, blocks) for link in links)


def depth(root: Cid, blocks: dict[Cid, bytes]) -> int:
    return 0 if root.codec == CODEC_RAW else 1 + max(depth(link, blocks) for link in children_of(blocks[root])[0])


@pytest.mark.parametrize(
    ("data", "cid"),
    [
        # The empty raw block, and "hello world\n" as raw block (https://docs.ipfs.tech/concepts/content-addressing/).
        (b"", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (b"hello world\n", "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"),
    ],
)
def test_a_file_of_one_chunk_is_that_chunk(data: bytes, cid: str) -> None:
    assert build_file(data) == (Cid.parse(cid), {Cid.parse(cid): data})


@given(st.binary(max_size=2000), st.integers(1, 300))
def test_a_file_comes_back_from_its_blocks(data: bytes, chunk_bytes: int) -> None:
    root, blocks = build_file(data, chunk_bytes=chunk_bytes)
    assert joined(root, blocks) == data
    assert all(cid.matches(block) for cid, block in blocks.items())
    for cid, block in blocks.items():
        if cid.codec == CODEC_DAG_PB:
            links, own = children_of(block)
            assert 1 <= len(links) <= MAX_LINKS
            assert own == b""
        else:
            assert len(block) <= chunk_bytes


@pytest.mark.parametrize(
    ("chunks", "height"), [(1, 0), (2, 1), (MAX_LINKS, 1), (MAX_LINKS + 1, 2), (MAX_LINKS**2, 2), (MAX_LINKS**2 + 1, 3)]
)
def test_the_tree_is_no_higher_than_it_must_be(chunks: int, height: int) -> None:
    root, blocks = build_file(os.urandom(chunks), chunk_bytes=1)
    assert depth(root, blocks) == height


@given(st.lists(st.binary(max_size=400), max_size=12), st.integers(1, 300))
def test_the_pieces_do_not_matter(pieces: list[bytes], chunk_bytes: int) -> None:
    builder = FileBuilder(chunk_bytes)
    made = [block for piece in pieces for block in builder.feed(memoryview(piece))]
    entry, last = builder.finish()
    data = b"".join(pieces)
    root, blocks = build_file(data, chunk_bytes=chunk_bytes)
    assert entry == Entry(root, len(data), entry.total_bytes)
    assert dict(made + last) == blocks
    assert (made + last)[-1][0] == root


def test_a_builder_holds_no_more_than_a_chunk_and_the_links_of_open_nodes() -> None:
    builder = FileBuilder(10)
    for _ in range(40_000):
        builder.feed(b"0123456")
        assert len(builder._begun) <= 10
        assert sum(map(len, builder._levels)) < 3 * MAX_LINKS


def test_total_bytes_count_every_block_as_often_as_it_is_named() -> None:
    builder = FileBuilder(4)
    blocks = dict(builder.feed(b"tide" * 3))
    entry, last = builder.finish()
    blocks.update(last)
    assert entry.total_bytes == 3 * 4 + len(blocks[entry.cid])
    assert FileBuilder().finish() == (Entry(Cid.of(CODEC_RAW, b""), 0, 0), [(Cid.of(CODEC_RAW, b""), b"")])


def field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def test_a_node_may_hold_bytes_itself_and_name_blocks_of_version_0() -> None:
    child = field(2, field(1, b"\x12\x20" + bytes(32)))
    links, own = children_of(child + field(1, b"\x08\x02" + field(2, b"tide") + b"\x20\x05"))
    assert own == b"tide"
    assert links == [Cid(CODEC_DAG_PB, bytes(32))]


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"", id="empty"),
        pytest.param(field(1, b"\x08\x01"), id="a directory"),
        pytest.param(field(1, b"\x08\x04"), id="a symbolic link"),
        pytest.param(field(1, b"\x08\x05"), id="a shard"),
        pytest.param(field(1, b""), id="no type"),
        pytest.param(field(2, b"") + field(1, b"\x08\x02"), id="a link without a CID"),
        pytest.param(field(2, field(1, b"no CID")) + field(1, b"\x08\x02"), id="a link to what is no CID"),
        pytest.param(field(1, b"\x08\x02")[:-1], id="cut"),
        pytest.param(b"\x0a\xff\xff\xff\xff\x0f", id="longer than it is"),
        pytest.param(b"\x0d\x00\x00\x00\x00", id="a wire type that is not used"),
    ],
)
def test_what_is_no_file_is_refused(block: bytes) -> None:
    with pytest.raises(MalformedMessage):
        children_of(block)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(block: bytes) -> None:
    try:
        links, own = children_of(block)
    except MalformedMessage:
        return
    assert all(isinstance(link, Cid) for link in links)
    assert isinstance(own, bytes)
