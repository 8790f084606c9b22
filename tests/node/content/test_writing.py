import asyncio
import os

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from node.content import writing
from node.content.blocks import Hold
from storage.errors import StorageFull
from tests.node.content.fake_blocks import FakeBlocks


def blocks_of(count: int, size: int) -> list[tuple[Cid, bytes]]:
    found = [os.urandom(size) for _ in range(count)]
    return [(Cid.of(CODEC_RAW, block), block) for block in found]


def test_everything_is_there_when_it_is_left_in_batches_that_are_bounded() -> None:
    async def main() -> None:
        store, batches = FakeBlocks(), list[int]()
        pairs = blocks_of(300, 100_000) + blocks_of(3000, 100)
        async with store.hold() as hold:
            async with writing.writing(Watched(hold, batches)) as sink:
                for start in range(0, len(pairs), 7):
                    await sink.put(pairs[start : start + 7])
            assert store.kept == dict(pairs)
        assert max(batches) <= writing.MAX_BATCH_BYTES + 100_000
        assert len(batches) < 40

    asyncio.run(main())


class Watched:
    """A hold that notes how large the batches are."""

    def __init__(self, hold: Hold, batches: list[int]) -> None:
        self._hold = hold
        self._batches = batches
        self.keep, self.roll_back = hold.keep, hold.roll_back

    async def put_many(self, blocks: list[tuple[Cid, bytes]]) -> None:
        self._batches.append(sum(len(block) for _, block in blocks))
        await self._hold.put_many(blocks)


def test_whoever_puts_waits_while_the_disk_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        store, go_on = FakeBlocks(), asyncio.Event()

        class Slow(Watched):
            async def put_many(self, blocks: list[tuple[Cid, bytes]]) -> None:
                await go_on.wait()
                await super().put_many(blocks)

        put = 0
        async with store.hold() as hold, writing.writing(Slow(hold, [])) as sink:

            async def put_all() -> None:
                nonlocal put
                for pair in blocks_of(400, 100_000):
                    await sink.put([pair])
                    put += 1

            putting = asyncio.create_task(put_all())
            for _ in range(5000):
                await asyncio.sleep(0)
            assert 80 < put < 300
            go_on.set()
            await putting
        assert len(store.kept) == 400

    asyncio.run(main())


def test_what_the_disk_or_the_source_refuses_comes_out_as_it_is() -> None:
    async def main() -> None:
        store = FakeBlocks(quota_bytes=1_000_000)

        async def write(hold: Hold, count: int, error: Exception | None) -> None:
            async with writing.writing(hold) as sink:
                for pair in blocks_of(count, 100_000):
                    await sink.put([pair])
                if error is not None:
                    raise error

        async with store.hold() as hold:
            with pytest.raises(StorageFull):
                await write(hold, 1000, None)
            with pytest.raises(ValueError, match="the source"):
                await write(hold, 1, ValueError("the source"))
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_unbroken_work_ends_before_its_caller_does() -> None:
    async def main() -> None:
        begun, go_on, done = asyncio.Event(), asyncio.Event(), False

        async def work() -> None:
            nonlocal done
            begun.set()
            await go_on.wait()
            done = True

        caller = asyncio.create_task(writing.unbroken(work()))
        await begun.wait()
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert done

    asyncio.run(main())
