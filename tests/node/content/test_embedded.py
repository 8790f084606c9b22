import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from identity.cid import Cid
from identity.did import PeerId
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_PB, CODEC_RAW
from node.content.blocks import Collected, Roots
from node.content.embedded import EmbeddedBlocks, Providers
from node.content.errors import PinBroken
from protocols import dag_cbor
from protocols.unixfs.layout import build_file
from storage.blocks import BlockStore
from storage.errors import StorageFull
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, open_node

QUOTA = 100_000


def raw(data: bytes) -> tuple[Cid, bytes]:
    return Cid.of(CODEC_RAW, data), data


def naming(*cids: Cid) -> tuple[Cid, bytes]:
    block = dag_cbor.encode([bytes(cid) for cid in cids])
    return Cid.of(CODEC_DAG_CBOR, block), block


async def keep(blocks: EmbeddedBlocks, *pairs: tuple[Cid, bytes]) -> None:
    async with blocks.hold() as hold:
        await hold.put_many(pairs)


def naming_roots(*cids: Cid) -> Callable[[], Awaitable[Collection[Cid]]]:
    async def roots() -> Collection[Cid]:
        return cids

    return roots


@dataclass(frozen=True, slots=True)
class Parts:
    node: Node
    store: BlockStore
    blocks: EmbeddedBlocks


@asynccontextmanager
async def embedded(
    home: Path, *, roots: Roots | None = None, swarm: FakeSwarm | None = None, providers: Providers | None = None
) -> AsyncIterator[Parts]:
    """The backend over a store of QUOTA bytes."""
    async with open_node(swarm or FakeSwarm(), home) as node:
        store = BlockStore(home / "content", QUOTA)
        blocks = EmbeddedBlocks(store, database=node.database, network=node.network, roots=roots, providers=providers)
        yield Parts(node, store, blocks)
        store.close()


def test_all_of_a_file_is_kept_by_its_recursive_pin(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path / "twin") as parts:
            blocks, store = parts.blocks, parts.store
            root, chunks = build_file(os.urandom(50_000), chunk_bytes=4096)
            other, others = build_file(os.urandom(20_000), chunk_bytes=4096)
            await keep(blocks, *chunks.items(), *others.items())
            await blocks.pin(root, "recursive", "mine")
            await blocks.pin(other, "direct")
            gone = len(others) - 1
            assert (await blocks.collect()).blocks == gone
            assert set(store.cids()) == {*chunks, other}

    asyncio.run(main())


def test_a_leaf_that_is_missing_below_a_pin_and_what_cannot_be_read_are_no_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path / "twin") as parts:
            blocks, store = parts.blocks, parts.store
            leaf = raw(b"leaf")
            broken = Cid.of(CODEC_DAG_PB, b"no protobuf"), b"no protobuf"
            unknown = Cid.of(0x1234, b"what?"), b"what?"
            root = naming(leaf[0], broken[0], unknown[0], raw(b"missing")[0])
            await keep(blocks, leaf, broken, unknown, root)
            await blocks.pin(root[0], "recursive")
            assert await blocks.collect() == Collected(0, 0)
            assert store.count == 4

    asyncio.run(main())


def test_what_a_lost_block_of_a_pin_names_is_not_collected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One bad sector in a folder must not cost all that is in it."""

    async def main() -> None:
        async with embedded(tmp_path / "twin") as parts:
            blocks, store = parts.blocks, parts.store
            leaf = raw(b"the only copy")
            folder = naming(leaf[0])
            root = naming(folder[0])
            await keep(blocks, leaf, folder, root, raw(bytes(2_000)))
            await blocks.pin(root[0], "recursive")
            store.delete(folder[0])
            with pytest.raises(PinBroken, match=f"{folder[0]} is lost or damaged.*{root[0]}"):
                await blocks.collect()
            await keep(blocks, raw(bytes(95_000)))  # near the quota a collection would come first
            assert "cannot be cleaned" in caplog.text
            with pytest.raises(StorageFull):
                await keep(blocks, raw(bytes(5_001)))
            assert store.count == 4
            await keep(blocks, folder)
            assert await blocks.collect() == Collected(2, 97_000)
            assert await blocks.get(leaf[0]) == leaf[1]
            store.delete(folder[0])
            await blocks.unpin(root[0])
            assert (await blocks.collect()).blocks == 2

    asyncio.run(main())


def test_a_pin_that_comes_while_a_collection_looks_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path / "twin") as parts:
            blocks, store = parts.blocks, parts.store
            leaf = raw(b"leaf")
            root = naming(leaf[0])

            async def pin_meanwhile() -> Collection[Cid]:
                async with blocks.hold() as hold:
                    await hold.put_many([leaf, root])
                    await blocks.pin(root[0], "recursive")
                return ()

            await blocks.collect(pin_meanwhile)
            assert set(store.cids()) == {leaf[0], root[0]}

    asyncio.run(main())


def test_near_the_quota_what_nothing_needs_goes_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path / "twin") as parts:
            blocks, store = parts.blocks, parts.store
            pinned, useless, new = raw(os.urandom(40_000)), raw(os.urandom(45_000)), raw(os.urandom(50_000))
            await keep(blocks, pinned, useless)
            await blocks.pin(pinned[0], "direct")
            await keep(blocks, new)
            assert set(store.cids()) == {pinned[0], new[0]}
            await blocks.pin(new[0], "direct")
            with pytest.raises(StorageFull):
                await keep(blocks, raw(os.urandom(10_001)))
            await keep(blocks, raw(os.urandom(10_000)))
            assert store.size_bytes == QUOTA

    asyncio.run(main())


def test_a_full_store_does_not_collect_for_every_block(tmp_path: Path) -> None:
    async def main() -> None:
        asked = 0

        async def roots() -> Collection[Cid]:
            nonlocal asked
            asked += 1
            return [cid for cid, _ in kept]

        kept = [raw(os.urandom(1000)) for _ in range(91)]
        async with embedded(tmp_path / "twin", roots=roots) as parts:
            blocks, store = parts.blocks, parts.store
            await keep(blocks, *kept[:90])
            for pair in [raw(os.urandom(100)) for _ in range(10)]:
                await keep(blocks, pair)
            assert asked == 1
            await keep(blocks, kept[90])
            assert asked == 2
            assert {cid for cid, _ in kept} <= set(store.cids())

    asyncio.run(main())


def test_a_collection_that_is_cancelled_takes_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path / "twin") as parts:
            blocks, store = parts.blocks, parts.store
            await keep(blocks, raw(b"useless"))
            asked = asyncio.Event()

            async def never() -> Collection[Cid]:
                asked.set()
                await asyncio.Event().wait()
                return ()

            collection = asyncio.create_task(blocks.collect(never))
            await asked.wait()
            collection.cancel()
            with pytest.raises(asyncio.CancelledError):
                await collection
            assert store.count == 1
            assert await blocks.collect() == Collected(1, 7)

    asyncio.run(main())


def test_the_loop_goes_on_while_a_collection_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with embedded(tmp_path / "twin") as parts:
            blocks, store = parts.blocks, parts.store
            await keep(blocks, raw(b"useless"))
            goes_on = threading.Event()
            remove = store._remove

            def remove_once_the_loop_went_on(cids: Collection[Cid]) -> tuple[int, int]:
                assert goes_on.wait(10)
                return remove(cids)

            monkeypatch.setattr(store, "_remove", remove_once_the_loop_went_on)
            collection = asyncio.create_task(blocks.collect())
            for _ in range(3):
                await asyncio.sleep(0)
            goes_on.set()
            assert await collection == Collected(1, 7)

    asyncio.run(main())


def test_blocks_come_from_the_peers_and_then_from_those_who_provide_them(tmp_path: Path) -> None:
    async def main() -> None:
        swarm = FakeSwarm()
        async with embedded(tmp_path / "twin", swarm=swarm) as parts:
            node, store = parts.node, parts.store
            one, two, nowhere = raw(b"one"), raw(b"two"), raw(b"nowhere")
            async with open_node(swarm, tmp_path / "peer") as peer, open_node(swarm, tmp_path / "provider") as provider:
                peer.blocks.put(*one)
                provider.blocks.put(*two)
                await node.dial(peer)
                asked: list[Cid] = []

                async def providers(cid: Cid) -> Sequence[PeerId]:
                    asked.append(cid)
                    await node.dial(provider)
                    return [provider.peer_id]

                blocks = EmbeddedBlocks(store, database=node.database, network=node.network, providers=providers)
                assert await blocks.fetch([one[0]]) == dict([one])
                assert asked == []
                assert await blocks.fetch([one[0], two[0]]) == dict([one, two])
                assert asked == [two[0]]
                assert await blocks.fetch([nowhere[0]]) == {}
                assert store.count == 0

    asyncio.run(main())


def test_without_anybody_nothing_is_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path / "twin") as parts:
            assert await parts.blocks.fetch([raw(b"one")[0]]) == {}

    asyncio.run(main())


def test_collections_of_two_over_one_store_take_turns(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path / "twin") as parts:
            other = EmbeddedBlocks(parts.store, database=parts.node.database, network=parts.node.network)
            await keep(parts.blocks, raw(b"useless"))
            asked, go_on = asyncio.Event(), asyncio.Event()

            async def wait() -> Collection[Cid]:
                asked.set()
                await go_on.wait()
                return ()

            first = asyncio.create_task(parts.blocks.collect(wait))
            await asked.wait()
            second = asyncio.create_task(other.collect())
            third = asyncio.create_task(other.collect())
            for _ in range(5):
                await asyncio.sleep(0)  # the loop is not held up by who waits
            third.cancel()
            go_on.set()
            assert await first == Collected(1, 7)
            assert await second == Collected(0, 0)
            assert await parts.blocks.collect() == Collected(0, 0)

    asyncio.run(main())


def test_what_is_named_a_thousand_times_waits_once_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain whose every block names the same leaves: a stranger's, perhaps, that somebody pinned."""

    async def main() -> None:
        async with embedded(tmp_path) as parts:
            leaves = [naming(raw(bytes([number]))[0])[0] for number in range(50)]
            chain = [naming(*leaves)]
            for _ in range(20):
                chain.append(naming(*leaves, chain[-1][0]))
            await keep(parts.blocks, *chain)
            most, walk = 0, parts.blocks._walk

            def measured(to_read: dict[Cid, None], live: set[Cid], lost: set[Cid]) -> None:
                nonlocal most
                walk(to_read, live, lost)
                most = max(most, len(to_read))

            monkeypatch.setattr("node.content.embedded._READ_AT_ONCE", 1)
            monkeypatch.setattr(parts.blocks, "_walk", measured)
            assert await parts.blocks.collect(naming_roots(chain[-1][0])) == Collected(0, 0)
            assert 0 < most <= len(leaves) + 1

    asyncio.run(main())


def test_a_pin_whose_caller_goes_away_holds_its_blocks_until_its_row_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with embedded(tmp_path) as parts:
            cid, block = raw(b"tide")
            write, writing, go_on = parts.node.database.write, asyncio.Event(), asyncio.Event()

            async def slowly(fn: Callable[[Connection], Any]) -> Any:
                writing.set()
                await go_on.wait()
                return await write(fn)

            async def put_and_pin() -> None:
                async with parts.blocks.hold() as hold:
                    await hold.put_many([(cid, block)])
                    await parts.blocks.pin(cid, "recursive")

            monkeypatch.setattr(parts.node.database, "write", slowly)
            pinning = asyncio.create_task(put_and_pin())
            await writing.wait()
            pinning.cancel()
            assert await parts.blocks.collect() == Collected(0, 0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await pinning
            assert [pin.cid for pin in (await parts.blocks.pins(limit=9)).items] == [cid]
            assert await parts.blocks.collect() == Collected(0, 0)
            assert await parts.blocks.get(cid) == block

    asyncio.run(main())
