"""A stock Kubo gives files and folders the CIDs that we give them, and reads what we write; we read what it writes."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from identity.cid import Cid
from protocols.ipld import dag_json
from protocols.ipld.car import CarReader, car_header, car_section
from protocols.ipld.links import links_of
from protocols.unixfs.folders import Listing, PathWalk
from protocols.unixfs.layout import build_file
from protocols.unixfs.nodes import SymlinkNode, read_node
from protocols.unixfs.reading import FileReader
from tests.interop.kubo import Kubo, running_kubo
from tests.interop.make_unixfs_vectors import add_file, add_folder
from tests.protocols.unixfs.corpus import (
    FileVector,
    FolderVector,
    build_tree,
    content_of,
    file_vectors,
    folder_vectors,
    write_tree,
)

pytestmark = [pytest.mark.kubo, pytest.mark.slow]


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    """The peer; where there is none, the test is skipped, or fails if PAGI_REQUIRE_PEERS=1."""
    binary = os.environ.get("PAGI_TEST_KUBO")
    if not binary:
        if os.environ.get("PAGI_REQUIRE_PEERS") == "1":
            pytest.fail("PAGI_REQUIRE_PEERS=1, but PAGI_TEST_KUBO names no Kubo; scripts/kubo builds one")
        pytest.skip("PAGI_TEST_KUBO names no Kubo; scripts/kubo builds one")
    with running_kubo(Path(binary), tmp_path_factory.mktemp("kubo") / "repository") as running:
        yield running


def car_of(root: Cid, blocks: dict[Cid, bytes]) -> bytes:
    return car_header([root]) + b"".join(car_section(cid, block) for cid, block in blocks.items())


def exported(kubo: Kubo, root: str) -> tuple[Cid, dict[Cid, bytes]]:
    """A DAG of Kubo, through its CAR file."""
    reader = CarReader(2 * 1024 * 1024)
    blocks = dict(reader.feed(kubo.ipfs("dag", "export", "--progress=false", root)))
    reader.finish()
    assert reader.roots == (Cid.parse(root),)
    return reader.roots[0], blocks


def read(root: Cid, blocks: dict[Cid, bytes], start: int = 0, stop: int | None = None) -> bytes:
    reader, parts = FileReader(root, start, stop), []
    while not reader.done:
        for cid in reader.wanted(8):
            reader.give(cid, blocks[cid])
        while (part := reader.take()) is not None:
            parts.append(bytes(part))
    return b"".join(parts)


def listed(root: Cid, blocks: dict[Cid, bytes]) -> dict[str, Cid]:
    listing, found = Listing(root), {}
    while wanted := listing.wanted(8):
        for cid in wanted:
            found.update((name, entry) for name, entry, _ in listing.give(cid, blocks[cid]))
    return found


@pytest.mark.parametrize("vector", file_vectors(), ids=str)
def test_kubo_gives_a_file_the_cid_of_the_corpus(kubo: Kubo, vector: FileVector) -> None:
    assert add_file(kubo, vector.content(), vector.chunk_bytes) == vector.cid


@pytest.mark.parametrize("vector", folder_vectors(), ids=str)
def test_kubo_gives_a_folder_the_cid_of_the_corpus_and_reads_ours(
    kubo: Kubo, vector: FolderVector, tmp_path: Path
) -> None:
    write_tree(vector.tree, tmp_path / "folder")
    assert add_folder(kubo, tmp_path / "folder", vector.chunk_bytes) == (vector.cid, vector.total_bytes)
    root, blocks = exported(kubo, vector.cid)
    ours, our_blocks = build_tree(vector.tree, vector.chunk_bytes)
    assert (ours.cid, our_blocks) == (root, blocks)
    names = {line.rstrip("/") for line in kubo.ipfs("ls", "--size=false", vector.cid).decode().splitlines()}
    if all(name.isascii() and name.isalnum() for name in listed(root, blocks)):
        assert {name.split()[-1] for name in names} == listed(root, blocks).keys()


def test_what_a_file_of_ours_says_is_what_kubo_reads(kubo: Kubo) -> None:
    data = hashlib.shake_128(b"ours").digest(400_000)
    root, blocks = build_file(data, chunk_bytes=500)
    kubo.ipfs("dag", "import", "--pin-roots=true", stdin=car_of(root, blocks))
    assert kubo.ipfs("cat", str(root)) == data
    assert kubo.ipfs("cat", "--offset=250001", "--length=777", str(root)) == data[250_001:250_778]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--cid-version=0",), id="version 0, leaves of dag-pb"),
        pytest.param(("--cid-version=1", "--raw-leaves=false"), id="leaves of dag-pb"),
        pytest.param(("--cid-version=1", "--trickle"), id="trickle"),
        pytest.param(("--cid-version=1", "--mode=0640", "--mtime=1700000000", "--mtime-nsecs=5"), id="with metadata"),
        pytest.param(("--cid-version=1", "--chunker=rabin-256-512-1024"), id="chunks by content"),
    ],
)
def test_files_in_other_forms_are_read(kubo: Kubo, options: tuple[str, ...]) -> None:
    data = hashlib.shake_128(b"theirs").digest(600_000)
    chunker = () if "rabin" in options[-1] else ("--chunker=size-1000",)
    root, blocks = exported(kubo, kubo.ipfs("add", "--quieter", *chunker, *options, stdin=data).decode().strip())
    assert read(root, blocks) == data
    assert read(root, blocks, 123_456, 345_678) == data[123_456:345_678]


def test_a_folder_with_modes_and_times_by_version_0_is_read(kubo: Kubo, tmp_path: Path) -> None:
    tree = {"sub": {"*": ["{:0250}", 1100], "file": 1000}, "to": "sub/file"}
    write_tree(tree, tmp_path / "folder")
    added = kubo.ipfs("add", "-r", "-Q", "--preserve-mode", "--preserve-mtime", str(tmp_path / "folder"))
    root, blocks = exported(kubo, added.decode().strip())
    entries = listed(root, blocks)
    assert read_node(blocks[entries["to"]]) == SymlinkNode("sub/file")
    assert len(listed(entries["sub"], blocks)) == 1101
    walk = PathWalk(root, ["sub", "file"])
    while (wanted := walk.wanted) is not None:
        walk.give(blocks[wanted])
    assert read(walk.cid, blocks) == content_of("file", 1000)


@pytest.mark.parametrize("codec", ["dag-cbor", "dag-json"])
def test_links_are_those_that_kubo_sees(kubo: Kubo, codec: str) -> None:
    leaves = [
        kubo.ipfs("block", "put", "--cid-codec=raw", stdin=bytes([number])).decode().strip() for number in range(3)
    ]
    value = dag_json.encode({"c": Cid.parse(leaves[0]), "a": [Cid.parse(leaves[1]), {"b": Cid.parse(leaves[2])}]})
    cid = kubo.ipfs("dag", "put", f"--store-codec={codec}", "--input-codec=dag-json", stdin=value).decode().strip()
    block = kubo.ipfs("block", "get", cid)
    assert Cid.parse(cid).matches(block)
    assert [str(link) for link in links_of(Cid.parse(cid), block)] == kubo.lines("refs", cid)
    if codec == "dag-json":
        assert block == value
