"""The content service over the port: what is acknowledged is whole and pinned, what fails leaves nothing behind."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Collection, Sequence

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_RAW
from node.content import content as content_module
from node.content.content import Content
from node.content.errors import CarRefused, NotPinned, TreeRefused
from node.errors import ContentTooLarge, ContentUnavailable
from protocols import dag_cbor
from protocols.errors import MalformedMessage
from protocols.ipld.car import car_header, car_section
from protocols.ipld.errors import UnusableName
from protocols.unixfs.layout import CHUNK_BYTES, build_file
from storage.errors import StorageFull
from tests.node.content.content_parts import broken_off, content_over, pieces, tar_of
from tests.node.content.fake_blocks import FakeBlocks

TREE: dict[str, bytes | str | None] = {"a.txt": b"tide", "sub": None, "sub/b.bin": bytes(300_000), "link": "sub/b.bin"}

CAR_SHA256 = "a762d82e2b6fbbe2a69cbb6100583e9b3622e5a7425fdf3d14e2dd3d4695cfbc"


def test_what_is_added_is_pinned_and_comes_back() -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        content = content_over(blocks)
        for data in (b"", b"tide", os.urandom(3 * CHUNK_BYTES + 5)):
            cid, size_bytes = await content.add(data)
            assert size_bytes == len(data)
            assert await content.read(cid) == data
            assert blocks.pinned[cid].kind == "recursive"

    asyncio.run(main())


@pytest.mark.parametrize("chunk_bytes", [CHUNK_BYTES, 1024 * 1024])
@pytest.mark.parametrize("piece_bytes", [1000, 65536, 3_000_000])
def test_a_stream_has_the_cid_of_its_bytes(chunk_bytes: int, piece_bytes: int) -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        data = os.urandom(2_500_000)
        added = await content_over(blocks).add_stream(pieces(data, piece_bytes), chunk_bytes=chunk_bytes, name="tides")
        expected, wanted = build_file(data, chunk_bytes=chunk_bytes)
        assert (added.cid, added.size_bytes) == (expected, len(data))
        assert blocks.kept == wanted
        assert added.total_bytes == blocks.size_bytes
        assert blocks.pinned[added.cid].name == "tides"

    asyncio.run(main())


def test_a_folder_has_the_cid_that_kubo_gives_it() -> None:
    """`ipfs add -r --cid-version=1` (Kubo v0.43.0) of a.txt ("tide"), sub/b.bin (300,000 zeros), link -> sub/b.bin."""

    async def main() -> None:
        content = content_over(FakeBlocks())
        added = await content.add_tree(pieces(tar_of(TREE)))
        assert str(added.cid) == "bafybeig7eij7qyr3r54q6mpe7jtmkwa2mj2jyizqs2h2mbzvradowkveku"
        assert added.size_bytes == 300_004
        listed = await content.ls(added.cid, limit=10)
        assert [(entry.name, entry.kind, entry.size_bytes, entry.target) for entry in listed.items] == [
            ("a.txt", "file", 4, None),
            ("link", "symlink", 0, "sub/b.bin"),
            ("sub", "folder", 0, None),
        ]
        assert await content.read(f"{added.cid}/sub/b.bin") == bytes(300_000)
        without_folders = {name: value for name, value in TREE.items() if value is not None}
        shuffled = {f"./{name}": value for name, value in reversed(without_folders.items())}
        assert (await content.add_tree(pieces(tar_of(shuffled)))).cid == added.cid

    asyncio.run(main())


def test_wrapping_puts_it_into_a_folder() -> None:
    async def main() -> None:
        content = content_over(FakeBlocks())
        added = await content.add_stream(pieces(b"tide"), wrap="a.txt")
        assert str(added.cid) == "bafybeib6zm2myiyoqkqccmolcj4twosc4scwv6k6r7wz3ah77yzer6qkv4"  # `ipfs add -w`
        assert added.size_bytes == 4
        assert await content.read(f"/ipfs/{added.cid}/a.txt") == b"tide"
        folder = await content.add_tree(pieces(tar_of(TREE)), wrap="tides")
        assert await content.read(f"{folder.cid}/tides/a.txt") == b"tide"
        with pytest.raises(UnusableName):
            await content.add_stream(pieces(b"tide"), wrap="..")

    asyncio.run(main())


def test_what_is_not_pinned_goes_with_the_next_collection() -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        content = content_over(blocks)
        kept = await content.add_stream(pieces(b"kept"))
        loose = await content.add_stream(pieces(os.urandom(600_000)), pin=False)
        collected = await content.collect()
        assert collected.size_bytes > 600_000
        assert collected.blocks == 4
        assert set(blocks.kept) == {kept.cid}
        with pytest.raises(ContentUnavailable):
            await content.read(loose.cid)

    asyncio.run(main())


BAD_TREES: list[dict[str, bytes | str | None]] = [
    {"/etc/passwd": b"x"},
    {"../out": b"x"},
    {"a": b"x", "./a": b"y"},
    {"a": b"x", "a/b": b"y"},
    {"link": "/etc/passwd"},
    {"sub/link": "../../out"},
    {".": b"x"},
]


@pytest.mark.parametrize("bad", BAD_TREES, ids=lambda tree: "+".join(tree))
def test_a_folder_that_is_refused_leaves_nothing(bad: dict[str, bytes | str | None]) -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        with pytest.raises(TreeRefused):
            await content_over(blocks).add_tree(pieces(tar_of({"big": os.urandom(9_000_000), **bad})))
        assert (blocks.kept, blocks.pinned, +blocks.held) == ({}, {}, {})

    asyncio.run(main())


def test_a_tree_with_too_many_entries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.limits.MAX_TREE_ENTRIES", 3)

    async def main() -> None:
        content = content_over(FakeBlocks())
        with pytest.raises(TreeRefused, match="3 entries"):
            await content.add_tree(pieces(tar_of({str(n): b"" for n in range(4)})))
        await content.add_tree(pieces(tar_of({str(n): b"" for n in range(3)})))

    asyncio.run(main())


@pytest.mark.parametrize("size", [100_000, 30_000_000])
def test_an_upload_that_breaks_off_leaves_nothing(size: int) -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        with pytest.raises(ConnectionResetError):
            await content_over(blocks).add_stream(broken_off(bytes(size), ConnectionResetError()))
        assert (blocks.kept, blocks.pinned, +blocks.held) == ({}, {}, {})

    asyncio.run(main())


def test_a_full_disk_in_the_middle_leaves_nothing_of_this_add() -> None:
    async def main() -> None:
        blocks = FakeBlocks(quota_bytes=20_000_000)
        content = content_over(blocks)
        first, _ = await content.add(shared := os.urandom(1_000_000))
        before = dict(blocks.kept)
        with pytest.raises(StorageFull):
            await content.add_stream(pieces(shared + os.urandom(30_000_000)))
        assert blocks.kept == before
        assert set(blocks.pinned) == {first}
        assert (content.counters["content_taken"], content.counters["content_not_taken"]) == (1, 1)
        assert await content.read(first) == shared

    asyncio.run(main())


def test_a_cancelled_add_leaves_nothing() -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield os.urandom(262_144)
            begun.set()
            await asyncio.Event().wait()

        adding = asyncio.create_task(content_over(blocks).add_stream(endless()))
        await begun.wait()
        assert blocks.kept
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert (blocks.kept, blocks.pinned, +blocks.held) == ({}, {}, {})

    asyncio.run(main())


def test_a_pin_that_was_made_keeps_its_blocks_although_the_caller_went_away() -> None:
    async def main() -> None:
        class Slow(FakeBlocks):
            async def pin(self, cid: Cid, *more: object) -> None:  # type: ignore[override]
                pinning.set()
                await go_on.wait()
                await super().pin(cid, "recursive")

        pinning, go_on = asyncio.Event(), asyncio.Event()
        blocks = Slow()
        adding = asyncio.create_task(content_over(blocks).add(b"tide"))
        await pinning.wait()
        adding.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert set(blocks.pinned) == set(blocks.kept) == {Cid.of(CODEC_RAW, b"tide")}

    asyncio.run(main())


def test_reading_whole_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_module, "MAX_READ_BYTES", 3)

    async def main() -> None:
        content = content_over(FakeBlocks())
        cid, _ = await content.add(b"tide")
        with pytest.raises(ContentTooLarge):
            await content.read(cid)
        assert b"".join([piece async for piece in content.cat(cid)]) == b"tide"

    asyncio.run(main())


def test_a_pin_fetches_first() -> None:
    async def main() -> None:
        there, here = FakeBlocks(), FakeBlocks()
        cid, _ = await content_over(there).add(os.urandom(1_000_000))
        content = content_over(here)
        with pytest.raises(ContentUnavailable):
            await content.pin(cid)
        assert not here.pinned
        assert content.counters["content_fetches_failed"] == 1
        here.elsewhere = there
        fetched = await content.pin(cid, name="tides")
        assert here.kept == there.kept
        assert (fetched.new_blocks, fetched.blocks) == (5, 5)
        assert [(pin.cid, pin.name) for pin in (await content.pins(limit=9, name="tides")).items] == [(cid, "tides")]
        await content.unpin(cid)
        with pytest.raises(NotPinned):
            await content.unpin(cid)
        assert (await content.collect()).blocks == 5

    asyncio.run(main())


def test_a_direct_pin_is_one_block() -> None:
    async def main() -> None:
        there = FakeBlocks()
        here = FakeBlocks(elsewhere=there)
        cid, _ = await content_over(there).add(os.urandom(1_000_000))
        await content_over(here).pin(cid, "direct")
        assert set(here.kept) == {cid}
        assert (await content_over(here).collect()).blocks == 0

    asyncio.run(main())


def test_a_collection_takes_nothing_of_a_transfer_under_way() -> None:
    async def main() -> None:
        there, here = FakeBlocks(), FakeBlocks()
        here.elsewhere = there
        cid, _ = await content_over(there).add(os.urandom(20_000_000))
        content = content_over(here)

        async def collect(_: Sequence[Cid]) -> None:
            await content.collect()

        here.before_fetch = collect
        await content.pin(cid)
        assert len(here.asked) > 4
        assert here.kept == there.kept

        async def slow() -> AsyncIterator[bytes]:
            for number in range(20):
                await content.collect()
                yield bytes([number]) * 1_000_000

        added = await content.add_stream(slow())
        assert len(await content.read(added.cid)) == 20_000_000

    asyncio.run(main())


def test_a_collection_spares_the_roots_and_what_is_being_read() -> None:
    async def main() -> None:
        blocks = FakeBlocks()
        payload = dag_cbor.encode({"ops": []})
        revision = Cid.of(CODEC_DAG_CBOR, payload)
        blocks.keep_all({revision: payload})

        async def roots() -> Collection[Cid]:
            return {revision}

        content = Content(blocks=blocks, roots=roots)
        loose = await content.add_stream(pieces(os.urandom(20_000_000)), pin=False)
        reading = content.cat(loose.cid)
        size = len(await anext(reading))
        assert (await content.collect()).blocks == 0
        size += sum([len(piece) async for piece in reading])
        assert size == 20_000_000
        assert (await content.collect()).blocks > 70
        assert set(blocks.kept) == {revision}

    asyncio.run(main())


def test_a_car_comes_back_as_it_was_and_is_pinned() -> None:
    """The bytes are those of `ipfs dag export` (Kubo v0.43.0)."""

    async def main() -> None:
        there, here = FakeBlocks(), FakeBlocks()
        added = await content_over(there).add_tree(pieces(tar_of(TREE)))
        car = b"".join([piece async for piece in content_over(there).export_car(added.cid)])
        assert hashlib.sha256(car).hexdigest() == CAR_SHA256
        assert await content_over(here).import_car(pieces(car, 1000), name="tides") == (added.cid,)
        assert here.kept == there.kept
        assert here.pinned[added.cid].name == "tides"
        loose = FakeBlocks()
        await content_over(loose).import_car(pieces(car), pin=False)
        assert (loose.pinned, len(loose.kept)) == ({}, len(there.kept))

    asyncio.run(main())


def test_a_car_that_lies_or_lacks_something_leaves_nothing() -> None:
    async def main() -> None:
        root, blocks = build_file(os.urandom(1_000_000))
        sections = [car_section(cid, block) for cid, block in blocks.items()]
        leaf = next(iter(blocks))
        wrong = car_section(leaf, blocks[leaf][:-1] + b"\0\0")
        stranger = car_header([Cid.of(CODEC_RAW, b"not in it")])
        for car, error in (
            (car_header([root]) + b"".join(sections[1:]), CarRefused),
            (car_header([root]) + b"".join(sections[:-1]), CarRefused),
            (stranger + b"".join(sections), CarRefused),
            (car_header([root]) + b"".join(sections)[:-1], MalformedMessage),
            (car_header([root]) + b"".join(sections[1:]) + wrong, MalformedMessage),
            (b"no car", MalformedMessage),
        ):
            here = FakeBlocks(elsewhere=FakeBlocks())
            here.elsewhere.keep_all(blocks)  # type: ignore[union-attr]
            with pytest.raises(error):
                await content_over(here).import_car(pieces(car))
            assert (here.kept, here.pinned, +here.held, here.asked) == ({}, {}, {}, [])

    asyncio.run(main())
