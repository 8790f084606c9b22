"""Our files have the CIDs that a real Kubo gave them; tests/interop/test_kubo.py asks a running one again."""

import pytest

from protocols.unixfs import MAX_LINKS, build_file
from tests.protocols.unixfs_corpus import FileVector, file_vectors

VECTORS = file_vectors()


@pytest.mark.slow
@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_a_file_has_the_cid_that_kubo_gives_it(vector: FileVector) -> None:
    root, blocks = build_file(vector.content(), chunk_bytes=vector.chunk_bytes)
    assert str(root) == vector.cid
    assert all(cid.matches(block) for cid, block in blocks.items())


def test_the_corpus_has_trees_of_every_height_up_to_three() -> None:
    chunks = {-(-vector.size_bytes // vector.chunk_bytes) for vector in VECTORS}
    assert {0, 1, 2, MAX_LINKS, MAX_LINKS + 1, MAX_LINKS**2, MAX_LINKS**2 + 1} <= chunks
