"""The rules of the `Blocks` port, over the fake, the embedded store and a real Kubo."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB
from node.content.blocks import Blocks
from node.content.embedded import EmbeddedBlocks
from node.content.kubo import KuboBlocks
from node.content.kubo_api import KuboApi
from node.errors import ContentUnavailable
from protocols.unixfs.layout import build_file
from storage.blocks import BlockStore
from storage.database import Database
from storage.errors import BlockMismatch
from tests.interop.kubo import Kubo, kubo_for_tests
from tests.node.content.content_parts import keep, naming, raw
from tests.node.content.fake_blocks import FakeBlocks
from tests.node.net.fake import FakeSwarm
from tests.node.parts import open_node

Open = Callable[[], AbstractAsyncContextManager[Blocks]]


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    with kubo_for_tests(tmp_path_factory.mktemp("kubo") / "repository") as kubo:
        yield kubo


@pytest.fixture(params=["fake", "embedded", pytest.param("kubo", marks=[pytest.mark.kubo, pytest.mark.slow])])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the backend over an empty store, or over a Kubo in which other tests have left blocks and pins."""

    @asynccontextmanager
    async def fake() -> AsyncIterator[Blocks]:
        yield FakeBlocks()

    @asynccontextmanager
    async def embedded() -> AsyncIterator[Blocks]:
        async with open_node(FakeSwarm(), tmp_path) as node:
            store = BlockStore(tmp_path / "content", 10_000_000)
            yield EmbeddedBlocks(store, database=node.database, network=node.network)

    @asynccontextmanager
    async def in_kubo() -> AsyncIterator[Blocks]:
        api = KuboApi(kubo_url)
        async with Database.open(tmp_path / "node.db") as database:
            yield KuboBlocks(api, database=database)
        await api.close()

    kubo_url = request.getfixturevalue("kubo").rpc_url() if request.param == "kubo" else ""
    return {"fake": fake, "embedded": embedded, "kubo": in_kubo}[request.param]


async def here(blocks: Blocks, *cids: Cid) -> list[bool]:
    return [await blocks.has(cid) for cid in cids]


def run(opened: Open, test: Callable[[Blocks], Awaitable[Any]]) -> None:
    async def main() -> None:
        async with opened() as blocks:
            await test(blocks)

    asyncio.run(main())


def test_what_was_put_comes_back(opened: Open) -> None:
    async def test(blocks: Blocks) -> None:
        root, chunks = build_file(os.urandom(300_000), chunk_bytes=65536)
        pairs = [*chunks.items(), raw(), raw(b""), naming(root)]
        await keep(blocks, *pairs)
        await keep(blocks, *pairs)
        assert [await blocks.get(cid) for cid, _ in pairs] == [block for _, block in pairs]
        assert await here(blocks, root, raw()[0]) == [True, False]
        assert await blocks.get(raw()[0]) is None

    run(opened, test)


def test_a_block_that_is_not_its_cids_is_refused(opened: Open) -> None:
    async def test(blocks: Blocks) -> None:
        good, bad = raw(), (raw()[0], b"other")
        with pytest.raises(BlockMismatch):
            await keep(blocks, good, bad)
        assert await here(blocks, good[0], bad[0]) == [False, False]

    run(opened, test)


def test_rolling_back_takes_what_the_hold_alone_brought(opened: Open) -> None:
    async def test(blocks: Blocks) -> None:
        older, own, shared = raw(), raw(), raw()
        await keep(blocks, older)
        async with blocks.hold() as hold, blocks.hold() as other:
            await hold.put_many([older, own, shared])
            await other.keep([shared[0]])
            await hold.roll_back()
            assert await here(blocks, older[0], own[0], shared[0]) == [True, False, True]

    run(opened, test)


def test_pins_are_listed_oldest_first_and_changed_in_place(opened: Open) -> None:
    async def test(blocks: Blocks) -> None:
        one, two, three = raw(), raw(), raw()
        root = naming(one[0], two[0])
        await keep(blocks, one, two, three, root)
        await blocks.pin(one[0], "direct", "first")
        await blocks.pin(root[0], "recursive", "second")
        await blocks.pin(three[0], "direct")
        await blocks.pin(one[0], "recursive", "renamed")
        await blocks.pin(root[0], "direct", "second")
        page = await blocks.pins(limit=2)
        assert [(pin.cid, pin.kind, pin.name) for pin in page.items] == [
            (one[0], "recursive", "renamed"),
            (root[0], "direct", "second"),
        ]
        rest = await blocks.pins(limit=2, after=page.next)
        assert [(pin.cid, pin.name) for pin in rest.items] == [(three[0], None)]
        assert [pin.cid for pin in (await blocks.pins(limit=9, kind="recursive")).items] == [one[0]]
        assert [pin.cid for pin in (await blocks.pins(limit=9, name="second")).items] == [root[0]]
        assert await blocks.unpin(one[0])
        assert not await blocks.unpin(one[0])
        assert [pin.cid for pin in (await blocks.pins(limit=9)).items] == [root[0], three[0]]

    run(opened, test)


def test_what_is_not_here_cannot_be_pinned(opened: Open) -> None:
    async def test(blocks: Blocks) -> None:
        with pytest.raises(ContentUnavailable):
            await blocks.pin(raw()[0], "recursive")
        assert (await blocks.pins(limit=9)).items == ()

    run(opened, test)


def test_a_collection_takes_only_what_nothing_needs(opened: Open) -> None:
    async def test(blocks: Blocks) -> None:
        file, chunks = build_file(os.urandom(50_000), chunk_bytes=4096)
        below_direct, needed, held, useless = raw(), raw(), raw(), raw()
        direct, root, held_root = naming(below_direct[0]), naming(needed[0]), naming(useless[0])
        await keep(blocks, *chunks.items(), below_direct, needed, held, useless, direct, root, held_root)
        await blocks.pin(file, "recursive")
        await blocks.pin(direct[0], "direct")

        async def also() -> Collection[Cid]:
            return [root[0], raw()[0]]

        async with blocks.hold() as hold:
            await hold.keep([held[0], held_root[0], raw()[0]])
            collected = await blocks.collect(also)
        assert collected.blocks >= 2
        assert await here(blocks, *chunks, direct[0], root[0], needed[0], held[0], held_root[0]) == [True] * (
            len(chunks) + 5
        )
        assert await here(blocks, below_direct[0], useless[0]) == [False, False]
        await blocks.unpin(file)
        await blocks.collect()
        assert await here(blocks, *chunks, direct[0], root[0], needed[0], held[0]) == [False] * len(chunks) + [
            True,
            False,
            False,
            False,
        ]

    run(opened, test)


def test_a_block_whose_links_cannot_be_read_can_be_kept(opened: Open) -> None:
    async def test(blocks: Blocks) -> None:
        broken = os.urandom(50)
        cid = Cid.of(CODEC_DAG_PB, broken)
        await keep(blocks, (cid, broken))
        assert await blocks.get(cid) == broken

    run(opened, test)


def test_nobody_has_what_nobody_has(opened: Open) -> None:
    async def test(blocks: Blocks) -> None:
        assert await blocks.fetch([]) == {}

    run(opened, test)


def test_the_owner_is_told_how_much_there_is(opened: Open) -> None:
    async def test(blocks: Blocks) -> None:
        before = await blocks.usage()
        await keep(blocks, raw(os.urandom(200_000)))
        after = await blocks.usage()
        assert after.size_bytes >= before.size_bytes + 200_000
        assert after.quota_bytes == before.quota_bytes > after.size_bytes
        assert blocks.backend in await blocks.check()

    run(opened, test)
