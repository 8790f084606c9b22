from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW, decode_varint
from protocols.errors import MalformedMessage, RemoteProtocolError
from protocols.ipld import dag_pb, protobuf
from protocols.ipld.dag_pb import PbLink
from protocols.ipld.errors import UnknownCodec
from protocols.ipld.protobuf import bytes_field, varint_field
from protocols.limits import MAX_ENTRY_NAME_BYTES, MAX_SYMLINK_BYTES
from protocols.unixfs import nodes
from protocols.unixfs.nodes import (
    Child,
    DirectoryNode,
    FileNode,
    Named,
    ShardNode,
    Slot,
    SymlinkNode,
    node_of,
    read_node,
)

LEAF = Cid.of(CODEC_RAW, b"tide")
OTHER = Cid.of(CODEC_RAW, b"ebb")


def block(data: bytes, *links: tuple[str, Cid]) -> bytes:
    """A dag-pb block whose links stand in the order that is given."""
    encoded = [dag_pb.encode([PbLink(cid, name, 4)], None) for name, cid in links]
    return b"".join(encoded) + bytes_field(1, data)


def file_data(*sizes: int, own: bytes = b"", claimed: int | None = None) -> bytes:
    data = varint_field(1, 2) + (bytes_field(2, own) if own else b"")
    data += varint_field(3, sum(sizes) + len(own) if claimed is None else claimed)
    return data + b"".join(varint_field(4, size) for size in sizes)


def shard_data(positions: Sequence[int], *, fanout: int = 256, hash_type: int = 0x22) -> bytes:
    taken = sum(1 << position for position in positions)
    data = varint_field(1, 5) + bytes_field(2, taken.to_bytes((taken.bit_length() + 7) // 8))
    return data + varint_field(5, hash_type) + varint_field(6, fanout)


def test_a_raw_block_is_a_file() -> None:
    assert node_of(LEAF, b"tide") == FileNode((), b"tide", 4)


def test_a_block_of_another_codec_is_neither_file_nor_folder() -> None:
    with pytest.raises(UnknownCodec, match="0x71"):
        node_of(Cid.of(CODEC_DAG_CBOR, b"\xa0"), b"\xa0")


@pytest.mark.parametrize("kind", [0, 2])
def test_a_leaf_of_dag_pb_as_version_0_has_it(kind: int) -> None:
    data = varint_field(1, kind) + bytes_field(2, b"tide") + varint_field(3, 4)
    assert read_node(block(data)) == FileNode((), b"tide", 4)


def test_a_file_has_its_own_bytes_and_parts() -> None:
    node = read_node(block(file_data(4, 3, own=b"high "), ("", LEAF), ("", OTHER)))
    assert node == FileNode((Child(LEAF, 4), Child(OTHER, 3)), b"high ", 12)


def test_block_sizes_may_be_packed() -> None:
    data = varint_field(1, 2) + varint_field(3, 304) + bytes_field(4, b"\x04\xac\x02")
    assert read_node(block(data, ("", LEAF), ("", OTHER))) == FileNode((Child(LEAF, 4), Child(OTHER, 300)), b"", 304)


def test_modes_times_and_later_fields_do_not_matter() -> None:
    mtime = b"\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01"[:3] + b"\x15\x01\x02\x03\x04"
    data = file_data(4) + varint_field(7, 0o644) + bytes_field(8, mtime) + varint_field(9, 7)
    assert read_node(block(data, ("", LEAF))) == FileNode((Child(LEAF, 4),), b"", 4)


def test_a_folder_keeps_the_order_of_its_block() -> None:
    node = read_node(block(varint_field(1, 1), ("b", LEAF), ("a", OTHER)))
    assert node == DirectoryNode((Named("b", LEAF, 4), Named("a", OTHER, 4)))


def test_a_shard_has_entries_and_shards() -> None:
    node = read_node(block(shard_data((0x0A, 0xF0)), ("0Ahigh", LEAF), ("F0", OTHER)))
    assert node == ShardNode(256, (Slot(0x0A, "high", LEAF, 4), Slot(0xF0, None, OTHER, 4)))


@pytest.mark.parametrize(("fanout", "first"), [(8, "3"), (16, "3"), (32, "03"), (1024, "003")])
def test_shards_of_other_widths(fanout: int, first: str) -> None:
    node = read_node(block(shard_data((3,), fanout=fanout), (f"{first}high", LEAF)))
    assert node == ShardNode(fanout, (Slot(3, "high", LEAF, 4),))


def test_a_symbolic_link() -> None:
    assert read_node(block(varint_field(1, 4) + bytes_field(2, b"../a"))) == SymlinkNode("../a")


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(block(b""), id="no type"),
        pytest.param(block(varint_field(1, 3)), id="metadata"),
        pytest.param(block(varint_field(1, 6)), id="an unknown type"),
        pytest.param(block(bytes_field(1, b"")), id="a type that is no number"),
        pytest.param(block(file_data(4)), id="a size without a part"),
        pytest.param(block(file_data(), ("", LEAF)), id="a part without a size"),
        pytest.param(block(file_data(4, claimed=5), ("", LEAF)), id="more bytes than parts"),
        pytest.param(block(file_data(own=b"x", claimed=1 << 60)), id="many more bytes than there are"),
        pytest.param(block(varint_field(1, 2) + bytes_field(4, b"\x80"), ("", LEAF)), id="packed sizes cut short"),
        *(
            pytest.param(block(varint_field(1, 1), (name, LEAF)), id=f"a folder with {name[:9]!r}")
            for name in ("", ".", "..", "/", "a/b", "a\0b", "x" * (MAX_ENTRY_NAME_BYTES + 1))
        ),
        pytest.param(block(varint_field(1, 1), ("a", LEAF), ("a", OTHER)), id="a name twice"),
        pytest.param(block(shard_data((1,), hash_type=0x23), ("01a", LEAF)), id="a shard of another hash"),
        pytest.param(block(shard_data((1,), fanout=255), ("01a", LEAF)), id="a width that is no power of two"),
        pytest.param(block(shard_data((1,), fanout=4), ("1a", LEAF)), id="too narrow"),
        pytest.param(block(shard_data((1,), fanout=1 << 40), ("01a", LEAF)), id="too wide"),
        pytest.param(block(shard_data((1, 2)), ("01a", LEAF)), id="more bits than links"),
        pytest.param(block(shard_data((1,)), ("01a", LEAF), ("02b", OTHER)), id="more links than bits"),
        pytest.param(block(shard_data((300,)), ("12Ca", LEAF)), id="a bit beyond the width"),
        pytest.param(block(shard_data((1,)), ("02a", LEAF)), id="a link in another slot"),
        pytest.param(block(shard_data((1, 2)), ("02b", LEAF), ("01a", OTHER)), id="links out of order"),
        pytest.param(block(shard_data((0x0A,)), ("0aa", LEAF)), id="a slot in small letters"),
        pytest.param(block(shard_data((1,)), ("01..", LEAF)), id="a shard with '..'"),
        pytest.param(block(shard_data((1,)), ("1", LEAF)), id="a short slot"),
        pytest.param(block(varint_field(1, 5)), id="a shard that says nothing"),
        pytest.param(block(varint_field(1, 4)), id="a link to nothing"),
        pytest.param(block(varint_field(1, 4) + bytes_field(2, b"a\0")), id="a link with NUL"),
        pytest.param(block(varint_field(1, 4) + bytes_field(2, b"\xff")), id="a link that is not UTF-8"),
        pytest.param(block(varint_field(1, 4) + bytes_field(2, b"a" * (MAX_SYMLINK_BYTES + 1))), id="a long link"),
        pytest.param(block(varint_field(1, 4) + bytes_field(2, b"a"), ("", LEAF)), id="a link with parts"),
        pytest.param(block(varint_field(1, 2) + varint_field(7, 1) * 100), id="fields without end"),
    ],
)
def test_what_lies_about_itself_is_refused(bad: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_node(bad)


@pytest.mark.parametrize("sizes", [bytes_field(4, b"\1" * 100_000), varint_field(4, 1) * 100_000])
def test_of_sizes_without_end_as_many_are_read_as_there_are_parts(
    sizes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block of 1 MiB that is nothing else would take a second to read."""
    reads: list[int] = []

    def counted(data: bytes, offset: int = 0) -> tuple[int, int]:
        reads.append(offset)
        return decode_varint(data, offset)

    def fields_counted(data: bytes) -> Iterator[tuple[int, int | bytes]]:
        for field in protobuf.fields(data):
            reads.append(field[0])
            yield field

    monkeypatch.setattr(nodes, "decode_varint", counted)
    monkeypatch.setattr(nodes, "fields", fields_counted)
    with pytest.raises(MalformedMessage):
        read_node(block(varint_field(1, 2) + sizes, ("", LEAF), ("", OTHER)))
    assert len(reads) < 10


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    for candidate in (data, bytes_field(1, data), block(data, ("01a", LEAF))):
        try:
            read_node(candidate)
        except RemoteProtocolError:
            continue


@given(st.data())
def test_a_changed_block_is_read_or_refused(data: st.DataObject) -> None:
    good = bytearray(block(shard_data((1, 0xF0)), ("01tide", LEAF), ("F0", OTHER)))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_node(bytes(good))
    except RemoteProtocolError:
        return
