import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_PB, CODEC_RAW
from protocols.errors import MalformedMessage, RemoteProtocolError
from protocols.ipld import dag_pb
from protocols.ipld.dag_pb import PbLink
from protocols.ipld.errors import NoSuchEntry, UnknownCodec
from protocols.ipld.protobuf import bytes_field, varint_field
from protocols.unixfs import directory
from protocols.unixfs.directory import build_directory, build_symlink
from protocols.unixfs.folders import Listing, PathWalk
from protocols.unixfs.layout import Entry
from protocols.unixfs.murmur3 import murmur3_x64_64
from protocols.unixfs.names import is_usable
from tests.protocols.unixfs.corpus import build_tree

LEAF = Cid.of(CODEC_RAW, b"tide")


def follow(root: Cid, names: list[str], blocks: dict[Cid, bytes]) -> Cid:
    walk = PathWalk(root, names)
    while (wanted := walk.wanted) is not None:
        walk.give(blocks[wanted])
    return walk.cid


def list_all(root: Cid, blocks: dict[Cid, bytes]) -> dict[str, Cid]:
    listing = Listing(root)
    found: dict[str, Cid] = {}
    while wanted := listing.wanted(3):
        for cid in wanted:
            for name, entry, _ in listing.give(cid, blocks[cid]):
                assert name not in found
                found[name] = entry
    return found


def shard(slots: dict[int, tuple[str, Cid]], fanout: int = 256) -> tuple[Cid, bytes]:
    digits = len(f"{fanout - 1:X}")
    taken = sum(1 << slot for slot in slots)
    data = varint_field(1, 5) + bytes_field(2, taken.to_bytes((taken.bit_length() + 7) // 8))
    data += varint_field(5, 0x22) + varint_field(6, fanout)
    block = dag_pb.encode([PbLink(cid, f"{slot:0{digits}X}{name}", 0) for slot, (name, cid) in slots.items()], data)
    return Cid.of(CODEC_DAG_PB, block), block


def slot_of(name: str, level: int = 0) -> int:
    return murmur3_x64_64(name.encode()).to_bytes(8)[level]


@settings(max_examples=30)
@given(st.sets(st.text(min_size=1, max_size=12).filter(is_usable), max_size=600), st.booleans())
def test_every_name_is_found_and_listed(names: set[str], sharded: bool) -> None:
    entries = {name: Entry(Cid.of(CODEC_RAW, name.encode()), 0, 0) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "MAX_PLAIN_BYTES", 0 if sharded and names else 1 << 30)
        folder, made = build_directory(entries)
    blocks = dict(made)
    assert list_all(folder.cid, blocks) == {name: entry.cid for name, entry in entries.items()}
    for name, entry in entries.items():
        assert follow(folder.cid, [name], blocks) == entry.cid
    with pytest.raises(NoSuchEntry):
        follow(folder.cid, ["is not in there, and is longer than the others"], blocks)


def test_a_path_through_folders_and_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MAX_PLAIN_BYTES", 400)
    root, blocks = build_tree({"a": {"*": ["{}", 500], "b": {"c": {"file": 5}}}, "to": "a/b"})
    assert follow(root.cid, [], blocks) == root.cid
    file = follow(root.cid, ["a", "b", "c", "file"], blocks)
    assert len(blocks[file]) == 5
    assert follow(root.cid, ["a", "499"], blocks) == Cid.of(CODEC_RAW, b"")
    for names in (["x"], ["a", "500"], ["a", "b", "c", "file", "d"], ["to", "c"], ["a", ""], ["a", "0"[:0] + "1F4"]):
        with pytest.raises(NoSuchEntry):
            follow(root.cid, names, blocks)


def test_what_a_path_names_need_not_be_there() -> None:
    root, blocks = build_tree({"a": 5})
    assert follow(root.cid, ["a"], {root.cid: blocks[root.cid]}).codec == CODEC_RAW
    other = Cid.of(CODEC_DAG_CBOR, b"\xa0")
    assert follow(other, [], {}) == other
    with pytest.raises(UnknownCodec):
        follow(other, ["a"], {other: b"\xa0"})


def test_a_folder_of_narrow_shards() -> None:
    """Fanout 8 takes three bits at a time, which cross the bytes of the hash."""
    name_hash = murmur3_x64_64(b"tide")
    cid, blocks = LEAF, {}
    for level in reversed(range(6)):
        digit = name_hash >> (64 - 3 * (level + 1)) & 7
        cid, block = shard({digit: ("tide" if level == 5 else "", cid)}, fanout=8)
        blocks[cid] = block
    assert list_all(cid, blocks) == {"tide": LEAF}
    assert follow(cid, ["tide"], blocks) == LEAF


@pytest.mark.parametrize(
    "bottom", [build_directory({"tide": Entry(LEAF, 4, 4)})[1][0], build_symlink("tide")[1][0], (LEAF, b"tide")]
)
def test_a_shard_that_leads_to_what_is_no_shard_is_refused(bottom: tuple[Cid, bytes]) -> None:
    root, block = shard({slot_of("tide"): ("", bottom[0])})
    blocks = {root: block, bottom[0]: bottom[1]}
    for use in (lambda: list_all(root, blocks), lambda: follow(root, ["tide"], blocks)):
        with pytest.raises(MalformedMessage):
            use()


def test_a_name_that_does_not_belong_there_is_refused() -> None:
    """It would be listed, but nobody who looks it up would find it; and it could stand in several shards."""
    wrong = slot_of("tide") ^ 1
    root, block = shard({wrong: ("tide", LEAF)})
    with pytest.raises(MalformedMessage, match="does not belong there"):
        list_all(root, {root: block})
    below, below_block = shard({slot_of("tide", 1): ("tide", LEAF)})
    root, block = shard({wrong: ("", below)})
    with pytest.raises(MalformedMessage, match="does not belong there"):
        list_all(root, {root: block, below: below_block})
    with pytest.raises(NoSuchEntry):
        follow(root, ["tide"], {root: block, below: below_block})


def test_a_shard_that_stands_in_many_places_is_read_once_and_refused() -> None:
    below, below_block = shard({})
    root, block = shard(dict.fromkeys(range(256), ("", below)))
    with pytest.raises(MalformedMessage, match="twice"):
        list_all(root, {root: block, below: below_block})


def test_shards_without_end_are_refused() -> None:
    cid, block = shard({})
    blocks = {cid: block}
    for level in range(9):
        cid, block = shard({level: ("", cid)})
        blocks[cid] = block
    with pytest.raises(MalformedMessage, match="deeper"):
        list_all(cid, blocks)
    with pytest.raises(NoSuchEntry):
        follow(cid, ["tide"], blocks)


@given(st.binary(max_size=100))
def test_random_blocks_raise_nothing_else(block: bytes) -> None:
    cid = Cid.of(CODEC_DAG_PB, block)
    for use in (lambda: list_all(cid, {cid: block}), lambda: follow(cid, ["a"], {cid: block})):
        try:
            use()
        except (RemoteProtocolError, KeyError):
            continue
