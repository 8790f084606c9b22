import asyncio
import os
from pathlib import Path

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_PB
from node.content import content as content_module
from node.content.content import Content
from node.errors import ContentTooLarge, ContentUnavailable
from protocols.errors import MalformedMessage
from protocols.unixfs import CHUNK_BYTES
from storage import pins
from storage.blocks import BlockStore
from storage.errors import StorageFull
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, open_node


def content_of(node: Node) -> Content:
    return Content(blocks=node.blocks, network=node.network, database=node.database)


def file_node(*links: Cid) -> bytes:
    """A dag-pb file without bytes of its own."""
    encoded = b"".join(b"\x12\x26\x0a\x24" + bytes(link) for link in links)
    assert all(len(bytes(link)) == 36 for link in links)
    return encoded + b"\x0a\x02\x08\x02"


def test_what_is_added_is_pinned_and_comes_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            for data in (b"", b"tide", os.urandom(3 * CHUNK_BYTES + 5)):
                cid, size_bytes = await content_of(node).add(data)
                assert size_bytes == len(data)
                assert await content_of(node).cat(cid) == data
                pin = await node.database.read(lambda conn, cid=cid: pins.get(conn, cid))  # type: ignore[misc]
                assert pin is not None
                assert pin.kind == "recursive"

    asyncio.run(main())


def test_a_file_comes_from_a_peer_and_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with open_node(swarm, tmp_path / "a") as a, open_node(swarm, tmp_path / "b") as b:
            data = os.urandom(2 * CHUNK_BYTES)
            cid, _ = await content_of(a).add(data)
            with pytest.raises(ContentUnavailable):
                await content_of(b).cat(cid)
            await b.dial(a)
            assert await content_of(b).cat(cid) == data
            assert b.blocks.size_bytes == 0

    asyncio.run(main())


def test_a_block_of_another_kind_is_given_as_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            cid = Cid.of(CODEC_DAG_CBOR, b"\xa0")
            node.blocks.put(cid, b"\xa0")
            assert await content_of(node).cat(cid) == b"\xa0"

    asyncio.run(main())


def put_tower(node: Node, height: int, width: int, bottom: bytes = b"") -> Cid:
    """A file of `height` levels in which each block names the one below `width` times: a few blocks, no end."""
    block = (
        file_node()
        if not bottom
        else b"\x0a" + bytes([len(bottom) + 4]) + b"\x08\x02\x12" + bytes([len(bottom)]) + bottom
    )
    cid = Cid.of(CODEC_DAG_PB, block)
    node.blocks.put(cid, block)
    for _ in range(height):
        block = file_node(*[cid] * width)
        cid = Cid.of(CODEC_DAG_PB, block)
        node.blocks.put(cid, block)
    return cid


@pytest.mark.parametrize(("width", "bottom"), [(300, b""), (300, b"x" * 50), (3, b"x" * 50)])
def test_a_few_blocks_that_make_a_file_without_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, bottom: bytes
) -> None:
    monkeypatch.setattr(content_module, "MAX_FILE_BLOCKS", 500)
    monkeypatch.setattr(content_module, "MAX_FILE_BYTES", 5000)

    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            with pytest.raises(ContentTooLarge):
                await content_of(node).cat(put_tower(node, 7, width, bottom))
            assert await content_of(node).cat(put_tower(node, 3, 3, b"tide")) == b"tide" * 27

    asyncio.run(main())


def test_a_tower_without_a_floor_in_sight_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            assert await content_of(node).cat(put_tower(node, 7, 1, b"tide")) == b"tide"
            with pytest.raises(MalformedMessage):
                await content_of(node).cat(put_tower(node, 8, 1, b"tide"))

    asyncio.run(main())


def test_what_does_not_fit_is_not_pinned(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_node(FakeSwarm(), tmp_path / "a") as node:
            small = Content(blocks=BlockStore(tmp_path / "small", 1000), network=node.network, database=node.database)
            with pytest.raises(StorageFull):
                await small.add(os.urandom(2000))
            assert (await node.database.read(lambda conn: pins.list_pins(conn, limit=9))).items == ()

    asyncio.run(main())
