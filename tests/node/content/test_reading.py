import asyncio
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW
from node.content.content import Content
from node.content.errors import RangeUnsatisfiable, WrongKind
from node.errors import ContentUnavailable
from protocols import dag_cbor, limits
from protocols.ipld.errors import NoSuchEntry, UnusablePath
from protocols.unixfs.layout import build_file
from tests.node.content.content_parts import content_over, pieces, tar_of
from tests.node.content.fake_blocks import FakeBlocks

DATA = os.urandom(300_000)
CHUNK = 1000


async def cat(content: Content, path: Cid | str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([piece async for piece in content.cat(path, start, length)])


@given(st.integers(0, len(DATA)), st.none() | st.integers(0, len(DATA) + 10))
def test_any_range_of_a_file_that_is_elsewhere(start: int, length: int | None) -> None:
    async def main() -> None:
        root, blocks = build_file(DATA, chunk_bytes=CHUNK)
        there = FakeBlocks()
        there.keep_all(blocks)
        here = FakeBlocks(elsewhere=there)
        stop = len(DATA) if length is None else start + length
        assert await cat(content_over(here), root, start, length) == DATA[start:stop]
        assert here.kept == {}

    asyncio.run(main())


def test_a_range_asks_for_no_more_than_it_needs() -> None:
    async def main() -> None:
        root, blocks = build_file(DATA, chunk_bytes=CHUNK)
        there = FakeBlocks()
        there.keep_all(blocks)
        here = FakeBlocks(elsewhere=there)
        assert await cat(content_over(here), root, 150_500, 2000) == DATA[150_500:152_500]
        asked = {cid for call in here.asked for cid in call}
        assert len([cid for cid in asked if cid.codec == CODEC_RAW]) == 3

    asyncio.run(main())


def test_reading_goes_ahead_in_calls_of_many_and_no_further_than_its_window() -> None:
    async def main() -> None:
        root, blocks = build_file(DATA, chunk_bytes=CHUNK)
        there = FakeBlocks()
        there.keep_all(blocks)
        here = FakeBlocks(elsewhere=there)
        reading = content_over(here).cat(root)
        for _ in range(10):
            await anext(reading)
        asked = [cid for call in here.asked for cid in call]
        assert len(asked) == len(set(asked)) < 10 + limits.MAX_READ_AHEAD + limits.BLOCKS_PER_FETCH
        await reading.aclose()
        assert len(asyncio.all_tasks()) == 1
        here.asked.clear()
        await cat(content_over(here), root)
        assert len(here.asked) < len(blocks) / 6

    asyncio.run(main())


def test_a_peer_that_gives_only_a_part_of_a_call_is_asked_again() -> None:
    async def main() -> None:
        root, blocks = build_file(DATA, chunk_bytes=CHUNK)

        class Stingy(FakeBlocks):
            async def fetch(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
                return await super().fetch(cids[:5])

        there = FakeBlocks()
        there.keep_all(blocks)
        assert await cat(content_over(Stingy(elsewhere=there)), root) == DATA
        del there.kept[list(blocks)[200]]
        with pytest.raises(ContentUnavailable):
            await cat(content_over(Stingy(elsewhere=there)), root)

    asyncio.run(main())


def test_a_start_behind_the_end_is_said() -> None:
    async def main() -> None:
        content = content_over(FakeBlocks())
        cid, _ = await content.add(b"tide")
        assert await cat(content, cid, 4) == b""
        with pytest.raises(RangeUnsatisfiable) as caught:
            await cat(content, cid, 5)
        assert caught.value.size_bytes == 4

    asyncio.run(main())


def test_paths_kinds_and_what_is_not_there() -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        content = content_over(blocks)
        added = await content.add_tree(pieces(tar_of({"sub/tide.txt": b"tide", "link": "sub"})))
        assert await cat(content, f"{added.cid}/sub/tide.txt", 1, 2) == b"id"
        for path, error in (
            (f"{added.cid}/sub", WrongKind),
            (f"{added.cid}", WrongKind),
            (f"{added.cid}/link", WrongKind),
            (f"{added.cid}/none", NoSuchEntry),
            (f"{added.cid}/../x", UnusablePath),
            ("nonsense/x", UnusablePath),
        ):
            with pytest.raises(error):
                await cat(content, path)
        with pytest.raises(WrongKind):
            await content.ls(f"{added.cid}/sub/tide.txt", limit=1)
        stat = await content.stat(f"{added.cid}/link")
        assert (stat.kind, stat.target, stat.codec, stat.here) == ("symlink", "sub", "dag-pb", True)
        stat = await content.stat(added.cid)
        assert (stat.kind, stat.links, stat.total_bytes) == ("folder", 2, blocks.size_bytes)

    asyncio.run(main())


def test_a_block_of_data_is_read_as_it_is() -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        block = dag_cbor.encode({"tide": "high"})
        cid = Cid.of(CODEC_DAG_CBOR, block)
        blocks.keep_all({cid: block})
        assert await cat(content_over(blocks), cid) == block
        assert await cat(content_over(blocks), cid, 1, 3) == block[1:4]
        stat = await content_over(blocks).stat(cid)
        assert (stat.kind, stat.codec, stat.size_bytes, stat.total_bytes) == ("data", "dag-cbor", len(block), None)

    asyncio.run(main())


def test_a_folder_of_thousands_is_listed_by_pages() -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        names = sorted(f"{number:04}-{'n' * 60}" for number in range(3000))
        added = await content_over(blocks).add_tree(pieces(tar_of({name: name[:4].encode() for name in names})))
        here = FakeBlocks(elsewhere=blocks)
        found: list[str] = []
        after: str | None = None
        while True:
            page = await content_over(here).ls(added.cid, limit=1000, after=after)
            found += [entry.name for entry in page.items]
            after = page.next
            if after is None:
                break
        assert found == names
        assert await cat(content_over(here), f"{added.cid}/{names[1234]}") == b"1234"
        assert len(blocks.kept) > 3100

    asyncio.run(main())


def test_an_entry_that_nobody_has_is_listed_all_the_same() -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        content = content_over(blocks)
        added = await content.add_tree(pieces(tar_of({"sub/tide.txt": b"tide"})))
        folder = await content.resolve(f"{added.cid}/sub")
        del blocks.kept[folder]
        (entry,) = (await content.ls(added.cid, limit=5)).items
        assert (entry.name, entry.cid, entry.kind, entry.size_bytes) == ("sub", folder, None, None)

    asyncio.run(main())
