"""Our files and folders have the CIDs that a real Kubo gave them; tests/interop/test_unixfs_kubo.py asks one again."""

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB
from protocols.unixfs.directory import MAX_PLAIN_BYTES
from protocols.unixfs.folders import Listing
from protocols.unixfs.layout import MAX_LINKS, build_file
from protocols.unixfs.nodes import ShardNode, read_node
from tests.protocols.unixfs.corpus import FileVector, FolderVector, build_tree, entries_of, file_vectors, folder_vectors

FILES = file_vectors()
FOLDERS = folder_vectors()


@pytest.mark.slow
@pytest.mark.parametrize("vector", FILES, ids=str)
def test_a_file_has_the_cid_that_kubo_gives_it(vector: FileVector) -> None:
    root, blocks = build_file(vector.content(), chunk_bytes=vector.chunk_bytes)
    assert str(root) == vector.cid
    assert all(cid.matches(block) for cid, block in blocks.items())


@pytest.mark.slow
@pytest.mark.parametrize("vector", FOLDERS, ids=str)
def test_a_folder_has_the_cid_and_the_size_that_kubo_gives_it(vector: FolderVector) -> None:
    root, blocks = build_tree(vector.tree, vector.chunk_bytes)
    assert (str(root.cid), root.total_bytes) == (vector.cid, vector.total_bytes)
    assert all(cid.matches(block) for cid, block in blocks.items())
    listing, names = Listing(root.cid), set()
    while wanted := listing.wanted(64):
        for cid in wanted:
            names |= {name for name, _, _ in listing.give(cid, blocks[cid])}
    assert names == {name for name, _ in entries_of(vector.tree)}


def test_the_corpus_has_trees_of_every_height_up_to_three() -> None:
    chunks = {-(-vector.size_bytes // vector.chunk_bytes) for vector in FILES}
    assert {0, 1, 2, MAX_LINKS, MAX_LINKS + 1, MAX_LINKS**2, MAX_LINKS**2 + 1} <= chunks


@pytest.mark.slow
def test_the_corpus_has_folders_on_both_sides_of_the_edge_and_shards_of_shards_of_shards() -> None:
    by_name = {vector.name: vector for vector in FOLDERS}

    def weight(name: str) -> int:
        return sum(36 + len(entry.encode()) for entry, _ in entries_of(by_name[name].tree))

    assert (weight("at the edge"), weight("over the edge")) == (MAX_PLAIN_BYTES, MAX_PLAIN_BYTES + 1)
    root, blocks = build_tree(by_name["10000"].tree)

    def height(cid: Cid) -> int:
        node = read_node(blocks[cid]) if cid.codec == CODEC_DAG_PB else None
        if not isinstance(node, ShardNode):
            return 0
        return 1 + max(height(slot.cid) if slot.name is None else 0 for slot in node.slots)

    assert height(root.cid) >= 3
