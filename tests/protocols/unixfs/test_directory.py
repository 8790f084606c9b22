"""Folders as blocks; test_kubo_vectors.py compares their CIDs with a real Kubo's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from protocols.errors import LocalProtocolError
from protocols.ipld.errors import UnusableName
from protocols.unixfs import directory
from protocols.unixfs.directory import build_directory, build_symlink, hash_digit
from protocols.unixfs.layout import Entry
from protocols.unixfs.names import is_usable
from protocols.unixfs.nodes import DirectoryNode, SymlinkNode, read_node

EMPTY = Entry(Cid.of(CODEC_RAW, b""), 0, 0)


def test_the_empty_folder() -> None:
    entry, blocks = build_directory({})
    # Known to every IPFS node (https://github.com/ipfs/kubo, `ipfs object new unixfs-dir`, as CIDv1).
    assert str(entry.cid) == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    assert blocks == [(entry.cid, b"\x0a\x02\x08\x01")]
    assert (entry.file_bytes, entry.total_bytes) == (0, 4)


@given(st.dictionaries(st.text(min_size=1, max_size=30).filter(is_usable), st.integers(0, 1 << 50), max_size=20))
def test_a_folder_comes_back_sorted_by_the_bytes_of_its_names(sizes: dict[str, int]) -> None:
    entries = {name: Entry(Cid.of(CODEC_RAW, name.encode()), size, size) for name, size in sizes.items()}
    _, [(_, block)] = build_directory(entries)
    node = read_node(block)
    assert isinstance(node, DirectoryNode)
    assert {entry.name: (entry.cid, entry.total_bytes) for entry in node.entries} == {
        name: (entry.cid, entry.total_bytes) for name, entry in entries.items()
    }
    assert [entry.name for entry in node.entries] == sorted(sizes, key=str.encode)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "x" * 256, "\udcff"])
def test_a_name_that_no_folder_may_hold_is_refused(name: str) -> None:
    with pytest.raises(UnusableName):
        build_directory({name: EMPTY})


def test_the_order_of_what_is_given_does_not_matter() -> None:
    names = [f"{number:0300}"[:250] + str(number) for number in range(1000)]
    first, blocks = build_directory(dict.fromkeys(names, EMPTY))
    assert len(blocks) > 1
    assert build_directory(dict.fromkeys(reversed(names), EMPTY)) == (first, blocks)
    assert blocks[-1][0] == first.cid


def test_names_of_one_hash_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MAX_PLAIN_BYTES", 0)
    monkeypatch.setattr(directory, "murmur3_x64_64", lambda name: 7)
    with pytest.raises(LocalProtocolError, match="one hash"):
        build_directory({"a": EMPTY, "b": EMPTY})
    assert build_directory({"a": EMPTY})[0].total_bytes > 0


def test_a_digit_is_taken_from_the_front_of_the_hash() -> None:
    name_hash = 0x0123456789ABCDEF
    assert [hash_digit(name_hash, used, 8) for used in range(0, 72, 8)] == [1, 35, 69, 103, 137, 171, 205, 239, None]
    assert hash_digit(name_hash, 60, 5) is None
    assert hash_digit(name_hash, 0, 10) == 0x0123456789ABCDEF >> 54


@pytest.mark.parametrize("target", ["a", "../../b", "/etc/passwd", "ü"])
def test_a_symbolic_link_comes_back(target: str) -> None:
    entry, [(cid, block)] = build_symlink(target)
    assert read_node(block) == SymlinkNode(target)
    assert entry == Entry(cid, 0, len(block))


@pytest.mark.parametrize("target", ["", "a\0", "x" * 4097, "\udcff"])
def test_a_target_that_no_file_system_takes_is_refused(target: str) -> None:
    with pytest.raises(UnusableName):
        build_symlink(target)
