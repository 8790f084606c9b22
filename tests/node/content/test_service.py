"""The content service as a twin has it: over the block store on disk, the database, and a network in memory."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from node.content.assembly import make_content
from node.content.content import Content
from node.errors import ContentUnavailable
from protocols import dag_cbor
from protocols.unixfs.layout import CHUNK_BYTES
from storage import blockfiles, pins
from storage import revisions as rows
from storage.blocks import BlockStore
from storage.errors import StorageFull
from tests.node.content.content_parts import pieces, tar_of
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, new_did, new_hive, open_node


def content_of(node: Node, store: BlockStore | None = None) -> Content:
    return make_content(store=store or node.blocks, database=node.database, network=node.network)


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    swarm = FakeSwarm()
    async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
        yield a, b


@pytest.mark.slow
def test_in_out_and_pinned(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            content = content_of(node)
            for data in (b"", b"tide", os.urandom(50 * CHUNK_BYTES + 5)):
                cid, size_bytes = await content.add(data)
                assert size_bytes == len(data)
                assert await content.read(cid) == data
                pin = await node.database.read(lambda conn, cid=cid: pins.get(conn, cid))  # type: ignore[misc]
                assert pin is not None
                assert pin.kind == "recursive"
            tree = await content.add_tree(pieces(tar_of({f"{n}/file": bytes([n]) * 1000 for n in range(200)})))
            assert await content.read(f"{tree.cid}/199/file") == bytes([199]) * 1000
            assert (await content.usage()).blocks == node.blocks.count
            assert (await content.collect()).blocks == 0

    asyncio.run(main())


@pytest.mark.slow
def test_reading_from_a_peer_keeps_nothing_and_pinning_keeps_all(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (a, b):
            data = os.urandom(10 * CHUNK_BYTES)
            cid, _ = await content_of(a).add(data)
            with pytest.raises(ContentUnavailable):
                await content_of(b).read(cid)
            await b.dial(a)
            assert await content_of(b).read(cid) == data
            assert b.blocks.size_bytes == 0
            fetched = await content_of(b).pin(cid)
            assert fetched.new_bytes == b.blocks.size_bytes == a.blocks.size_bytes
            assert (await content_of(b).pin(cid)).new_blocks == 0
            car = b"".join([piece async for piece in content_of(b).export_car(cid)])
            await content_of(b).unpin(cid)
            assert (await content_of(b).collect()).size_bytes == fetched.new_bytes
            assert await content_of(b).import_car(pieces(car)) == (cid,)
            assert await content_of(b).read(cid) == data

    asyncio.run(main())


@pytest.mark.slow
def test_adding_and_fetching_while_collections_run_loses_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (a, b):
            there = [(await content_of(a).add(os.urandom(2_000_000)))[0] for _ in range(4)]
            await b.dial(a)
            content = content_of(b)
            done = asyncio.Event()
            collections = 0

            async def collect() -> None:
                nonlocal collections
                while not done.is_set():
                    await content.collect()
                    collections += 1

            async def transfer() -> list[Cid]:
                added = [(await content.add(os.urandom(1_500_000)))[0] for _ in range(4)]
                for cid in there:
                    await content.pin(cid)
                return added

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(collect())
                transfers = [tasks.create_task(transfer()) for _ in range(2)]
                await asyncio.wait(transfers)
                done.set()
            assert collections > 2
            for cid in (*there, *transfers[0].result(), *transfers[1].result()):
                assert (await content.fetch(cid)).new_blocks == 0

    asyncio.run(main())


def put_revision(node: Node, number: int) -> tuple[Cid, Cid]:
    """Two blocks as a revision has them, and its row."""
    payload = dag_cbor.encode({"n": number})
    payload_cid = Cid.of(CODEC_DAG_CBOR, payload)
    envelope = dag_cbor.encode({"payload": bytes(bytes(payload_cid)), "signatures": [{"signature": b"s"}]})
    cid = Cid.of(CODEC_DAG_JOSE, envelope)
    node.blocks.put_many([(payload_cid, payload), (cid, envelope)])
    return cid, payload_cid


@pytest.mark.parametrize("status", ["adopted", "quarantined", "rejected", "pending"])
def test_the_blocks_of_playbooks_stay(tmp_path: Path, status: Any) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            needed, loose = put_revision(node, 1), put_revision(node, 2)
            await node.database.write(
                lambda conn: rows.put(
                    conn,
                    cid=needed[0],
                    payload_cid=needed[1],
                    playbook="common",
                    author=new_did(),
                    height=1,
                    ts_ms=0,
                    critique="",
                    status=status,
                    reason=None,
                    updated_ms=0,
                )
            )
            assert (await content_of(node).collect()).blocks == 2
            assert all(node.blocks.has(cid) for cid in needed)
            assert not any(node.blocks.has(cid) for cid in loose)

    asyncio.run(main())


@pytest.mark.slow
def test_a_disk_that_is_full_in_the_middle_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            content = content_of(node)
            kept, _ = await content.add(os.urandom(1_000_000))
            before = (node.blocks.size_bytes, node.blocks.count, set(node.blocks.cids()))
            write_durably, written = blockfiles.write_durably, 0

            def full(path: Path, data: bytes, mode: int) -> None:
                nonlocal written
                written += len(data)
                if written > 20_000_000:
                    raise OSError(errno.ENOSPC, "no space")
                write_durably(path, data, mode)

            monkeypatch.setattr(blockfiles, "write_durably", full)
            with pytest.raises(StorageFull):
                await content.add_stream(pieces(os.urandom(40_000_000)))
            monkeypatch.undo()
            assert (node.blocks.size_bytes, node.blocks.count, set(node.blocks.cids())) == before
            assert len((await content.pins(limit=9)).items) == 1
            assert len(await content.read(kept)) == 1_000_000

    asyncio.run(main())


def test_over_the_quota_nothing_of_it_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            store = BlockStore(tmp_path / "small", 2_000_000)
            content = content_of(node, store)
            with pytest.raises(StorageFull):
                await content.add_stream(pieces(os.urandom(3_000_000)))
            assert (store.size_bytes, list(store.cids())) == (0, [])
            kept, _ = await content.add(os.urandom(200_000))
            tree: dict[str, bytes | str | None] = {str(n): os.urandom(190_000) for n in range(10)}
            with pytest.raises(StorageFull):
                await content.add_tree(pieces(tar_of(tree)))
            assert list(store.cids()) == [kept]
            store.close()

    asyncio.run(main())


def test_a_collection_between_a_revisions_blocks_and_its_row_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path) as node:
            hive, content = new_hive(node), content_of(node)
            await hive.load()
            judge, collected = hive._judging.judge, 0

            async def collect_and_judge(*arguments: Any) -> Any:
                nonlocal collected
                assert (await content.collect()).blocks == 0
                collected += 1
                return await judge(*arguments)

            monkeypatch.setattr(hive._judging, "judge", collect_and_judge)
            cid = await hive.propose("common", "tides", [{"op": "set", "key": "tide", "value": "high"}])
            assert collected == 1
            assert hive._shelf.held(cid) is not None
            assert (await content.collect()).blocks == 0

    asyncio.run(main())
