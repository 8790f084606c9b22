"""Our trustless gateway and a stock Kubo: it takes our CAR files in, and its own gateway gives the same blocks."""

import asyncio
import hashlib
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from identity.cid import Cid
from protocols.ipld.car import CarReader
from protocols.unixfs.folders import PathWalk
from tests.interop.kubo import Kubo, running_kubo
from tests.node.http.test_gateway import gateway_over
from tests.protocols.unixfs.corpus import build_tree, content_of

pytestmark = [pytest.mark.kubo, pytest.mark.slow]

TREE = {
    "notes": {"ü": {"deep": 3_000_000}, "empty": 0, "to": "ü/deep"},
    "many": {"*": ["{:0250}", 1200], "file": 700_000},
    "top": 5,
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kubo") / "repository"


@pytest.fixture(scope="module")
def kubo(repository: Path) -> Iterator[Kubo]:
    """The peer; where there is none, the test is skipped, or fails if PAGI_REQUIRE_PEERS=1."""
    binary = os.environ.get("PAGI_TEST_KUBO")
    if not binary:
        if os.environ.get("PAGI_REQUIRE_PEERS") == "1":
            pytest.fail("PAGI_REQUIRE_PEERS=1, but PAGI_TEST_KUBO names no Kubo; scripts/kubo builds one")
        pytest.skip("PAGI_TEST_KUBO names no Kubo; scripts/kubo builds one")
    config = {"Addresses.Gateway": ["/ip4/127.0.0.1/tcp/0"], "Gateway.NoFetch": True}
    with running_kubo(Path(binary), repository, config) as running:
        yield running


def blocks_in(car: bytes) -> tuple[tuple[Cid, ...], list[Cid]]:
    reader = CarReader()
    blocks = reader.feed(car)
    reader.finish()
    return reader.roots, [cid for cid, _ in blocks]


def end_of(root: Cid, names: list[str], blocks: dict[Cid, bytes]) -> Cid:
    walk = PathWalk(root, names)
    while (wanted := walk.wanted) is not None:
        walk.give(blocks[wanted])
    return walk.cid


def test_kubo_imports_what_we_serve_and_reads_all_of_it(kubo: Kubo) -> None:
    root, blocks = build_tree(TREE)

    async def main() -> None:
        async with gateway_over(blocks) as client:
            whole = await client.get(f"/ipfs/{root.cid}?format=car")
            imported = await asyncio.to_thread(lambda: kubo.ipfs("dag", "import", "--stats", stdin=whole.body))
            assert f"{len(blocks)} blocks".encode() in imported

    asyncio.run(main())
    assert str(root.cid) in kubo.lines("pin", "ls", "--type=recursive", "--quiet")
    assert kubo.ipfs("cat", f"/ipfs/{root.cid}/many/file") == content_of("file", 700_000)
    assert kubo.ipfs("cat", f"/ipfs/{root.cid}/notes/ü/deep") == content_of("deep", 3_000_000)
    assert {str(cid) for cid in blocks} == {
        str(root.cid),
        *kubo.lines("refs", "--recursive", "--unique", str(root.cid)),
    }


@pytest.mark.parametrize(
    "request_path",
    [
        "?format=car",
        "?format=car&dag-scope=block",
        "?format=car&dag-scope=entity",
        "/notes/%C3%BC/deep?format=car&dag-scope=block",
        "/notes/%C3%BC/deep?format=car&dag-scope=entity",
        "/notes/%C3%BC/deep?format=car",
        "/notes?format=car&dag-scope=entity",
        "/notes/to?format=car&dag-scope=entity",
        "/notes/empty?format=car",
        "/many?format=car&dag-scope=entity",
        "/many/file?format=car&dag-scope=block",
        "/many/file?format=car&dag-scope=entity&entity-bytes=0:0",
        "/many/file?format=car&dag-scope=entity&entity-bytes=262143:262144",
        "/notes/%C3%BC/deep?format=car&dag-scope=entity&entity-bytes=1000000:2000000",
        "/notes/%C3%BC/deep?format=car&dag-scope=entity&entity-bytes=-10:*",
        "/notes/%C3%BC/deep?format=car&dag-scope=entity&entity-bytes=2900000:-50000",
        "/notes?format=car&dag-scope=entity&entity-bytes=0:5",
    ],
)
@pytest.mark.parametrize("dups", ["y", "n"])
def test_kubos_gateway_gives_the_same_blocks(kubo: Kubo, repository: Path, request_path: str, dups: str) -> None:
    root, blocks = build_tree(TREE)
    theirs = (repository / "gateway").read_text().strip()

    async def main() -> None:
        async with gateway_over(blocks) as client:
            whole = await client.get(f"/ipfs/{root.cid}?format=car")
            await asyncio.to_thread(lambda: kubo.ipfs("dag", "import", stdin=whole.body))
            path = f"/ipfs/{root.cid}{request_path}&car-dups={dups}"
            ours = await client.get(path)
            answer = await asyncio.to_thread(fetch, theirs + path)
            assert ours.status == 200
            roots, cids = blocks_in(ours.body)
            their_roots, their_cids = blocks_in(answer)
            assert cids == their_cids
            assert roots == (root.cid,)
            assert len(their_roots) == 1

    asyncio.run(main())


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        body: bytes = response.read()
    return body


def test_a_block_is_the_same_from_both(kubo: Kubo, repository: Path) -> None:
    data = hashlib.shake_128(b"block").digest(1000)
    cid = kubo.ipfs("block", "put", "--cid-codec=raw", stdin=data).decode().strip()
    theirs = (repository / "gateway").read_text().strip()

    async def main() -> None:
        async with gateway_over({Cid.parse(cid): data}) as client:
            path = f"/ipfs/{cid}?format=raw"
            assert (await client.get(path)).body == await asyncio.to_thread(fetch, theirs + path) == data

    asyncio.run(main())
