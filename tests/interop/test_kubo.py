"""A stock Kubo and our node, both ways over libp2p and bitswap: what we keep is ordinary IPFS content."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from identity.did import did_key, did_of_peer_id
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW
from node.content.assembly import make_content
from node.content.content import Content
from node.net.errors import BlockNotFound
from node.net.libp2p_network import Libp2pNetwork, open_network
from protocols.playbook.gate import GateResult, sign_gate_result
from protocols.playbook.merge import from_revisions
from protocols.playbook.revision import Revision, SignedRevision, new_ops, next_height, sign_revision, verify_revision
from protocols.playbook.snapshot import read_snapshot, verify_snapshot, write_snapshot
from protocols.unixfs.layout import CHUNK_BYTES, MAX_LINKS, build_file
from storage.blocks import BlockStore
from storage.database import Database
from tests.interop.kubo import Kubo, KuboFailed
from tests.protocols.unixfs.corpus import FileVector, file_vectors

pytestmark = [pytest.mark.kubo, pytest.mark.slow]

TWO_LEVELS = (MAX_LINKS + 3) * CHUNK_BYTES + 12_345
"""A file whose tree has two levels of nodes above its chunks."""


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of a twin that carry content."""

    network: Libp2pNetwork
    blocks: BlockStore
    content: Content


@contextlib.asynccontextmanager
async def open_node(home: Path) -> AsyncIterator[Node]:
    blocks = BlockStore(home / "blocks", 256 * 1024 * 1024)
    keys = KeyPair(os.urandom(32))
    async with (
        Database.open(home / "node.db") as database,
        open_network(keys, listen=["/ip4/127.0.0.1/tcp/0"], blocks=blocks) as network,
    ):
        yield Node(network, blocks, make_content(store=blocks, database=database, network=network))


async def ipfs(kubo: Kubo, *arguments: str, stdin: bytes = b"") -> bytes:
    return await asyncio.to_thread(lambda: kubo.ipfs(*arguments, stdin=stdin))


async def connect(kubo: Kubo, node: Node) -> None:
    """Let Kubo dial us."""
    (address,) = node.network.addresses()
    await ipfs(kubo, "swarm", "connect", address)


@pytest.mark.parametrize("vector", file_vectors(), ids=str)
def test_kubo_gives_a_file_the_cid_that_we_give_it(kubo: Kubo, vector: FileVector) -> None:
    content = vector.content()
    chunker = f"--chunker=size-{vector.chunk_bytes}"
    added = kubo.ipfs("add", "--cid-version=1", chunker, "--only-hash", "--quieter", stdin=content).decode().strip()
    ours, _ = build_file(content, chunk_bytes=vector.chunk_bytes)
    assert added == str(ours) == vector.cid


def test_each_side_knows_who_the_other_is(kubo: Kubo, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(tmp_path) as node:
            peer = await node.network.dial(kubo.address())
            assert peer == kubo.document("id")["ID"]
            (info,) = node.network.peers()
            assert (info.peer_id, info.did) == (peer, did_of_peer_id(peer))
            seen = await asyncio.to_thread(kubo.document, "id", node.network.peer_id)
            assert seen["ID"] == node.network.peer_id
            assert "/ipfs/bitswap/1.2.0" in seen["Protocols"]

    asyncio.run(main())


def test_kubo_pins_a_playbook_head_and_then_has_all_of_its_history(kubo: Kubo, tmp_path: Path) -> None:
    history = make_history()
    head = history[-1]

    async def main() -> None:
        async with open_node(tmp_path) as node:
            node.blocks.put_many(blocks_of(history).items())
            await connect(kubo, node)
            await ipfs(kubo, "pin", "add", "--recursive", str(head.cid))
            assert node.network.counters()["bitswap_blocks_served"] >= len(blocks_of(history))

    asyncio.run(main())
    # Our node is gone: what Kubo shows now is its own.
    assert str(head.cid) in kubo.lines("pin", "ls", "--type=recursive", "--quiet")
    reached = {str(head.cid), *kubo.lines("refs", "--recursive", "--unique", str(head.cid))}
    assert reached == {str(cid) for cid in blocks_of(history)}
    assert kubo.document("dag", "stat", "--enc=json", "--progress=false", str(head.cid))["UniqueBlocks"] == len(reached)
    for signed in history:
        envelope = kubo.ipfs("block", "get", str(signed.cid))
        assert verify_revision(envelope, kubo.ipfs("block", "get", str(signed.payload_cid))) == signed


def test_kubo_pins_a_snapshot_and_then_has_the_history_that_it_names(kubo: Kubo, tmp_path: Path) -> None:
    history, keys = make_history(), KeyPair(os.urandom(32))
    playbook = from_revisions(history[0].revision.playbook, history)
    snapshot, chunks = write_snapshot(playbook, keys=keys, now_ms=1)
    head = history[-1]
    tried = GateResult(playbook.name, head.cid, did_key(keys.public), 1, 10, 6, 8, "a model")
    gate = sign_gate_result(tried, keys)
    blocks = {**blocks_of(history), **chunks}

    async def main() -> None:
        async with open_node(tmp_path) as node:
            node.blocks.put_many(blocks.items())
            node.blocks.put_many([(gate.cid, gate.envelope_block), (gate.payload_cid, gate.payload_block)])
            await connect(kubo, node)
            for root in (snapshot.cid, gate.cid):
                await ipfs(kubo, "pin", "add", "--recursive", str(root))

    asyncio.run(main())
    reached = {str(snapshot.cid), *kubo.lines("refs", "--recursive", "--unique", str(snapshot.cid))}
    assert reached == {str(cid) for cid in blocks}
    found = verify_snapshot(
        kubo.ipfs("block", "get", str(snapshot.cid)), kubo.ipfs("block", "get", str(snapshot.payload_cid))
    )
    view = read_snapshot(found.root, [kubo.ipfs("block", "get", str(cid)) for cid in found.root.chunks])
    assert view.state_hash == playbook.state_hash
    assert str(head.cid) in kubo.lines("refs", "--recursive", "--unique", str(gate.cid))


def test_kubo_follows_an_envelope_to_its_payload_and_to_its_parents(kubo: Kubo, tmp_path: Path) -> None:
    history = make_history()
    by_cid = {signed.cid: signed for signed in history}

    async def main() -> None:
        async with open_node(tmp_path) as node:
            node.blocks.put_many(blocks_of(history).items())
            await connect(kubo, node)

            async def dag(path: str) -> Any:
                return await asyncio.to_thread(kubo.document, "dag", "get", path)

            path, here = str(history[-1].cid), history[-1]
            while True:
                envelope = await dag(path)
                assert envelope["link"] == {"/": str(here.payload_cid)}
                assert len(envelope["signatures"]) == 1
                payload = await dag(f"{path}/link")
                assert payload["author"] == here.revision.author
                assert payload["critique"] == here.revision.critique
                assert payload["parents"] == [{"/": str(parent)} for parent in here.revision.parents]
                if not here.revision.parents:
                    break
                parents = [by_cid[parent] for parent in here.revision.parents]
                here = max(parents, key=lambda parent: parent.revision.height)
                path = f"{path}/link/parents/{parents.index(here)}"
            assert path.count("parents") == history[-1].revision.height - 1 == 3

    asyncio.run(main())


def test_kubo_reads_a_file_of_ours(kubo: Kubo, tmp_path: Path) -> None:
    content = os.urandom(TWO_LEVELS)

    async def main() -> None:
        async with open_node(tmp_path) as node:
            root, _ = await node.content.add(content)
            await connect(kubo, node)
            assert await ipfs(kubo, "cat", str(root)) == content

    asyncio.run(main())


def test_we_read_a_file_of_kubo(kubo: Kubo, tmp_path: Path) -> None:
    content = os.urandom(TWO_LEVELS)
    chunker = f"--chunker=size-{CHUNK_BYTES}"
    root = Cid.parse(kubo.ipfs("add", "--cid-version=1", chunker, "--quieter", stdin=content).decode().strip())

    async def main() -> None:
        async with open_node(tmp_path) as node:
            await node.network.dial(kubo.address())
            assert await node.content.read(root) == content

    asyncio.run(main())


def test_we_fetch_many_blocks_of_kubo_at_once(kubo: Kubo, tmp_path: Path) -> None:
    """Kubo sends each message on a stream of its own, several at once."""
    content = os.urandom(40 * CHUNK_BYTES)
    kubo.ipfs("add", "--cid-version=1", f"--chunker=size-{CHUNK_BYTES}", stdin=content)
    _, blocks = build_file(content)

    async def main() -> None:
        async with open_node(tmp_path) as node:
            peer = await node.network.dial(kubo.address())
            fetched = await asyncio.gather(*(node.network.fetch_block(cid, [peer]) for cid in blocks))
            assert dict(zip(blocks, fetched, strict=True)) == blocks

    asyncio.run(main())


def test_kubo_says_that_it_has_no_such_block(kubo: Kubo, tmp_path: Path) -> None:
    """It is told so; the time that it would wait otherwise is longer than this test may take."""

    async def main() -> None:
        async with open_node(tmp_path) as node:
            peer = await node.network.dial(kubo.address())
            with pytest.raises(BlockNotFound):
                await node.network.fetch_block(Cid.of(CODEC_RAW, os.urandom(32)), [peer], timeout_s=3600)

    asyncio.run(main())


def test_a_block_that_we_do_not_have_spoils_nothing(kubo: Kubo, tmp_path: Path) -> None:
    block = os.urandom(1000)
    cid = Cid.of(CODEC_RAW, block)

    async def main() -> None:
        async with open_node(tmp_path) as node:
            await connect(kubo, node)
            with pytest.raises(KuboFailed):
                await ipfs(kubo, "block", "get", "--timeout=1s", str(Cid.of(CODEC_RAW, os.urandom(32))))
            node.blocks.put(cid, block)
            assert await ipfs(kubo, "block", "get", str(cid)) == block

    asyncio.run(main())


def make_history() -> list[SignedRevision]:
    """Five revisions by three authors, the head last: two that do not know of each other, and who joins them, twice."""
    ann, ben, cyd = (KeyPair(os.urandom(32)) for _ in range(3))
    first = _sign("first", ann, [])
    left, right = _sign("left", ben, [first]), _sign("right", cyd, [first])
    joined = _sign("joined", ann, [left, right])
    return [first, left, right, joined, _sign("head", cyd, [joined, right])]


def blocks_of(history: list[SignedRevision]) -> dict[Cid, bytes]:
    envelopes = {signed.cid: signed.envelope_block for signed in history}
    return envelopes | {signed.payload_cid: signed.payload_block for signed in history}


def _sign(critique: str, keys: KeyPair, parents: list[SignedRevision]) -> SignedRevision:
    author, height = did_key(keys.public), next_height([parent.revision for parent in parents])
    ops = [
        {"op": "add", "section": "strategies", "text": f"Grüße: {critique}", "tags": ["kubo"]},
        {"op": "set", "key": "retry.limit", "value": 3},
        {"op": "metric", "name": "latency_s", "sum": 0.25},
    ]
    revision = Revision(
        playbook="kubo",
        parents=tuple(parent.cid for parent in parents),
        height=height,
        author=author,
        ts=1_700_000_000_000,
        critique=critique,
        evidence=("job-1",),
        ops=new_ops(ops, author=author, height=height),
    )
    signed = sign_revision(revision, keys)
    assert signed.payload_cid.codec == CODEC_DAG_CBOR
    return signed
