import asyncio
import os
from collections.abc import Sequence

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_PB, CODEC_RAW
from node.content.walking import Fetched, Progress, fetch_dag
from node.errors import ContentTooLarge, ContentUnavailable
from protocols import dag_cbor, limits
from protocols.errors import MalformedMessage
from protocols.ipld import dag_pb
from protocols.ipld.dag_pb import PbLink
from protocols.ipld.errors import UnknownCodec
from protocols.unixfs.layout import build_file
from storage.errors import StorageFull
from tests.node.content.fake_blocks import FakeBlocks

DATA = os.urandom(10_000_000)
CHUNK = 100_000
BLOCKS = 101


def two(quota_bytes: int = 1024**3) -> tuple[Cid, FakeBlocks, FakeBlocks]:
    """A file that is there, and an empty place here."""
    root, blocks = build_file(DATA, chunk_bytes=CHUNK)
    there = FakeBlocks()
    there.keep_all(blocks)
    return root, there, FakeBlocks(elsewhere=there, quota_bytes=quota_bytes)


async def fetch(blocks: FakeBlocks, root: Cid, said: list[Progress] | None = None) -> Fetched:
    async with blocks.hold() as hold:
        return await fetch_dag(blocks, hold, root, report=None if said is None else said.append)


def test_a_whole_file_comes_in_calls_of_many_blocks_several_at_a_time() -> None:
    async def main() -> None:
        root, there, here = two()
        under_way, most = 0, 0

        async def count(_: Sequence[Cid]) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

        here.before_fetch = count
        said: list[Progress] = []
        fetched = await fetch(here, root, said)
        assert here.kept == there.kept
        assert fetched == Fetched(BLOCKS, there.size_bytes, BLOCKS, there.size_bytes)
        assert most == limits.MAX_FETCH_CALLS
        assert max(map(len, here.asked)) == limits.BLOCKS_PER_FETCH
        assert len(here.asked) == 8
        assert said[-1] == Progress(BLOCKS, there.size_bytes, there.size_bytes)
        assert said == sorted(said, key=lambda progress: progress.blocks)

    asyncio.run(main())


def test_what_is_here_is_not_asked_for_again() -> None:
    async def main() -> None:
        root, there, here = two()
        cids = list(there.kept)
        here.keep_all({cid: there.kept[cid] for cid in cids[5:30]})
        fetched = await fetch(here, root)
        assert {cid for call in here.asked for cid in call} == {*cids[:5], *cids[30:]}
        assert (fetched.blocks, fetched.new_blocks) == (BLOCKS, BLOCKS - 25)

    asyncio.run(main())


def test_what_came_stays_when_the_peer_goes_and_the_next_time_goes_on() -> None:
    async def main() -> None:
        root, there, here = two()

        async def leave(_: Sequence[Cid]) -> None:
            if len(here.asked) == 6:
                here.elsewhere = None

        here.before_fetch = leave
        with pytest.raises(ContentUnavailable, match="that are here stay"):
            await fetch(here, root)
        came = len(here.kept)
        assert 1 < came < BLOCKS
        here.elsewhere, here.before_fetch = there, None
        here.asked.clear()
        assert (await fetch(here, root)).new_blocks == BLOCKS - came
        assert sum(map(len, here.asked)) == BLOCKS - came

    asyncio.run(main())


def test_a_peer_that_gives_a_few_of_each_call_is_asked_on() -> None:
    async def main() -> None:
        root, there, _ = two()

        class Stingy(FakeBlocks):
            async def fetch(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
                return await super().fetch(cids[:3])

        stingy = Stingy(elsewhere=there)
        await fetch(stingy, root)
        assert stingy.kept == there.kept

    asyncio.run(main())


def test_nobody_has_it() -> None:
    async def main() -> None:
        blocks = FakeBlocks(elsewhere=FakeBlocks())
        with pytest.raises(ContentUnavailable):
            await fetch(blocks, Cid.of(CODEC_RAW, b"nowhere"))
        assert len(blocks.asked) == 1

    asyncio.run(main())


def test_what_says_that_it_is_too_large_is_not_fetched() -> None:
    async def main() -> None:
        root, there, here = two(quota_bytes=5_000_000)
        with pytest.raises(StorageFull, match="quota"):
            await fetch(here, root)
        assert len(here.asked) == 1
        liar = dag_pb.encode([PbLink(cid, "", 0) for cid in there.kept if cid != root], b"\x08\x02")
        lied = Cid.of(CODEC_DAG_PB, liar)
        there.keep_all({lied: liar})
        with pytest.raises(StorageFull):
            await fetch(here, lied)
        assert here.size_bytes <= 5_000_000

    asyncio.run(main())


def chain(blocks: FakeBlocks, length: int) -> Cid:
    """Blocks each of which names the one before."""
    block = dag_cbor.encode({"n": 0})
    for _ in range(length):
        cid = Cid.of(CODEC_DAG_CBOR, block)
        blocks.keep_all({cid: block})
        block = dag_cbor.encode({"next": bytes(cid)})
    cid = Cid.of(CODEC_DAG_CBOR, block)
    blocks.keep_all({cid: block})
    return cid


def test_too_many_blocks_and_too_long_a_chain_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        there = FakeBlocks()
        root = chain(there, 50)
        assert (await fetch(FakeBlocks(elsewhere=there), root)).blocks == 51
        monkeypatch.setattr(limits, "MAX_DAG_DEPTH", 40)
        with pytest.raises(ContentTooLarge):
            await fetch(FakeBlocks(elsewhere=there), root)
        monkeypatch.undo()
        monkeypatch.setattr(limits, "MAX_DAG_BLOCKS", 40)
        with pytest.raises(ContentTooLarge):
            await fetch(FakeBlocks(elsewhere=there), root)

    asyncio.run(main())


def test_blocks_that_cannot_be_read_end_the_transfer() -> None:
    async def main() -> None:
        there = FakeBlocks()
        for codec, error in (
            (CODEC_DAG_CBOR, MalformedMessage),
            (CODEC_DAG_PB, MalformedMessage),
            (0x71FF, UnknownCodec),
        ):
            cid = Cid.of(codec, b"\xff\xff nonsense")
            there.keep_all({cid: b"\xff\xff nonsense"})
            with pytest.raises(error):
                await fetch(FakeBlocks(elsewhere=there), cid)

    asyncio.run(main())


def test_a_file_of_one_block_many_times_is_fetched_once() -> None:
    async def main() -> None:
        root, blocks = build_file(bytes(30_000_000))
        there = FakeBlocks()
        there.keep_all(blocks)
        here = FakeBlocks(elsewhere=there)
        await fetch(here, root)
        assert here.kept == blocks
        assert sum(map(len, here.asked)) == len(blocks)

    asyncio.run(main())
